//go:build amd64

package trace

import (
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// tracer holds a program and all that it starts. All but expire is of one thread.
type tracer struct {
	command Command
	plan    Plan
	main    int
	calls   map[uint64]call
	tids    map[int]bool // threads and processes that are there
	denied  map[int]unix.Errno
	ended   bool // the main process has
	result  Result
	late    atomic.Bool
	dying   bool       // all that comes is killed
	lock    sync.Mutex // of tids and dying, for expire
}

func newTracer(c Command, plan Plan, pid int) *tracer {
	t := &tracer{command: c, plan: plan, main: pid, calls: map[uint64]call{}, tids: map[int]bool{}, denied: map[int]unix.Errno{}}
	for _, c := range c.Mode.calls() {
		t.calls[uint64(c.nr)] = c
	}
	return t
}

// options of ptrace: stop at the filter's calls, and at everything that starts.
const options = unix.PTRACE_O_TRACESECCOMP | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK |
	unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_EXITKILL

// ownChildren has wait4 ignore what other threads of this process have started:
// __WNOTHREAD of linux/wait.h.
const ownChildren = 0x20000000

// loop runs until nothing is left of the program.
func (t *tracer) loop() error {
	for {
		var status unix.WaitStatus
		tid, err := unix.Wait4(-1, &status, unix.WALL|ownChildren, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD):
			return nil
		case err != nil:
			return err
		}
		if status.Exited() || status.Signaled() {
			t.gone(tid, status)
			continue
		}
		if err := t.stopped(tid, status); err != nil && !errors.Is(err, unix.ESRCH) { // killed meanwhile
			return err
		}
	}
}

// gone takes note of a thread's or process's end. What outlives the program is
// killed, as nobody waits for it.
func (t *tracer) gone(tid int, status unix.WaitStatus) {
	t.lock.Lock()
	delete(t.tids, tid)
	t.lock.Unlock()
	if tid != t.main {
		return
	}
	t.ended = true
	t.result.Exit = -1
	if status.Exited() {
		t.result.Exit = status.ExitStatus()
	} else {
		t.result.Signal = status.Signal()
	}
	t.result.Left = len(t.tids)
	t.killAll()
}

// stopped deals with one stop, and lets the thread go on.
func (t *tracer) stopped(tid int, status unix.WaitStatus) error {
	known, dying := t.meet(tid)
	if dying { // it was born meanwhile
		return unix.Kill(tid, unix.SIGKILL)
	}
	signal := status.StopSignal()
	switch {
	case signal == unix.SIGTRAP && status.TrapCause() == unix.PTRACE_EVENT_SECCOMP:
		return t.atCall(tid)
	case signal == unix.SIGTRAP && status.TrapCause() > 0:
		return unix.PtraceCont(tid, 0)
	case signal == unix.SIGTRAP|0x80: // leaving a call
		return t.leaving(tid)
	case !known && tid == t.main:
		if err := unix.PtraceSetOptions(tid, options); err != nil {
			return err
		}
		return unix.PtraceCont(tid, 0)
	case !known && signal == unix.SIGSTOP: // how new threads begin
		return unix.PtraceCont(tid, 0)
	}
	return unix.PtraceCont(tid, int(signal))
}

// meet notes a thread or process, and tells whether it was known, and whether all
// has to end.
func (t *tracer) meet(tid int) (known, dying bool) {
	t.lock.Lock()
	defer t.lock.Unlock()
	known = t.tids[tid]
	t.tids[tid] = true
	return known, t.dying
}

// atCall is called before a call of the filter.
func (t *tracer) atCall(tid int) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	c, known := t.calls[regs.Orig_rax]
	if !known || !t.counts(tid, c, &regs) {
		return unix.PtraceCont(tid, 0)
	}
	t.result.Calls++
	here := t.result.Calls == t.plan.At
	if t.command.Log || here && t.plan.Action != Nothing {
		t.describe(tid, c, &regs, here)
	}
	if here {
		t.result.Reached = true
	}
	switch {
	case here && t.plan.Action == Kill:
		t.killAll()
		return nil
	case here && t.plan.Action == Signal:
		if err := unix.Kill(t.main, t.plan.Signal); err != nil {
			return err
		}
	case here && t.plan.Action == Fail, t.plan.Action == FailOn && t.result.Calls >= t.plan.At:
		return t.deny(tid, c, &regs)
	}
	return unix.PtraceCont(tid, 0)
}

// deny makes a call fail. It is not made at all, but for close, which closes
// whatever it says: close(2).
func (t *tracer) deny(tid int, c call, regs *unix.PtraceRegs) error {
	if c.kind == closes {
		t.denied[tid] = t.plan.Errno
		return unix.PtraceSyscall(tid, 0)
	}
	regs.Orig_rax = ^uint64(0)
	regs.Rax = uint64(-int64(t.plan.Errno))
	if err := unix.PtraceSetRegs(tid, regs); err != nil {
		return err
	}
	return unix.PtraceCont(tid, 0)
}

// leaving gives a call that was made another result.
func (t *tracer) leaving(tid int) error {
	if errno, ok := t.denied[tid]; ok {
		delete(t.denied, tid)
		var regs unix.PtraceRegs
		if err := unix.PtraceGetRegs(tid, &regs); err != nil {
			return err
		}
		regs.Rax = uint64(-int64(errno))
		if err := unix.PtraceSetRegs(tid, &regs); err != nil {
			return err
		}
	}
	return unix.PtraceCont(tid, 0)
}

func (t *tracer) killAll() {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.dying = true
	if !t.ended {
		unix.Kill(t.main, unix.SIGKILL)
	}
	for tid := range t.tids {
		unix.Kill(tid, unix.SIGKILL)
	}
}

// expire ends what takes too long.
func (t *tracer) expire() {
	t.late.Store(true)
	t.killAll()
}

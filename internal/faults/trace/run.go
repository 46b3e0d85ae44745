//go:build amd64

package trace

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Action is what happens at a call.
type Action int

const (
	Nothing Action = iota
	Kill           // all processes are killed before the call
	Fail           // the call fails, and nothing else does
	FailOn         // it fails, and so does every later one
	Signal         // the program gets a signal before the call
)

// Plan says what happens, and at which call; the first is 1.
type Plan struct {
	Action Action
	At     int
	Errno  unix.Errno  // of Fail and FailOn
	Signal unix.Signal // of Signal
}

func (p Plan) String() string {
	switch p.Action {
	case Kill:
		return fmt.Sprintf("killed before call %d", p.At)
	case Fail:
		return fmt.Sprintf("%s at call %d", unix.ErrnoName(p.Errno), p.At)
	case FailOn:
		return fmt.Sprintf("%s from call %d on", unix.ErrnoName(p.Errno), p.At)
	case Signal:
		return fmt.Sprintf("%s at call %d", unix.SignalName(p.Signal), p.At)
	}
	return "left alone"
}

// Command is a program to run.
type Command struct {
	Launch string   // the program launch
	Mode   Mode     // which calls count
	Args   []string // the program, by its path, and its arguments
	Env    []string
	Dir    string
	World  string        // folder, without symbolic links: only files below it are its files
	Limit  time.Duration // after which it is killed, so that nothing hangs
	Log    bool          // describe every call
}

// Result says what a run did.
type Result struct {
	Calls   int    // how many were counted
	Reached bool   // the call of the plan came
	Call    string // that call, for people
	Exit    int    // exit code; -1 if it ended by a signal
	Signal  unix.Signal
	Late    bool     // it was killed because it took too long
	Left    int      // processes that were still there when the program had ended
	Output  string   // standard output and error
	Log     []string // every call, if that was asked for
}

// Run runs a program once. It may be called concurrently.
func Run(c Command, plan Plan) (*Result, error) {
	var result *Result
	var err error
	onOwnThread(func() { result, err = run(c, plan) })
	if err != nil {
		return nil, fmt.Errorf("tracing %s: %w", c.Args[0], err)
	}
	return result, nil
}

// onOwnThread runs something on a thread that has no children, since ptrace belongs to
// a thread, and waiting for all of them takes those of others, too. It returns when
// that has ended.
func onOwnThread(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|unix.WALL|ownChildren, nil)
		if errors.Is(err, unix.ECHILD) {
			do()
			return
		}
		onOwnThread(do) // meanwhile nobody else gets this one
	}()
	<-done
}

func run(c Command, plan Plan) (*Result, error) {
	output, err := memory("output")
	if err != nil {
		return nil, err
	}
	defer output.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	pid, err := syscall.ForkExec(c.Launch, append([]string{c.Launch, string(c.Mode)}, c.Args...), &syscall.ProcAttr{
		Dir: c.Dir, Env: c.Env, Files: []uintptr{null.Fd(), output.Fd(), output.Fd()},
		Sys: &syscall.SysProcAttr{Ptrace: true, Setpgid: true},
	})
	if err != nil {
		return nil, err
	}
	t := newTracer(c, plan, pid)
	stop := time.AfterFunc(c.Limit, t.expire)
	defer stop.Stop()
	if err := t.loop(); err != nil {
		t.killAll()
		return nil, err
	}
	t.result.Late = t.late.Load()
	text, err := contentOf(output)
	t.result.Output = text
	return &t.result, err
}

// memory gives a file that is nowhere.
func memory(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// mostOutput is read of what a program prints, in bytes.
const mostOutput = 1 << 20

func contentOf(f *os.File) (string, error) {
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	data := make([]byte, min(st.Size(), mostOutput))
	if _, err := f.ReadAt(data, 0); err != nil && len(data) > 0 {
		return "", errors.Join(errors.New("reading what it printed"), err)
	}
	return string(data), nil
}

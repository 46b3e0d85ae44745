package local

import (
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// systemCall is a call with arguments for which a kernel that looks at it answers
// something else than the filter does: a bad address (1), file (-1) or number.
type systemCall struct {
	name   string
	number uint64
	inside unix.Errno
	args   []uint64
}

const bad = ^uint64(0) // -1

// refusedCalls are those that no program of a sandbox may have.
func refusedCalls() []systemCall {
	const no, absent = unix.EPERM, unix.ENOSYS
	return []systemCall{
		{"mount", unix.SYS_MOUNT, no, []uint64{1, 1, 1, 0, 1}},
		{"umount2", unix.SYS_UMOUNT2, no, []uint64{1, 0}},
		{"pivot_root", unix.SYS_PIVOT_ROOT, no, []uint64{1, 1}},
		{"chroot", unix.SYS_CHROOT, no, []uint64{1}},
		{"setns", unix.SYS_SETNS, no, []uint64{bad, 0}},
		{"unshare", unix.SYS_UNSHARE, no, []uint64{0xffffffff}},
		{"unshare of a user", unix.SYS_UNSHARE, no, []uint64{unix.CLONE_NEWUSER | 1<<30}},
		{"clone of a user", unix.SYS_CLONE, no, []uint64{unix.CLONE_NEWUSER | unix.CLONE_FS}},
		{"clone of mounts", unix.SYS_CLONE, no, []uint64{unix.CLONE_NEWNS | unix.CLONE_FS}},
		{"clone, high bits", unix.SYS_CLONE, no, []uint64{1<<32 | unix.CLONE_NEWUSER | unix.CLONE_FS}},
		{"clone3", unix.SYS_CLONE3, absent, []uint64{1, 64}},
		{"open_tree", unix.SYS_OPEN_TREE, absent, []uint64{bad, 1, 0}},
		{"move_mount", unix.SYS_MOVE_MOUNT, absent, []uint64{bad, 1, bad, 1, 0}},
		{"fsopen", unix.SYS_FSOPEN, absent, []uint64{1, 0}},
		{"fsconfig", unix.SYS_FSCONFIG, absent, []uint64{bad, 0, 1, 1, 0}},
		{"fsmount", unix.SYS_FSMOUNT, absent, []uint64{bad, 0, 0}},
		{"fspick", unix.SYS_FSPICK, absent, []uint64{bad, 1, 0}},
		{"mount_setattr", unix.SYS_MOUNT_SETATTR, absent, []uint64{bad, 1, 0, 1, 32}},
		{"keyctl", unix.SYS_KEYCTL, no, []uint64{bad}},
		{"add_key", unix.SYS_ADD_KEY, no, []uint64{1, 1, 1, 1, 0}},
		{"request_key", unix.SYS_REQUEST_KEY, no, []uint64{1, 1, 1, 0}},
		{"bpf", unix.SYS_BPF, no, []uint64{bad, 1, 8}},
		{"perf_event_open", unix.SYS_PERF_EVENT_OPEN, no, []uint64{1, 0, 0, bad, 0}},
		{"userfaultfd", unix.SYS_USERFAULTFD, no, []uint64{0x7fffffff}},
		{"ptrace", unix.SYS_PTRACE, no, []uint64{unix.PTRACE_PEEKDATA, 0x7ffffffe, 0, 0}},
		{"kexec_load", unix.SYS_KEXEC_LOAD, no, []uint64{0, 17, 1, 0}},
		{"init_module", unix.SYS_INIT_MODULE, no, []uint64{1, 4096, 1}},
		{"finit_module", unix.SYS_FINIT_MODULE, no, []uint64{bad, 1, 0}},
		{"io_uring_setup", unix.SYS_IO_URING_SETUP, absent, []uint64{1, 1}},
		{"personality", unix.SYS_PERSONALITY, no, []uint64{0x0400000}},
		{"quotactl", unix.SYS_QUOTACTL, no, []uint64{0x80000300, 1, 0, 1}},
		{"acct", unix.SYS_ACCT, no, []uint64{1}},
		{"syslog", unix.SYS_SYSLOG, no, []uint64{bad, 0, 0}},
		{"open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, no, []uint64{bad, 1, 0}},
		{"reboot", unix.SYS_REBOOT, no, []uint64{0, 0, 0, 0}},
		{"swapon", unix.SYS_SWAPON, no, []uint64{1, 0}},
		{"TIOCSTI", unix.SYS_IOCTL, no, []uint64{bad, unix.TIOCSTI, 1}},
		{"TIOCSTI, high bits", unix.SYS_IOCTL, no, []uint64{bad, 0xdeadbeef<<32 | unix.TIOCSTI, 1}},
		{"TIOCLINUX", unix.SYS_IOCTL, no, []uint64{bad, unix.TIOCLINUX, 1}},
		{"TIOCLINUX, high bits", unix.SYS_IOCTL, no, []uint64{bad, 1<<32 | unix.TIOCLINUX, 1}},
	}
}

// benignCalls are those that a program may have: they answer as they do elsewhere.
func benignCalls() []systemCall {
	return []systemCall{
		{"read", unix.SYS_READ, unix.EBADF, []uint64{bad, 1, 1}},
		{"uname", unix.SYS_UNAME, unix.EFAULT, []uint64{1}},
		{"openat", unix.SYS_OPENAT, unix.EFAULT, []uint64{bad, 1, 0}},
		{"openat2", unix.SYS_OPENAT2, unix.EFAULT, []uint64{bad, 1, 1, 24}},
		{"TCGETS", unix.SYS_IOCTL, unix.EBADF, []uint64{bad, unix.TCGETS, 1}},
		{"personality 0", unix.SYS_PERSONALITY, 0, []uint64{0}},
		{"futex_waitv", unix.SYS_FUTEX_WAITV, unix.EINVAL, []uint64{1, 0, 0, 0, 0}},
		{"close_range", unix.SYS_CLOSE_RANGE, unix.EINVAL, []uint64{2, 1, 0}},
	}
}

func (c systemCall) text() string {
	text := fmt.Sprint(c.number)
	for _, a := range c.args {
		text += fmt.Sprintf(",%#x", a)
	}
	return text
}

// answers gives the errno of each call, as the probe prints them.
func answers(t *testing.T, calls []systemCall, out string) []unix.Errno {
	t.Helper()
	lines := strings.Fields(out)
	if len(lines) != len(calls) {
		t.Fatalf("%d answers to %d calls:\n%s", len(lines), len(calls), out)
	}
	var all []unix.Errno
	for _, line := range lines {
		n, err := strconv.Atoi(line)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, unix.Errno(n))
	}
	return all
}

func texts(calls []systemCall) []string {
	list := []string{"call"}
	for _, c := range calls {
		list = append(list, c.text())
	}
	return list
}

func TestSystemCalls(t *testing.T) {
	calls := slices.Concat(refusedCalls(), benignCalls())
	for number := uint64(470); number < 640; number++ {
		calls = append(calls, systemCall{fmt.Sprint("unknown ", number), number, unix.ENOSYS, []uint64{bad, 1, 1, 1, 1}})
	}
	calls = append(calls, systemCall{"number 1000", 1000, unix.ENOSYS, nil})
	attack(t, "K-03 system calls", "CVE-2021-41133: a list of what is forbidden ages, so what is not known answers ENOSYS", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			name := w.installed("Probe", "")
			for n, errno := range answers(t, calls, w.probe(name, texts(calls)...)) {
				if errno != calls[n].inside {
					t.Errorf("%s: %v (%d), want %v", calls[n].name, errno, errno, calls[n].inside)
				}
			}
		})
	})
	attack(t, "K-03 control", "a refusal is worth nothing where the kernel would refuse by itself", func(t *testing.T) {
		asRoot(t)
		out, err := exec.Command(shared().probe, texts(refusedCalls())...).Output()
		if err != nil {
			t.Fatal(err)
		}
		for n, errno := range answers(t, refusedCalls(), string(out)) {
			if name := refusedCalls()[n].name; errno == unix.EPERM {
				t.Errorf("%s answers EPERM outside of a sandbox, too: other arguments are needed", name)
			}
		}
	})
	attack(t, "K-02 terminal calls", "CVE-2019-10063, CVE-2019-7303: the filter compared 64 bits of which the kernel uses 32; CVE-2023-28100: TIOCLINUX", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			name := w.installed("Probe", "")
			var calls []systemCall
			for _, request := range []uint64{unix.TIOCSTI, unix.TIOCLINUX} {
				for bit := 32; bit < 64; bit++ {
					calls = append(calls, systemCall{fmt.Sprintf("%#x with bit %d", request, bit), unix.SYS_IOCTL, unix.EPERM, []uint64{0, 1<<bit | request, 1}})
				}
			}
			for n, errno := range answers(t, calls, w.probe(name, texts(calls)...)) {
				if errno != unix.EPERM {
					t.Errorf("%s: %v", calls[n].name, errno)
				}
			}
		})
	})
	attack(t, "K-02 other ABIs", "a filter for one ABI says nothing about the numbers of another", func(t *testing.T) {
		if arch != "x86_64" {
			t.Skip("needs an x86_64 machine, which has three of them")
		}
		everyUser(t, func(t *testing.T, w *world) {
			name := w.installed("Probe", "")
			for _, args := range [][]string{{"int80", "20"}, {"int80", "21"}, {"call", "0x40000027"}, {"call", "0x40000202"}} {
				r := w.larch(append([]string{"run", name, "--"}, args...)...)
				if r.code != 128+int(unix.SIGSYS) {
					t.Errorf("%q: code %d, want the end by SIGSYS\n%s", args, r.code, r.out)
				}
			}
		})
	})
	attack(t, "K-04 families of sockets", "kernels have holes in families that nobody uses; AF_VSOCK leads out of a machine", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			name := w.installed("Probe", "")
			for line := range strings.Lines(w.probe(name, "families")) {
				family := strings.Fields(line)[0]
				if !slices.Contains([]string{"0", "1", "2", "10", "16"}, family) {
					t.Errorf("family %s", strings.TrimSpace(line))
				}
			}
		})
	})
}

//go:build amd64

package trace

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Mode says which calls are counted.
type Mode string

const (
	Changes Mode = "changes" // those that change files, folders, mounts
	Closes  Mode = "closes"  // closing files that were written
	Reads   Mode = "reads"   // reading files and folders
)

// offsets in struct seccomp_data of linux/seccomp.h; arguments are 8 bytes each,
// their lower half first.
const (
	atNumber = 0
	atArch   = 4
	atArgs   = 16
)

func statement(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }

func jump(how uint16, k uint32, yes, no int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | how | unix.BPF_K, Jt: uint8(yes), Jf: uint8(no), K: k}
}

func load(at uint32) unix.SockFilter {
	return statement(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, at)
}

func ret(what uint32) unix.SockFilter { return statement(unix.BPF_RET|unix.BPF_K, what) }

// filter stops at the calls of a mode, and lets all others through.
func (m Mode) filter() []unix.SockFilter {
	trace, allow := ret(unix.SECCOMP_RET_TRACE), ret(unix.SECCOMP_RET_ALLOW)
	f := []unix.SockFilter{load(atArch), jump(unix.BPF_JEQ, unix.AUDIT_ARCH_X86_64, 1, 0), allow, load(atNumber)}
	for _, c := range m.calls() {
		body := []unix.SockFilter{trace}
		switch c.kind {
		case creates:
			body = []unix.SockFilter{load(atArgs + 8*uint32(c.arg)), jump(unix.BPF_JSET, uint32(creating), 0, 1), trace, allow}
		case command:
			body = []unix.SockFilter{load(atArgs + 8*uint32(c.arg))}
			for _, cmd := range commands() {
				body = append(body, jump(unix.BPF_JEQ, cmd, 0, 1), trace)
			}
			body = append(body, allow)
		}
		f = append(f, jump(unix.BPF_JEQ, uint32(c.nr), 0, len(body)))
		f = append(f, body...)
	}
	return append(f, allow)
}

// Load loads the filter of a mode into the calling thread, for it and all that it
// becomes and starts. The program must be traced: what is not is refused the calls.
func (m Mode) Load() error {
	if len(m.calls()) == 0 {
		return fmt.Errorf("unknown mode %q", m)
	}
	if unix.Geteuid() != 0 {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
	}
	filter := m.filter()
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return errno
	}
	return nil
}

package intercept

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// childName is what a process is called that becomes the command.
const childName = "larch-intercepted"

// socketFd is where the child finds its end of the socket.
const socketFd = 3

// Child does nothing in most processes. In those that Start has made it becomes the
// command, and does not return.
func Child() {
	if len(os.Args) < 2 || os.Args[0] != childName {
		return
	}
	fmt.Fprintln(os.Stderr, os.Args[1], become(os.Args[1], os.Args[1:]))
	os.Exit(126)
}

func become(path string, args []string) error {
	runtime.LockOSThread() // the filter is this thread's, and then the command's
	if os.Geteuid() != 0 {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
	}
	listener, err := install(filter(slices.Concat(Syncs, changes, older)))
	if err != nil {
		return fmt.Errorf("installing the filter: %w", err)
	}
	if err := unix.Sendmsg(socketFd, []byte{0}, unix.UnixRights(listener), nil, 0); err != nil {
		return fmt.Errorf("handing over the filter: %w", err)
	}
	unix.Close(listener)
	unix.CloseOnExec(socketFd)
	return unix.Exec(path, args, os.Environ())
}

// filter asks about the calls, and lets all others be done.
func filter(calls []uintptr) []unix.SockFilter {
	const (
		number       = 0 // of struct seccomp_data
		architecture = 4
	)
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: architecture},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: arch, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
	}
	for _, call := range calls {
		program = append(program,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(call), Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	}
	return append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
}

func install(program []unix.SockFilter) (listener int, err error) {
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	p := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&p)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

package intercept

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Call is a system call that a command is about to make.
type Call struct {
	Number uintptr
	Args   [6]uint64
	PID    int // of the thread
}

// Answer is what becomes of a call.
type Answer struct {
	Instead bool // the call is not made, and its result is Error, or 0
	Error   syscall.Errno
}

// Run runs a command that is asked about, by its path, and waits for its end. ask is
// called for one call at a time, while all else of the command goes on.
func Run(cmd *exec.Cmd, ask func(Call) Answer) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "socket"), os.NewFile(uintptr(pair[1]), "socket")
	defer ours.Close()
	self, err := os.Executable()
	if err != nil {
		theirs.Close()
		return err
	}
	cmd.Args = append([]string{childName, cmd.Path}, cmd.Args[1:]...)
	cmd.Path, cmd.ExtraFiles = self, []*os.File{theirs}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return err
	}
	asked := errors.New("the command could not be intercepted")
	if listener, err := receive(ours); err != nil {
		asked = err
		cmd.Process.Kill()
	} else {
		asked = answer(listener, ask)
		unix.Close(listener)
	}
	return errors.Join(asked, cmd.Wait())
}

// receive takes the listener that the child sends.
func receive(socket *os.File) (int, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(socket.Fd()), make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return -1, fmt.Errorf("the command could not be intercepted: %w", errors.Join(err, os.ErrInvalid))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, errors.Join(err, os.ErrInvalid)
	}
	return fds[0], nil
}

// notification is struct seccomp_notif.
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	call  int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	id     uint64
	result int64
	err    int32
	flags  uint32
}

// answer serves a listener until nobody is left who could ask.
func answer(listener int, ask func(Call) Answer) error {
	for {
		fds := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		} else if err != nil {
			return err
		}
		if fds[0].Revents&unix.POLLIN == 0 {
			return nil // POLLHUP: all have ended
		}
		var n notification
		if err := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); err == unix.EINTR || err == unix.ENOENT {
			continue // killed before it was heard
		} else if err != 0 {
			return fmt.Errorf("hearing of a system call: %w", err)
		}
		r := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if a := ask(Call{Number: uintptr(n.call), Args: n.args, PID: int(n.pid)}); a.Instead {
			r.flags, r.err = 0, -int32(a.Error)
		}
		if err := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r)); err != 0 && err != unix.ENOENT {
			return fmt.Errorf("answering a system call: %w", err)
		}
	}
}

func ioctl(fd int, request uintptr, argument unsafe.Pointer) syscall.Errno {
	_, _, err := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(argument))
	return err
}

package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

const socketFile = "share.sock"

// daemons are the two programs of the name virtiofsd, and their arguments: that of
// QEMU up to 7.2, and the one in Rust that came after. Each gets a socket to listen
// on as its descriptor 3.
var daemons = []struct {
	path string
	args []string
}{
	{"/usr/libexec/virtiofsd", []string{"--fd=3", "--shared-dir=/", "--cache=always", "--sandbox=none", "--xattr", "--log-level=error"}},
	{"/usr/lib/qemu/virtiofsd", []string{"--fd=3", "-o", "source=/,cache=always,sandbox=chroot,xattr,no_posix_lock,log_level=err"}},
}

// share starts a virtiofsd that shows / to the one machine that connects to the
// socket in dir. It serves until stop is called.
func share(dir string) (stop func(), err error) {
	socket, err := listen(filepath.Join(dir, socketFile))
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	log, err := os.Create(filepath.Join(dir, shareLog))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	for _, d := range daemons {
		cmd := exec.Command(d.path, d.args...)
		cmd.ExtraFiles = []*os.File{socket}
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		switch err := cmd.Start(); {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return nil, err
		default:
			return func() { cmd.Process.Kill(); cmd.Wait() }, nil
		}
	}
	return nil, fmt.Errorf("virtiofsd: %w; `vm setup` installs it", exec.ErrNotFound)
}

// listen makes a socket. It does without package net, which would want a dynamic
// linker where this program is not built with CGO_ENABLED=0.
func listen(path string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	if err == nil {
		err = unix.Listen(fd, 1)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

package fuse

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/mount"
)

const (
	folder     = "fuse" // of the server, below the site's root
	mountPoint = folder + "/mnt"
	lockName   = folder + "/lock" // held exclusively by who starts or ends the server

	maxRead = 1 << 20 // bytes of one request
)

// state is what is at the mount point.
type state int

const (
	absent state = iota // nothing is mounted
	dead                // a mount whose server is gone
	alive
)

// look finds out what is at the mount point. It may wait for the server.
func look(root *beneath.Dir) (state, error) {
	above, err := root.Lstat(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return absent, nil
	} else if err != nil {
		return absent, err
	}
	st, err := root.Lstat(mountPoint)
	if err == nil && st.Dev != above.Dev {
		err = isOurs(root) // the kernel may remember what a dead server has said
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return absent, nil
	case isDead(err):
		return dead, nil
	case err != nil:
		return absent, err
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return absent, &fs.PathError{Op: "mount", Path: filepath.Join(root.Path(), mountPoint), Err: unix.ENOTDIR}
	case st.Dev == above.Dev:
		return absent, nil
	}
	return alive, nil
}

// isDead tells what the kernel says of a mount whose server is gone.
func isDead(err error) bool {
	return errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED)
}

var errForeign = errors.New("something else is mounted there")

// isOurs tells whether what is mounted is a server's, which answers: the kernel asks it
// each time.
func isOurs(root *beneath.Dir) error {
	f, err := root.OpenFile(mountPoint, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var sfs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &sfs); err != nil {
		return &fs.PathError{Op: "statfs", Path: f.Name(), Err: err}
	}
	if sfs.Type != unix.FUSE_SUPER_MAGIC {
		return &fs.PathError{Op: "mount", Path: f.Name(), Err: errForeign}
	}
	return nil
}

// prepare makes the mount point, and refuses one that is a symlink or another user's.
func prepare(root *beneath.Dir) error {
	if err := root.MkdirAll(mountPoint, 0o755); err != nil {
		return err
	}
	for _, name := range []string{folder, mountPoint} {
		st, err := root.Lstat(name)
		if err != nil {
			return err
		}
		if st.Uid != uint32(os.Geteuid()) {
			return fmt.Errorf("%s belongs to user %d: %w", filepath.Join(root.Path(), name), st.Uid, fs.ErrPermission)
		}
	}
	return nil
}

// attach mounts, and gives the connection to the kernel: by the system call, or as an
// ordinary user through fusermount3.
func attach(ctx context.Context, root *beneath.Dir) (*os.File, error) {
	at, err := root.OpenFile(mountPoint, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	path, err := os.Readlink(procPath(at))
	if err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		device, err := attachDirectly(at)
		if !errors.Is(err, unix.EPERM) {
			return device, err
		}
	}
	return attachThrough(ctx, path)
}

func procPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

// attachDirectly lets all users in: permissions are checked by the kernel.
func attachDirectly(at *os.File) (*os.File, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: "/dev/fuse", Err: err}
	}
	device := os.NewFile(uintptr(fd), "/dev/fuse")
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,max_read=%d", fd, maxRead)
	if err := unix.Mount("larch", procPath(at), "fuse.larch", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_RDONLY, options); err != nil {
		device.Close()
		return nil, &fs.PathError{Op: "mount", Path: at.Name(), Err: err}
	}
	return device, nil
}

// attachThrough has fusermount3 mount, which sends the connection through a socket.
//
// Source: fusermount3(1); libfuse, doc/README.fusermount.
func attachThrough(ctx context.Context, path string) (*os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	mine, its := os.NewFile(uintptr(pair[0]), "fusermount3"), os.NewFile(uintptr(pair[1]), "fusermount3")
	defer mine.Close()
	options := fmt.Sprintf("ro,nosuid,nodev,default_permissions,fsname=larch,subtype=larch,max_read=%d", maxRead)
	err = fusermount(ctx, its, "-o", options, "--", path)
	its.Close()
	if err != nil {
		return nil, err
	}
	return receive(mine)
}

// fusermount runs the helper; socket may be nil.
func fusermount(ctx context.Context, socket *os.File, args ...string) error {
	cmd := exec.CommandContext(ctx, "fusermount3", args...)
	var said strings.Builder
	cmd.Stderr, cmd.Dir = &said, "/"
	if socket != nil {
		cmd.ExtraFiles = []*os.File{socket}
		cmd.Env = append(os.Environ(), "_FUSE_COMMFD=3")
	}
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: install the package fuse3", err)
	}
	if err != nil {
		return fmt.Errorf("fusermount3: %w: %s", err, strings.TrimSpace(said.String()))
	}
	return nil
}

// receive takes one file out of a socket.
func receive(socket *os.File) (*os.File, error) {
	var data [8]byte
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(socket.Fd()), data[:], control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("fusermount3 sent %d messages: %w", len(messages), errors.Join(err, unix.EPROTO))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("fusermount3 sent %d files: %w", len(fds), errors.Join(err, unix.EPROTO))
	}
	return os.NewFile(uintptr(fds[0]), "/dev/fuse"), nil
}

// detach takes the mount away, dead or alive, for whoever looks from now on. It asks
// nothing of the server, so it cannot hang with it. No error if there is none.
func detach(ctx context.Context, root *beneath.Dir) error {
	above, err := root.OpenFile(folder, unix.O_PATH|unix.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer above.Close()
	err = mount.Detach(procPath(above) + "/mnt")
	switch {
	case errors.Is(err, unix.EINVAL) || errors.Is(err, fs.ErrNotExist):
		return nil
	case !errors.Is(err, unix.EPERM):
		return err
	}
	path, err := os.Readlink(procPath(above))
	if err != nil {
		return err
	}
	path = filepath.Join(path, "mnt")
	if mounted, err := isMounted(path); err != nil || !mounted {
		return err
	}
	return fusermount(ctx, nil, "-u", "-z", "--", path)
}

func isMounted(path string) (bool, error) {
	all, err := mount.Table()
	for _, m := range all {
		if m.Point == path {
			return true, nil
		}
	}
	return false, err
}

package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// attributes of all mounts that we make.
const attributes = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV

// context is a file system that is being configured.
type context struct {
	fd   int
	kind string
}

func open(kind string) (*context, error) {
	fd, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.ENODEV) {
		return nil, fmt.Errorf("%s: %w", kind, ErrUnknown)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: fsopen: %w", kind, err)
	}
	return &context{fd, kind}, nil
}

func (c *context) close() { unix.Close(c.fd) }

func (c *context) text(key, value string) error {
	return c.fail(key, unix.FsconfigSetString(c.fd, key, value))
}

func (c *context) flag(key string) error { return c.fail(key, unix.FsconfigSetFlag(c.fd, key)) }

func (c *context) file(key string, f *os.File) error {
	return c.fail(key, unix.FsconfigSetFd(c.fd, key, int(f.Fd())))
}

// mount makes the file system, and a mount of it.
func (c *context) mount(attributes int) (*os.File, error) {
	if err := unix.FsconfigCreate(c.fd); err != nil {
		return nil, c.fail("making", err)
	}
	fd, err := unix.Fsmount(c.fd, unix.FSMOUNT_CLOEXEC, attributes)
	if err != nil {
		return nil, c.fail("mounting", err)
	}
	return os.NewFile(uintptr(fd), c.kind), nil
}

// fail adds what the kernel says to an error.
func (c *context) fail(step string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %s: %w%s", c.kind, step, err, c.words())
}

// words are the kernel's messages.
func (c *context) words() string {
	var all []string
	buf := make([]byte, 4096)
	for range 16 {
		n, err := unix.Read(c.fd, buf)
		if err != nil || n == 0 {
			break
		}
		if text, bad := strings.CutPrefix(string(buf[:n]), "e "); bad {
			all = append(all, strings.TrimSpace(text))
		}
	}
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all, "; ") + ")"
}

// Attach gives a mount its place: an open folder.
func Attach(mounted, at *os.File) error {
	err := unix.MoveMount(int(mounted.Fd()), "", int(at.Fd()), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	if err != nil {
		return &fs.PathError{Op: "move_mount", Path: at.Name(), Err: err}
	}
	return nil
}

// Clone makes another mount of what is at an open folder, read-only and unattached.
func Clone(of *os.File) (*os.File, error) {
	fd, err := unix.OpenTree(int(of.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return nil, &fs.PathError{Op: "open_tree", Path: of.Name(), Err: err}
	}
	f := os.NewFile(uintptr(fd), of.Name())
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: attributes}); err != nil {
		f.Close()
		return nil, &fs.PathError{Op: "mount_setattr", Path: of.Name(), Err: err}
	}
	return f, nil
}

// Detach takes the mount at a path away, which must not be a symlink, for whoever
// looks from now on; those that have files of it open keep them. It does not wait,
// and does not need whoever serves the file system. No mount is unix.EINVAL.
func Detach(path string) error { return Unmount(path, true) }

// Unmount takes the mount at a path away, which must not be a symlink: unix.EBUSY
// while it is used, unless lazy, which is Detach.
func Unmount(path string, lazy bool) error {
	flags := unix.UMOUNT_NOFOLLOW
	if lazy {
		flags |= unix.MNT_DETACH
	}
	if err := unix.Unmount(path, flags); err != nil {
		return &fs.PathError{Op: "umount", Path: path, Err: err}
	}
	return nil
}

// Private keeps what is mounted from now on in this process's mount namespace, of
// its own, from being seen in others.
func Private() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	return nil
}

package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/mount"
)

// Loop is a loop device of a file.
type Loop struct{ device *os.File }

// Attach makes a loop device of a file that can be written.
func Attach(path string) (*Loop, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the device keeps it
	device, err := mount.Loop(f, 0, Block)
	if err != nil {
		return nil, fmt.Errorf("making a loop device of %s: %w", path, err)
	}
	return &Loop{device}, nil
}

// Path is the device's.
func (l *Loop) Path() string { return l.device.Name() }

// Close detaches the device, and waits until it is detached: a mount that a namespace
// had, whose last process has just ended, is taken away a little later, and a device that
// is mounted next must not get what the kernel remembers of this one.
func (l *Loop) Close() error {
	file, _ := os.ReadFile(l.backing())
	err := unix.IoctlSetInt(int(l.device.Fd()), unix.LOOP_CLR_FD, 0)
	err = errors.Join(err, l.device.Close())
	return errors.Join(err, await(func() bool {
		now, err := os.ReadFile(l.backing())
		return err != nil || string(now) != string(file)
	}))
}

func (l *Loop) backing() string {
	return filepath.Join("/sys/block", filepath.Base(l.Path()), "loop/backing_file")
}

// Unmount takes the mount at a path away, and waits for the last processes that have
// just ended to let go of it.
func Unmount(at string) error {
	var err error
	busy := await(func() bool {
		err = unix.Unmount(at, 0)
		return err != unix.EBUSY
	})
	if err = errors.Join(err, busy); err != nil {
		return &os.PathError{Op: "umount", Path: at, Err: err}
	}
	return nil
}

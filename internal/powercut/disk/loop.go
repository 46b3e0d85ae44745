package disk

import (
	"errors"
	"fmt"
	"os"

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

// Close detaches the device. It is said explicitly, so that a device that is mounted
// next does not get what the kernel remembers of this one.
func (l *Loop) Close() error {
	err := unix.IoctlSetInt(int(l.device.Fd()), unix.LOOP_CLR_FD, 0)
	return errors.Join(err, l.device.Close())
}

package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// loopTries is how often another process may be quicker to take a free device.
const loopTries = 64

// Loop gives a loop device of an open file, which is gone with its last user. flags are
// those of the device, unix.LO_FLAGS_READ_ONLY and such; block is its unit, in bytes, or
// 0 for the usual one.
func Loop(f *os.File, flags, block uint32) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	mode := os.O_RDWR
	if flags&unix.LO_FLAGS_READ_ONLY != 0 {
		mode = os.O_RDONLY
	}
	for range loopTries {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("looking for a loop device: %w", err)
		}
		loop, err := os.OpenFile("/dev/loop"+strconv.Itoa(n), mode, 0)
		if err != nil {
			return nil, err
		}
		err = unix.IoctlLoopConfigure(int(loop.Fd()), &unix.LoopConfig{
			Fd: uint32(f.Fd()), Size: block, Info: unix.LoopInfo64{Flags: flags | unix.LO_FLAGS_AUTOCLEAR},
		})
		if err == nil {
			return loop, nil
		}
		loop.Close()
		if err != unix.EBUSY {
			return nil, fmt.Errorf("%s: %w", loop.Name(), err)
		}
	}
	return nil, fmt.Errorf("no free loop device: %w", unix.EBUSY)
}

// LoopAgain opens a loop device that is in use already, for writing, and keeps it:
// fs.ErrNotExist if it is not, any more, unix.EBUSY if it is not one of all of the open
// file f.
func LoopAgain(name string, f *os.File) (*os.File, error) {
	loop, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	info, err := unix.IoctlLoopGetStatus64(int(loop.Fd()))
	var st unix.Stat_t
	switch stat := unix.Fstat(int(f.Fd()), &st); {
	case errors.Is(err, unix.ENXIO):
		err = &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case err != nil || stat != nil:
		err = fmt.Errorf("%s: %w", name, errors.Join(err, stat))
	case info.Device != uint64(st.Dev) || info.Inode != st.Ino || info.Offset != 0 || info.Sizelimit != 0 || info.Flags&unix.LO_FLAGS_READ_ONLY != 0:
		err = fmt.Errorf("%s: %w", name, unix.EBUSY)
	default:
		return loop, nil
	}
	loop.Close()
	return nil, err
}

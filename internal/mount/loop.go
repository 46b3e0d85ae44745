package mount

import (
	"fmt"
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

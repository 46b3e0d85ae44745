package mount

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// ErrUnknown is matched when the kernel has no such kind of file system.
var ErrUnknown = errors.New("this kernel has no such file system")

// Known makes sure that the kernel has a kind of file system, whose module is loaded if
// need be. Root only.
func Known(kind string) error {
	c, err := open(kind)
	if err != nil {
		return err
	}
	c.close()
	return nil
}

// Device mounts the file system on a device, writable and unattached, with options of
// its own: "name" or "name=value". Neither programs that become another user nor devices
// count there. The kernel parses the file system: it must be one of this machine.
func Device(kind, source string, options map[string]string) (*os.File, error) {
	c, err := open(kind)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := c.text("source", source); err != nil {
		return nil, err
	}
	for key, value := range options {
		if value == "" {
			err = c.flag(key)
		} else {
			err = c.text(key, value)
		}
		if err != nil {
			return nil, err
		}
	}
	return c.mount(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOATIME)
}

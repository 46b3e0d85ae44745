package mount

import (
	"os"

	"golang.org/x/sys/unix"
)

// Memory makes an empty file system in memory, writable and unattached: tmpfs, with its
// usual limits of half of the machine's memory. Its root has the mode 0755.
//
// Source: https://docs.kernel.org/filesystems/tmpfs.html.
func Memory(source string) (*os.File, error) {
	c, err := open("tmpfs")
	if err != nil {
		return nil, err
	}
	defer c.close()
	for _, option := range [][2]string{{"source", source}, {"mode", "0755"}} {
		if err := c.text(option[0], option[1]); err != nil {
			return nil, err
		}
	}
	return c.mount(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV)
}

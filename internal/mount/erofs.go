package mount

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Image mounts an open EROFS image, unattached, straight from the file; where kernel
// or file system cannot do that, through a loop device. Nothing of the file is cached
// beside what the mount caches, where the kernel can do that.
//
// What is mounted is what f is, whatever has its name meanwhile. The kernel parses
// the image: it must be one that was made on this machine.
func Image(f *os.File) (*os.File, error) {
	mounted, err := image(openPath(f), true)
	if !errors.Is(err, unix.ENOTBLK) && !errors.Is(err, unix.EINVAL) {
		return mounted, err
	}
	loop, loopErr := Loop(f, unix.LO_FLAGS_READ_ONLY|unix.LO_FLAGS_DIRECT_IO, 4096)
	if loopErr != nil {
		return nil, fmt.Errorf("%w; through a loop device: %w", err, loopErr)
	}
	defer loop.Close() // the mount keeps it
	return image(loop.Name(), false)
}

func image(source string, file bool) (*os.File, error) {
	c, err := open("erofs")
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := c.text("source", source); err != nil {
		return nil, err
	}
	for _, flag := range []string{"ro", "noacl"} {
		if err := c.flag(flag); err != nil {
			return nil, err
		}
	}
	if file {
		_ = c.flag("directio") // kernels that do not know it cache the image's own pages too
	}
	return c.mount(attributes)
}

package pool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/mount"
)

// Mount mounts a pool in a file where it was made for, which must be empty, unless it is
// there already. ErrRefused if it is not one of this machine, unix.EBUSY if it is used
// somewhere else. Root only.
func Mount(name string) error {
	name, err := filepath.Abs(name)
	if err != nil {
		return err
	}
	f, m, err := openMarked(name)
	if err != nil {
		return err
	}
	defer f.Close()
	used, err := loopOf(f)
	if err != nil {
		return err
	}
	points, err := mounted(used)
	if err != nil || len(points) == 1 && points[0] == m.At {
		return err
	}
	if len(points) > 0 {
		return fmt.Errorf("%s is in use as %s, mounted at %q: %w", name, used, points, unix.EBUSY)
	}
	if err := os.MkdirAll(m.At, 0o755); err != nil {
		return err
	}
	if _, err := preparePoint(m.At); err != nil {
		return err
	}
	loop, err := device(f, used)
	if err != nil {
		return err
	}
	defer loop.Close() // the mount keeps it
	return attach(name, loop.Name(), m)
}

// device gives the loop device of an open file: the one that is used already, if any. A
// process with a mount namespace of its own keeps what was mounted when it began, and so
// may have the file system in use where nobody else sees it. A second device of the file
// would be a second writer.
func device(f *os.File, used string) (*os.File, error) {
	if used != "" {
		loop, err := mount.LoopAgain(used, f)
		if !errors.Is(err, fs.ErrNotExist) { // gone since
			return loop, err
		}
	}
	return mount.Loop(f, unix.LO_FLAGS_DIRECT_IO, 0)
}

// attach mounts a device where the pool of that name belongs.
func attach(name, device string, m mark) error {
	made, err := mount.Device("btrfs", device, m.options())
	if err != nil {
		return err
	}
	defer made.Close()
	at, err := os.Open(m.At)
	if err != nil {
		return err
	}
	defer at.Close()
	if err := expect(at, name); err != nil {
		return err
	}
	return mount.Attach(made, at)
}

// Unmount takes a pool away from where it is mounted: unix.EBUSY while it is used.
func Unmount(at string) error { return mount.Unmount(at, false) }

// loopOf names the loop device of an open file, or gives "". Devices are told by the
// names of their files: a question to one whose file nobody serves would wait for ever.
func loopOf(f *os.File) (string, error) {
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return "", err
	}
	used, err := filepath.Glob("/sys/block/loop*/loop")
	if err != nil {
		return "", err
	}
	for _, dir := range used {
		device := "/dev/" + filepath.Base(filepath.Dir(dir))
		if of, err := backing(device); err == nil && of == name { // one that is gone since has none
			return device, nil
		}
	}
	return "", nil
}

// mounted lists where a device, which may be "", is mounted.
func mounted(device string) ([]string, error) {
	if device == "" {
		return nil, nil
	}
	table, err := mount.Table()
	var points []string
	for _, e := range table {
		if e.Source == device {
			points = append(points, e.Point)
		}
	}
	return points, err
}

// backing names the file behind a loop device; "" if the device is none.
func backing(device string) (string, error) {
	base, ok := strings.CutPrefix(device, "/dev/loop")
	if !ok {
		return "", nil
	}
	name, err := os.ReadFile("/sys/block/loop" + base + "/loop/backing_file")
	return strings.TrimSuffix(string(name), "\n"), err
}

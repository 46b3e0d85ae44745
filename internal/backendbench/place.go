package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/measure"
	"github.com/larch-project/larch/internal/mount"
	"github.com/larch-project/larch/internal/pool"
)

// place is a file system of its own for one form.
type place struct {
	kind  string // of the file system
	image string // the file that it is in
	at    string // where it is mounted
	root  string // of the installation
}

// placeSize is more than any form needs, in bytes; what is not used takes no space.
const placeSize = 6 << 30

func (c *comparison) newPlace(f form) (*place, error) {
	at := c.path("at-" + f.backend + "-" + f.fs)
	p := &place{kind: f.fs, image: at + ".image", at: at, root: filepath.Join(at, "machine")}
	if f.fs == "btrfs" {
		_, _, err := c.do("pool", "create", "--root", at, "--size", fmt.Sprint(placeSize), "--no-units", p.image)
		return p, err
	}
	script := `truncate -s "$1" "$2" && mkfs.ext4 -q "$2" && mkdir "$3"`
	if err := measure.Command("sh", "-c", script, "sh", fmt.Sprint(placeSize), p.image, at).Run(); err != nil {
		return nil, err
	}
	return p, p.mount()
}

// mount mounts it again, both kinds alike: through a loop device that keeps nothing in
// memory itself.
func (p *place) mount() error {
	if p.kind == "btrfs" {
		return pool.Mount(p.image)
	}
	f, err := os.OpenFile(p.image, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	loop, err := mount.Loop(f, unix.LO_FLAGS_DIRECT_IO, 0)
	if err != nil {
		return err
	}
	defer loop.Close()
	made, err := mount.Device(p.kind, loop.Name(), map[string]string{"noinit_itable": ""})
	if err != nil {
		return err
	}
	defer made.Close()
	at, err := os.Open(p.at)
	if err != nil {
		return err
	}
	defer at.Close()
	return mount.Attach(made, at)
}

// unmount takes away what is mounted in it, too. Servers of what was mounted end by
// themselves, some time later.
func (p *place) unmount() error {
	table, err := mount.Table()
	if err != nil {
		return err
	}
	for _, e := range table {
		if strings.HasPrefix(e.Point, p.at+"/") {
			if err := mount.Detach(e.Point); err != nil {
				return err
			}
		}
	}
	for range 200 {
		if err = mount.Unmount(p.at, false); !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

func (p *place) end() error {
	return errors.Join(p.unmount(), os.Remove(p.image))
}

// used is how much of the file system is taken, in bytes, with all written.
func (p *place) used() (int64, error) {
	settle()
	var st unix.Statfs_t
	err := unix.Statfs(p.at, &st)
	return int64(st.Blocks-st.Bfree) * int64(st.Bsize), err
}

// data is how much of a btrfs the contents of all files take, as its own tool counts
// them, in bytes. What is so small that it stands among the names is not counted.
func (p *place) data() (int64, error) {
	_, out, err := measure.Run(nil, "btrfs", "filesystem", "du", "-s", "--raw", p.at)
	if err != nil {
		return 0, err
	}
	return parseDu(out)
}

// parseDu adds what is in one place alone and what is in several, counted once.
func parseDu(out string) (int64, error) {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var total, exclusive, shared int64
	if _, err := fmt.Sscan(lines[len(lines)-1], &total, &exclusive, &shared); err != nil {
		return 0, fmt.Errorf("btrfs filesystem du says %q: %w", out, err)
	}
	return exclusive + shared, nil
}

// flip changes a bit of each place in the unmounted file system that has these bytes, as a
// disk does that decays, and tells how many there were.
func (p *place) flip(needle []byte) (places int, err error) {
	f, err := os.OpenFile(p.image, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for at := int64(0); ; {
		data, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return places, f.Sync()
		}
		if err != nil {
			return places, err
		}
		n, err := f.ReadAt(buf, data)
		if err != nil && err != io.EOF {
			return places, err
		}
		i := bytes.Index(buf[:n], needle)
		if i < 0 {
			if err == io.EOF {
				return places, f.Sync()
			}
			at = data + int64(n-len(needle)) + 1
			continue
		}
		if _, err := f.WriteAt([]byte{needle[0] ^ 1}, data+int64(i)); err != nil {
			return places, err
		}
		places, at = places+1, data+int64(i)+1
	}
}

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/measure"
	"github.com/larch-project/larch/internal/powercut/disk"
)

// trials are runs of a scenario's command, each on its own copy of one disk, with
// something wrong with the disk.
type trials struct {
	recorder
	world    *world
	scenario scenario
	before   *disk.Image
	rec      *recording
	need     int64 // what the command takes of the disk, bytes
	inodes   int64 // and of its inodes
}

// newTrials prepares a disk, and runs the command once with nothing wrong.
func newTrials(r recorder, w *world, s scenario) (*trials, error) {
	s.trial = true
	t := &trials{recorder: r, world: w, scenario: s, rec: &recording{}}
	image := filepath.Join(r.dir, "before.img")
	if err := r.prepare(w, s, image); err != nil {
		return nil, err
	}
	var err error
	if t.before, err = disk.ReadImage(image); err != nil {
		return nil, err
	}
	err = t.mounted("reference", func() error {
		if t.rec.old, err = s.judge.state(w); err != nil {
			return err
		}
		free, inodes, err := available(w.disk)
		if err != nil {
			return err
		}
		if _, err := w.must(s.command(w)...); err != nil {
			return err
		}
		after, inodesAfter, err := available(w.disk)
		if err != nil {
			return err
		}
		t.need, t.inodes = free-after, inodes-inodesAfter
		if t.rec.new, err = s.judge.state(w); err != nil {
			return err
		}
		t.rec.clean, err = s.judge.clean(w)
		return err
	})
	return t, err
}

// mounted calls with a copy of the disk mounted.
func (t *trials) mounted(name string, call func() error) (err error) {
	image := filepath.Join(t.dir, name+".img")
	if err := t.before.Build(image, nil); err != nil {
		return err
	}
	defer removeFile(image)
	loop, err := disk.Attach(image)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, loop.Close()) }()
	if err := t.fs.mount(loop.Path(), t.world.disk); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Unmount(t.world.disk)) }()
	return call()
}

// available is what is free of a file system, in bytes and inodes, all that was written
// being on its way.
func available(dir string) (bytes, inodes int64, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return 0, 0, err
	}
	var st unix.Statfs_t
	err = unix.Fstatfs(int(f.Fd()), &st)
	return int64(st.Bavail) * st.Bsize, int64(st.Ffree), err
}

// fillerName is what takes the room; it is no part of the machine.
const fillerName = "filler"

// fillBytes leaves that much room.
func (t *trials) fillBytes(leave int64) error {
	f, err := os.Create(filepath.Join(t.world.disk, fillerName))
	if err != nil {
		return err
	}
	defer f.Close()
	for size, step := int64(0), t.fs.size; step >= disk.Block; {
		free, _, err := available(t.world.disk)
		if err != nil {
			return err
		}
		if step = min(step, free-leave) / disk.Block * disk.Block; step < disk.Block {
			break
		}
		if err := unix.Fallocate(int(f.Fd()), 0, size, step); err == unix.ENOSPC {
			step /= 2 // room that is set aside
		} else if err != nil {
			return err
		} else {
			size += step
		}
	}
	return f.Sync()
}

// fillInodes leaves that many.
func (t *trials) fillInodes(leave int64) error {
	dir := filepath.Join(t.world.disk, fillerName)
	_, free, err := available(t.world.disk)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for n := range max(0, free-leave-1) {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(n)), nil, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// full runs the command on a disk that fill has filled, and again when there is room.
// It gives the command's exit code.
func (t *trials) full(fill func() error) (code int, err error) {
	w, s := t.world, t.scenario
	err = t.mounted("full", func() error {
		if err := fill(); err != nil {
			return fmt.Errorf("filling: %w", err)
		}
		var failed error
		_, code, failed = w.run(s.command(w)...)
		if code != 0 && code != exitDisk {
			return fmt.Errorf("exit code %d, not of the disk: %w", code, failed)
		}
		state, err := t.rec.look(w, s, code == 0, false)
		if err != nil {
			return fmt.Errorf("exit code %d: %w", code, err)
		}
		if err := measure.RemoveAll(filepath.Join(w.disk, fillerName)); err != nil {
			return err
		}
		return t.rec.converge(w, s, state)
	})
	return code, err
}

// exitDisk is larch's exit code for a disk that is full, read-only or broken.
const exitDisk = 6

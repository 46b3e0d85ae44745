package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/powercut/disk"
	"github.com/larch-project/larch/internal/powercut/intercept"
)

// breakages are what may happen to a disk while it is in use.
var breakages = []struct {
	name string
	do   func(device *disk.Device, at string) error
}{
	{"one write fails", func(d *disk.Device, _ string) error { d.Fail(disk.OpWrite, 1); return nil }},
	{"all writes fail", func(d *disk.Device, _ string) error { d.Fail(disk.OpWrite|disk.OpFlush, math.MaxInt64); return nil }},
	{"one flush fails", func(d *disk.Device, _ string) error { d.Fail(disk.OpFlush, 1); return nil }},
	{"all reads fail", func(d *disk.Device, _ string) error { d.Fail(disk.OpRead, math.MaxInt64); return nil }},
	{"the disk is gone", func(d *disk.Device, at string) error {
		d.Fail(disk.OpRead|disk.OpWrite|disk.OpFlush, math.MaxInt64)
		return shutdown(at)
	}},
	{"unmounted", func(_ *disk.Device, at string) error { return unix.Unmount(at, unix.MNT_DETACH) }},
	{"read-only", func(_ *disk.Device, at string) error {
		err := unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
		if err == unix.EBUSY {
			return errBusy
		}
		return err
	}},
}

// errBusy: at another moment.
var errBusy = errors.New("busy")

// shutdown makes ext4 fail whatever it is asked, at once and without writing its journal.
func shutdown(at string) error {
	const (
		request    = 0x8004587d // FS_IOC_SHUTDOWN
		noLogFlush = 2
	)
	dir, err := os.Open(at)
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.IoctlSetPointerInt(int(dir.Fd()), request, noLogFlush)
}

// TestBrokenDisk breaks a disk at moments of a command. It may fail then, or say that it
// is done, if that is so when the disk is whole again.
func TestBrokenDisk(t *testing.T) {
	f := testFixture(t)
	moments := 1
	switch {
	case os.Getenv("LARCH_TEST_ALL") != "":
		moments = 24
	case os.Getenv("LARCH_TEST_LONG") != "":
		moments = 4
	}
	eachStop(t, func(t *testing.T, s scenario) {
		all := newTestTrials(t, f, filesystemNamed(t, "ext4"), s)
		calls, err := all.broken(0, nil)
		if err != nil {
			t.Fatalf("nothing broken: %v", err)
		}
		for _, b := range breakages {
			for i := range moments {
				at := (i + 1) * calls / (moments + 1) // later than the first: on a machine that never had the disk, nothing is installed
				if _, err := all.broken(at, b.do); err != nil {
					t.Errorf("%s before change %d of %d: %v", b.name, at, calls, err)
				}
			}
		}
	})
}

// broken runs the command on a disk that breaks before one of its changes, and judges the
// machine when the disk is whole again. It gives how many changes there were.
func (t *trials) broken(at int, do func(device *disk.Device, at string) error) (calls int, err error) {
	w, s := t.world, t.scenario
	image := filepath.Join(t.dir, "broken.img")
	if err := t.before.Build(image, nil); err != nil {
		return 0, err
	}
	defer removeFile(image)
	device, err := disk.Open(image, filepath.Join(t.dir, "served"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, device.Close()) }()
	if err := t.fs.mount(device.Path(), w.disk); err != nil {
		return 0, err
	}
	cmd := w.command(s.command(w)...)
	code := 0
	var failed error
	err = intercept.Run(cmd, func(intercept.Call) intercept.Answer {
		if calls++; do != nil && at > 0 && calls >= at {
			if failed = do(device, w.disk); failed != errBusy {
				at = 0
			}
		}
		return intercept.Answer{}
	})
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		return calls, err
	}
	if failed != nil && failed != errBusy {
		return calls, fmt.Errorf("breaking: %w", failed)
	}
	device.Fail(0, 0)
	if unix.Unmount(w.disk, 0) != unix.EINVAL { // unless it is unmounted already
		disk.Unmount(w.disk)
	}
	if err := t.fs.mount(device.Path(), w.disk); err != nil {
		return calls, fmt.Errorf("%w: %w", errUnmountable, err)
	}
	defer func() { err = errors.Join(err, disk.Unmount(w.disk)) }()
	state, err := t.rec.look(w, s, code == 0, false)
	if err != nil {
		return calls, fmt.Errorf("exit code %d: %w", code, err)
	}
	return calls, t.rec.converge(w, s, state)
}

// TestReadOnlyFromTheStart: what reads goes on, what writes says why not.
func TestReadOnlyFromTheStart(t *testing.T) {
	f := testFixture(t)
	for _, s := range scenarios {
		if s.name != "update" {
			continue
		}
		all := newTestTrials(t, f, filesystemNamed(t, "ext4"), s)
		err := all.mounted("readonly", func() error {
			if err := unix.Mount("", all.world.disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				return err
			}
			if state, err := s.judge.state(all.world); err != nil || state != all.rec.old {
				return fmt.Errorf("%w: %w", errNeither, err)
			}
			if err := s.judge.check(all.world, true); err != nil {
				return err
			}
			if _, code, err := all.world.run(s.command(all.world)...); code != exitDisk {
				return fmt.Errorf("update: exit code %d: %w", code, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

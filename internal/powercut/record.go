package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/larch-project/larch/internal/powercut/disk"
	"github.com/larch-project/larch/internal/powercut/intercept"
)

// done is the mark in a log: the command has exited, with status 0.
const done = "done"

// recording is what a command did to a disk.
type recording struct {
	before   *disk.Image
	log      []disk.Entry
	old, new string // what the judge saw before and after
	clean    string // what there is after it and a collection
	calls    int    // system calls that change something
}

// recorder records commands on one file system.
type recorder struct {
	fs      filesystem
	random  *rand.Rand
	control bool   // syncs are not done
	dir     string // scratch
}

// record prepares a disk, runs the scenario's command on it, and gives what happened.
func (r recorder) record(w *world, s scenario) (rec *recording, err error) {
	image := filepath.Join(r.dir, "before.img")
	if err := r.prepare(w, s, image); err != nil {
		return nil, fmt.Errorf("preparing: %w", err)
	}
	rec = &recording{}
	if rec.before, err = disk.ReadImage(image); err != nil {
		return nil, err
	}
	device, err := disk.Open(image, filepath.Join(r.dir, "served"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, device.Close()) }()
	if err := r.fs.mount(device.Path(), w.disk); err != nil {
		return nil, err
	}
	err = r.run(w, s, rec, device)
	return rec, errors.Join(err, disk.Unmount(w.disk))
}

// prepare makes the image of a disk in the state before the command.
func (r recorder) prepare(w *world, s scenario, image string) error {
	os.Remove(image)
	if err := r.fs.create(image); err != nil {
		return err
	}
	loop, err := disk.Attach(image)
	if err != nil {
		return err
	}
	defer loop.Close()
	if err := r.fs.mount(loop.Path(), w.disk); err != nil {
		return err
	}
	for _, step := range s.before {
		if err := step(w); err != nil {
			return errors.Join(err, disk.Unmount(w.disk))
		}
	}
	if _, err := os.Stat(w.repo()); err == nil {
		if w.code, err = w.fingerprint(w.repo()); err != nil {
			return errors.Join(err, disk.Unmount(w.disk))
		}
	}
	return disk.Unmount(w.disk)
}

func (r recorder) run(w *world, s scenario, rec *recording, device *disk.Device) (err error) {
	if rec.old, err = s.judge.state(w); err != nil {
		return err
	}
	dir, err := os.Open(w.disk)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := r.command(w, s, rec, dir); err != nil {
		return err
	}
	if err := device.Mark(done); err != nil {
		return err
	}
	for range 3 {
		if err := r.fs.noise(dir); err != nil {
			return err
		}
	}
	if rec.log, err = device.Log(); err != nil {
		return err
	}
	if rec.new, err = s.judge.state(w); err != nil {
		return err
	}
	if err := s.judge.check(w, true); err != nil {
		return fmt.Errorf("without a power cut: %w", err)
	}
	rec.clean, err = s.judge.clean(w)
	return err
}

// command runs the command, with noise before about every second of its changes.
func (r recorder) command(w *world, s scenario, rec *recording, dir *os.File) error {
	var failed error
	err := intercept.Run(w.command(s.command(w)...), func(call intercept.Call) intercept.Answer {
		rec.calls++
		if r.random.IntN(2) == 0 && failed == nil {
			failed = r.fs.noise(dir)
		}
		return intercept.Answer{Instead: r.control && slices.Contains(intercept.Syncs, call.Number)}
	})
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("recording %s: %w", s.name, err)
	}
	return nil
}

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"

	"github.com/larch-project/larch/internal/powercut/disk"
)

// cut is one power cut.
type cut struct {
	number int // of the image
	epoch  disk.Epoch
	mode   disk.Mode
}

// cuts are n power cuts spread over a recording, each mode as often as the others; or,
// if n is 0, every epoch in every mode.
func (r *recording) cuts(n int) (all []cut) {
	epochs := disk.Epochs(r.log)
	modes := int(disk.Modes)
	if n == 0 || n >= modes*len(epochs) {
		n = modes * len(epochs)
	}
	for i := range n {
		at, mode := i*len(epochs)/n, i%modes
		if n == modes*len(epochs) {
			at = i / modes
		}
		if i == n-1 {
			at = len(epochs) - 1 // the command has ended then
		}
		all = append(all, cut{at*modes + mode, epochs[at], disk.Mode(mode)})
	}
	return all
}

// late tells whether the command had ended before a cut that left this: the cut may have
// been at any time until the next flush.
func (r *recording) late(c cut) bool {
	mark := slices.IndexFunc(r.log, func(e disk.Entry) bool { return e.Kind == disk.Mark && e.Text == done })
	return mark >= 0 && mark < c.epoch.To
}

var (
	errUnmountable = errors.New("the file system cannot be mounted")
	errLost        = errors.New("lost after exit 0")
	errNeither     = errors.New("neither the old state nor the new one")
	errDamage      = errors.New("damage")
	errAgain       = errors.New("given again, the command does not get there")
	errLeft        = errors.New("left behind")
	errStart       = errors.New("the tool does not start")
)

// replay builds the image that a cut leaves, and judges it.
func (r recorder) replay(w *world, s scenario, rec *recording, c cut, seed uint64) (verdict error) {
	random := rand.New(rand.NewPCG(seed, uint64(c.number)))
	image := filepath.Join(r.dir, fmt.Sprintf("cut-%d.img", c.number))
	if err := rec.before.Build(image, disk.Survivors(rec.log, c.epoch, c.mode, random)); err != nil {
		return err
	}
	defer removeFile(image)
	loop, err := disk.Attach(image)
	if err != nil {
		return err
	}
	defer func() { verdict = errors.Join(verdict, loop.Close()) }()
	if err := r.fs.mount(loop.Path(), w.disk); err != nil {
		return fmt.Errorf("%w: %w", errUnmountable, err)
	}
	defer func() { verdict = errors.Join(verdict, disk.Unmount(w.disk)) }()
	w.boots++
	return rec.judge(w, s, rec.late(c), c.number%8 == 0)
}

// judge looks at a machine after a power cut.
func (rec *recording) judge(w *world, s scenario, late, thorough bool) error {
	state, err := rec.look(w, s, late, thorough)
	if err != nil {
		return err
	}
	return rec.converge(w, s, state)
}

// look finds out in which state a machine is, and whether all of it is as it should be.
// late: the command has said that it is done.
func (rec *recording) look(w *world, s scenario, late, thorough bool) (string, error) {
	state, err := s.judge.state(w)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: %w", errStart, err)
	case state != rec.old && state != rec.new && !s.signs(late):
		return "", fmt.Errorf("%w: to the new state: %s", errNeither, differ(state, rec.new))
	case late && (state == rec.old && !s.same || state != rec.new && !s.signs(late)):
		return "", fmt.Errorf("%w: to the new state: %s", errLost, differ(state, rec.new))
	}
	if !s.damaged || late {
		if err := s.judge.check(w, thorough); err != nil {
			return "", fmt.Errorf("%w: %w", errDamage, err)
		}
	}
	return state, nil
}

// converge gives the command again, and cleans up.
func (rec *recording) converge(w *world, s scenario, state string) error {
	if err := rec.again(w, s, state); err != nil {
		return fmt.Errorf("%w: %w", errAgain, err)
	}
	if err := s.judge.check(w, false); err != nil {
		return fmt.Errorf("%w: then damage: %w", errAgain, err)
	}
	left, err := s.judge.clean(w)
	if err != nil {
		return fmt.Errorf("%w: %w", errLeft, err)
	}
	if left != rec.clean {
		return fmt.Errorf("%w: %s", errLeft, differ(left, rec.clean))
	}
	return nil
}

// again gives the command again.
func (rec *recording) again(w *world, s scenario, state string) error {
	isNew := state != rec.old && !s.same
	if isNew && s.once {
		return nil
	}
	_, code, err := w.run(s.command(w)...)
	if err != nil && !(isNew && slices.Contains(s.again, code)) {
		return err
	}
	if s.resigned {
		return nil // signed again, at another time: judged by who installs from it
	}
	if state, err = s.judge.state(w); err == nil && state != rec.new {
		err = fmt.Errorf("%w: %s", errNeither, differ(state, rec.new))
	}
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/larch-project/larch/internal/powercut/disk"
)

// job is one scenario on one file system.
type job struct {
	scenario
	fs      filesystem
	control bool
	images  int // 0: all
	seed    uint64
}

func (j job) String() string {
	text := j.fs.name + "/" + j.name
	if j.control {
		text += ", syncs off"
	}
	return text
}

// result is what came out of a job.
type result struct {
	job
	epochs, calls int
	images        [disk.Modes]int
	unmountable   int // where the file system asks for more than the mode gives
	bad           []failure
}

// failure is an image with something wrong.
type failure struct {
	cut
	err error
}

func (r result) total() (n int) {
	for _, of := range r.images {
		n += of
	}
	return n
}

// count is how many failures are of a kind.
func (r result) count(kinds ...error) (n int) {
	for _, f := range r.bad {
		for _, kind := range kinds {
			if errors.Is(f.err, kind) {
				n++
				break
			}
		}
	}
	return n
}

// run does it, in a new folder below dir.
func (j job) run(ctx context.Context, f *fixture, dir string) (result, error) {
	res := result{job: j}
	dir, err := os.MkdirTemp(dir, strings.NewReplacer("/", "-", " ", "-", ",", "").Replace(j.String())+"-")
	if err != nil {
		return res, err
	}
	defer os.RemoveAll(dir)
	w := &world{fixture: f, program: j.program, dir: filepath.Join(dir, "machine"), disk: filepath.Join(dir, "disk")}
	for _, folder := range []string{w.dir, w.disk, filepath.Join(w.dir, "home")} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			return res, err
		}
	}
	r := recorder{fs: j.fs, random: rand.New(rand.NewPCG(j.seed, 0)), control: j.control, dir: dir}
	rec, err := r.record(w, j.scenario)
	if err != nil {
		return res, fmt.Errorf("%v: %w", j, err)
	}
	res.calls, res.epochs = rec.calls, len(disk.Epochs(rec.log))
	for _, c := range rec.cuts(j.images) {
		if ctx.Err() != nil {
			return res, ctx.Err()
		}
		err := r.replay(w, j.scenario, rec, c, j.seed)
		res.images[c.mode]++
		if c.mode == disk.Subset && !j.fs.strict && errors.Is(err, errUnmountable) {
			res.unmountable++
		} else if err != nil {
			res.bad = append(res.bad, failure{c, err})
		}
	}
	return res, nil
}

func removeFile(path string) { os.Remove(path) }

// errVoid is a control that found nothing.
var errVoid = errors.New("nothing is found though nothing is synced: what this finds is void")

// verdict is nil for a product without faults and a control that found some.
func (r result) verdict() error {
	switch {
	case r.total() == 0:
		return fmt.Errorf("%v: no images", r.job)
	case r.control && len(r.bad) == 0:
		return fmt.Errorf("%v: %w", r.job, errVoid)
	case !r.control && len(r.bad) > 0:
		return fmt.Errorf("%v, seed %d: %d of %d images, such as number %d: %w", r.job, r.seed, len(r.bad), r.total(), r.bad[0].number, r.bad[0].err)
	}
	return nil
}

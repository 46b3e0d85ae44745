package fetch

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/store"
)

// Seed looks for contents that are missing in local folders. Files of a size that
// is wanted are read and named; what is found is not fetched but copied, and
// checked again then. Folders are walked without following links; files that
// cannot be read are passed over.
func (n *Need) Seed(ctx context.Context, dirs []string) error {
	wanted := map[digest.Digest]int32{}
	sizes := map[int64]bool{}
	for i := range n.contents {
		if c := &n.contents[i]; c.lacks != 0 {
			wanted[c.digest] = int32(i)
			sizes[c.size] = true
		}
	}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if path == dir && err != nil {
				return err
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			if info, err := d.Info(); err == nil && sizes[info.Size()] {
				n.trySeed(path, wanted)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// trySeed uses a file if it has a content that is wanted.
func (n *Need) trySeed(path string, wanted map[digest.Digest]int32) {
	f, err := openSeed(path)
	if err != nil {
		return
	}
	defer f.Close()
	d, size, err := digest.Sum(f)
	i, found := wanted[d]
	if err != nil || !found || n.contents[i].size != size || n.contents[i].seed > 0 {
		return
	}
	n.seeds = append(n.seeds, path)
	n.contents[i].seed = int32(len(n.seeds))
	n.Objects--
	n.Bytes -= size
	n.Reused += size
}

// openSeed opens a regular file; it never waits for a fifo.
func openSeed(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, errors.Join(err, fs.ErrInvalid)
	}
	return f, nil
}

// local stores what is on this machine already, in another form or another place.
// A seed that is not what it was is given up: it will be fetched.
func (p *Plan) local(ctx context.Context, to *store.Batch) error {
	for i := range p.need.contents {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		c := &p.need.contents[i]
		for _, o := range c.objects(c.twins) {
			if err := to.AddTwin(o); err != nil {
				return err
			}
		}
		c.twins = 0
		if c.seed > 0 && c.lacks != 0 {
			if err := p.need.copySeed(c, to); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *Need) copySeed(c *content, to *store.Batch) error {
	for _, o := range c.objects(c.lacks) {
		ok, err := copyFile(n.seeds[c.seed-1], o, to)
		if err != nil {
			return err
		}
		if !ok {
			c.seed = 0
			n.Objects++
			return nil
		}
	}
	c.lacks = 0
	return nil
}

// copyFile stores an object from a local file; not ok means that the file has
// another content now, or none.
func copyFile(path string, o store.Object, to *store.Batch) (ok bool, err error) {
	f, err := openSeed(path)
	if err != nil {
		return false, nil
	}
	defer f.Close()
	w, err := to.Create(o)
	if err != nil {
		return false, err
	}
	if _, err := io.Copy(w, io.LimitReader(f, o.Size+1)); err != nil {
		w.Abort()
		if errors.Is(err, digest.ErrMismatch) {
			return false, nil
		}
		return false, err
	}
	err = w.Commit()
	if errors.Is(err, digest.ErrMismatch) {
		return false, nil
	}
	return err == nil, err
}

// left tells whether something is still missing: a seed that was given up after the
// plan was made.
func (n *Need) left() bool {
	for i := range n.contents {
		if n.contents[i].lacks != 0 {
			return true
		}
	}
	return false
}

package fetch

import (
	"errors"
	"fmt"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/store"
)

// bufferSize is up to where a content is put together before it is stored, so that
// it is checked before it touches the disk, in bytes.
const bufferSize = 1 << 20

// cutter takes the contents of a group, one behind the other, and puts each where it
// is wanted: into the store, into scratch for a later hop, or nowhere.
type cutter struct {
	t     *traveller
	hop   *hop
	group *repo.Group
	next  int // in group.News
	piece *outlet
	buf   []byte
	wrong error // the first content that was not what it should be
}

// outlet is where one content goes.
type outlet struct {
	number  int32
	size    int64
	done    int64
	want    uint8
	target  int32 // number in the tree that is wanted, if it is to be delivered
	writers []*store.Writer
	objects []store.Object
	scratch *scratchWriter
	whole   bool // it is put together in memory first
}

// Write implements io.Writer.
func (c *cutter) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if c.piece == nil {
			if err := c.begin(); err != nil {
				return total - len(p), err
			}
		}
		o := c.piece
		n := min(int64(len(p)), o.size-o.done)
		if err := c.put(o, p[:n]); err != nil {
			return total - len(p), err
		}
		o.done += n
		p = p[n:]
		if o.done == o.size {
			if err := c.end(o); err != nil {
				return total - len(p), err
			}
			c.piece = nil
		}
	}
	return total, nil
}

// begin opens what the next content goes to.
func (c *cutter) begin() error {
	if c.next == len(c.group.News) {
		return fmt.Errorf("%w: it makes more than its contents", repo.ErrDelta)
	}
	n := c.group.News[c.next]
	c.next++
	o := &outlet{number: n, size: c.hop.b.size(n), want: c.hop.wanted[n], target: -1}
	o.whole = o.size <= bufferSize
	c.piece, c.buf = o, c.buf[:0]
	if o.want&deliver != 0 {
		o.target = c.t.need.contents.find(c.hop.b.digest(n))
		o.objects = c.t.need.contents.lacking(o.target)
	}
	if o.whole {
		return nil
	}
	return c.open(o)
}

func (c *cutter) open(o *outlet) (err error) {
	for _, object := range o.objects {
		w, err := c.t.to.Create(object)
		if err != nil {
			return err
		}
		o.writers = append(o.writers, w)
	}
	if o.want&basis != 0 {
		o.scratch, err = c.t.scratch.create(c.hop.b.digest(o.number), o.size)
	}
	return err
}

// put passes a piece on.
func (c *cutter) put(o *outlet, p []byte) error {
	if o.whole {
		if o.want != 0 {
			c.buf = append(c.buf, p...)
		}
		return nil
	}
	return c.write(o, p)
}

func (c *cutter) write(o *outlet, p []byte) error {
	for _, w := range o.writers {
		if _, err := w.Write(p); err != nil && !errors.Is(err, digest.ErrMismatch) {
			return err
		}
	}
	if o.scratch != nil {
		return o.scratch.write(p)
	}
	return nil
}

// end gives a complete content its name.
func (c *cutter) end(o *outlet) error {
	if o.whole && o.want != 0 {
		if have := digest.Of(c.buf); have != c.hop.b.digest(o.number) {
			c.mismatch(o, have)
			return nil
		}
		if err := c.open(o); err != nil {
			return err
		}
		if err := c.write(o, c.buf); err != nil {
			return err
		}
	}
	for i, w := range o.writers {
		err := w.Commit()
		switch {
		case err == nil:
			*c.t.need.contents.mark(o.target) |= haveOf(o.objects[i].Executable)
		case errors.Is(err, digest.ErrMismatch):
			c.wrong = errors.Join(c.wrong, err)
		default:
			o.writers = o.writers[i+1:]
			return err
		}
	}
	o.writers = nil
	if o.scratch != nil && !o.scratch.commit() {
		c.mismatch(o, digest.Digest{})
	}
	return nil
}

func (c *cutter) mismatch(o *outlet, have digest.Digest) {
	if c.wrong == nil {
		c.wrong = &digest.MismatchError{Want: c.hop.b.digest(o.number), Have: have, WantSize: o.size, HaveSize: o.size}
	}
}

// close gives up what is not complete, and tells what was wrong.
func (c *cutter) close() error {
	if c.piece != nil {
		for _, w := range c.piece.writers {
			w.Abort()
		}
	}
	return c.wrong
}

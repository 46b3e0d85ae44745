package fetch

import (
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/store"
)

// partial is a content of several frames, which come in any order.
type partial struct {
	writers []*store.Writer // one for each form that is lacking
	objects []store.Object
	have    []bool // by part
	left    int    // parts
}

// keep stores a piece of a frame's content.
func (r *run) keep(x piece, data []byte) error {
	if r.parts(x.content) > 1 {
		return r.keepPart(x, data)
	}
	start := int64(r.index.Objects[x.content].Offset)
	data = data[start : start+r.need.contents.size(x.content)]
	for _, o := range r.need.contents.lacking(x.content) {
		w, err := r.to.Create(o)
		if err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			w.Abort()
			return err
		}
		if err := w.Commit(); err != nil {
			return err
		}
		*r.need.contents.mark(x.content) |= haveOf(o.Executable)
	}
	return nil
}

// keepPart stores a part of a content, and the content with its last part.
func (r *run) keepPart(x piece, data []byte) error {
	c, err := r.begin(x.content)
	if err != nil {
		return err
	}
	part := r.part(x)
	offset := int64(part) * repo.FrameSize
	data = data[:min(int64(len(data)), r.need.contents.size(x.content)-offset)]
	for _, w := range c.writers {
		if _, err := w.WriteAt(data, offset); err != nil {
			return err
		}
	}
	if !r.finish(x.content, c, part) {
		return nil
	}
	return r.commit(x.content, c)
}

// begin gives the writers of a content.
func (r *run) begin(n int32) (*partial, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.begun[n]; c != nil {
		return c, nil
	}
	parts := int(r.parts(n))
	c := &partial{objects: r.need.contents.lacking(n), have: make([]bool, parts), left: parts}
	r.begun[n] = c
	for _, o := range c.objects {
		w, err := r.to.Create(o)
		if err != nil {
			return nil, err
		}
		c.writers = append(c.writers, w)
	}
	return c, nil
}

// finish notes that a part is stored, and tells whether it was the last one that
// was missing.
func (r *run) finish(n int32, c *partial, part int32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.have[part] = true
	if c.left--; c.left > 0 {
		return false
	}
	delete(r.begun, n)
	return true
}

// commit stores a complete content. If it is not what it should be, nothing of it
// is kept.
func (r *run) commit(n int32, c *partial) error {
	var failed error
	for i, w := range c.writers {
		err := w.Commit()
		if err == nil {
			*r.need.contents.mark(n) |= haveOf(c.objects[i].Executable)
		} else if failed == nil {
			failed = err
		}
	}
	return failed
}

// kept tells whether a piece has not to be fetched again.
func (r *run) kept(x piece) bool {
	c := r.begun[x.content]
	return r.need.contents.mark(x.content).lacks() == 0 || c != nil && c.have[r.part(x)]
}

// abandon gives up the contents that are not complete.
func (r *run) abandon() {
	for _, c := range r.begun {
		for _, w := range c.writers {
			w.Abort()
		}
	}
	clear(r.begun)
}

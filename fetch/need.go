package fetch

import (
	"context"
	"iter"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/tree"
)

// content is one distinct content of a tree, and what of it this machine lacks.
type content struct {
	digest digest.Digest
	size   int64
	seed   int32 // number of the local file that has it, from 1; 0 if there is none
	forms  forms // that the tree has
	lacks  forms // that the store does not have, nor the twin of
	twins  forms // that the store can make of the twin
}

// forms is a set of the two forms of an object: with the run bit and without.
type forms uint8

const (
	plain forms = 1 << iota
	executable
)

func formOf(e *tree.Entry) forms {
	if e.Executable() {
		return executable
	}
	return plain
}

// objects gives the objects of a set of forms.
func (c *content) objects(f forms) (list []store.Object) {
	if f&plain != 0 {
		list = append(list, store.Object{Digest: c.digest, Size: c.size})
	}
	if f&executable != 0 {
		list = append(list, store.Object{Digest: c.digest, Size: c.size, Executable: true})
	}
	return list
}

// Need is what a tree needs and what of it is missing on this machine. It is made
// without the network.
type Need struct {
	contents []content // distinct, in the order of an index
	seeds    []string  // local files that have some of them

	Objects int64 // contents to fetch
	Bytes   int64 // in them, before compression
	Reused  int64 // bytes of contents that are on this machine already
	Disk    int64 // bytes that the store will grow by
}

// Survey compares the contents of a tree with the store.
func Survey(ctx context.Context, entries iter.Seq2[*tree.Entry, error], have *store.Store) (*Need, error) {
	n := &Need{}
	numbers := map[digest.Digest]int32{}
	for e, err := range entries {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if e.Kind != tree.Regular || e.Size <= tree.InlineMax {
			continue
		}
		i, again := numbers[e.Digest]
		if !again {
			i = int32(len(n.contents))
			numbers[e.Digest] = i
			n.contents = append(n.contents, content{digest: e.Digest, size: e.Size})
		}
		n.contents[i].forms |= formOf(e)
	}
	for i := range n.contents {
		n.compare(&n.contents[i], have)
	}
	return n, nil
}

func (n *Need) compare(c *content, have *store.Store) {
	var there forms
	for _, o := range c.objects(c.forms) {
		if have.Has(o) {
			if o.Executable {
				there |= executable
			} else {
				there |= plain
			}
		}
	}
	missing := c.forms &^ there
	switch {
	case missing == 0:
		n.Reused += c.size
	case there != 0 || c.other(have):
		c.twins = missing
		n.Reused += c.size
		n.Disk += c.size
	default:
		c.lacks = missing
		n.Objects++
		n.Bytes += c.size
		n.Disk += c.size * int64(len(c.objects(missing)))
	}
}

// other tells whether the store has the content in a form that the tree has not.
func (c *content) other(have *store.Store) bool {
	for _, o := range c.objects((plain | executable) &^ c.forms) {
		if have.Has(o) {
			return true
		}
	}
	return false
}

package fetch

import (
	"context"
	"iter"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/tree"
)

// Have tells whether an object is on this machine, or will be before it is
// needed: a store does, and a Need that will have been met by then.
type Have interface {
	Has(store.Object) bool
}

// Need is what a tree needs and what of it is missing on this machine. It is made
// without the network, and takes some fifty bytes for each distinct content.
type Need struct {
	contents *contents
	seeds    seeds

	Objects int64 // contents to fetch
	Bytes   int64 // in them, before compression
	Reused  int64 // bytes of contents that are on this machine already
	Disk    int64 // bytes that the store will grow by, in blocks of 4 KiB
}

// block is what the disk use of a file is a multiple of, in bytes.
const block = 4096

// Survey compares the contents of a tree with what is here. The tree is one that
// was verified: its size bounds the memory that this takes.
func Survey(ctx context.Context, entries iter.Seq2[*tree.Entry, error], have Have) (*Need, error) {
	n := &Need{contents: newContents()}
	for e, err := range entries {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = n.contents.want(e)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := n.contents.compare(ctx, have); err != nil {
		return nil, err
	}
	n.count()
	return n, nil
}

// Has tells whether an object will be in the store once this need is met: whether
// the tree needs it.
func (n *Need) Has(o store.Object) bool {
	i := n.contents.find(o.Digest)
	return i >= 0 && n.contents.size(i) == o.Size && *n.contents.mark(i)&wantOf(o.Executable) != 0
}

// count fills in the totals.
func (n *Need) count() {
	n.Objects, n.Bytes, n.Reused, n.Disk = 0, 0, 0, 0
	for i := range n.contents.count {
		m, size := *n.contents.mark(i), n.contents.size(i)
		if m.byNetwork() {
			n.Objects++
			n.Bytes += size
		} else {
			n.Reused += size
		}
		for range n.contents.lacking(i) {
			n.Disk += (size + block - 1) / block * block
		}
	}
}

// want notes that an entry's content is needed.
func (c *contents) want(e *tree.Entry) error {
	if e.Kind != tree.Regular || e.Size <= tree.InlineMax {
		return nil
	}
	n, err := c.add(e.Digest, e.Size)
	if err == nil {
		*c.mark(n) |= wantOf(e.Executable())
	}
	return err
}

// compare marks what is here.
func (c *contents) compare(ctx context.Context, have Have) error {
	return c.parallel(ctx, func(_ context.Context, n int32) error {
		c.look(n, have)
		return nil
	})
}

// parallel calls do for each content, on all cores, until one fails.
func (c *contents) parallel(ctx context.Context, do func(context.Context, int32) error) error {
	group, under := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for start := int32(0); start < c.count && under.Err() == nil; start += pageSize {
		group.Go(func() error {
			for n := start; n < min(start+pageSize, c.count); n++ {
				if under.Err() != nil {
					return context.Cause(under)
				}
				if err := do(under, n); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// look marks the forms of one content that are here: those that are wanted, and
// the other one if it could be copied.
func (c *contents) look(n int32, have Have) {
	m := c.mark(n)
	for _, executable := range [...]bool{false, true} {
		if *m&wantOf(executable) != 0 && have.Has(c.object(n, executable)) {
			*m |= haveOf(executable)
		}
	}
	if *m&had != 0 || *m&wanted == wanted {
		return
	}
	unwanted := *m&wantPlain != 0
	if have.Has(c.object(n, unwanted)) {
		*m |= haveOf(unwanted)
	}
}

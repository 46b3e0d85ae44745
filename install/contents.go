package install

import (
	"context"
	"iter"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/fetch"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/tree"
)

// contents is what of a release has to come to this machine, and how.
type contents struct {
	digest  digest.Digest
	release *release.Release
	data    []byte                                             // the document; nil if the store has it
	remote  func(context.Context) (transport.Transport, error) // asked for nothing that is here

	need *fetch.Need
	plan *fetch.Plan
}

// locate finds out what of a tree is missing, and where it is. The tree is
// inspected on the way.
func (c *contents) locate(ctx context.Context, entries iter.Seq2[*tree.Entry, error], have fetch.Have, seeds []string) (err error) {
	if c.need, err = fetch.Survey(ctx, inspected(c.release, entries), have); err != nil {
		return err
	}
	if len(seeds) > 0 && c.need.Objects > 0 {
		if err := c.need.Seed(ctx, seeds); err != nil {
			return err
		}
	}
	var ix *repo.Index
	if c.need.Objects > 0 {
		if ix, err = c.index(ctx); err != nil {
			return err
		}
	}
	c.plan, err = fetch.NewPlan(c.need, ix)
	return err
}

// index fetches the index of the release; a second time it may be another one.
func (c *contents) index(ctx context.Context) (*repo.Index, error) {
	t, err := c.remote(ctx)
	if err != nil {
		return nil, err
	}
	return fetch.Index(ctx, t, c.digest, c.release.Tree.Info())
}

// fetch brings what is missing into the store, under its names.
func (c *contents) fetch(ctx context.Context, batch *store.Batch, progress func(int64)) error {
	var t transport.Transport
	if c.need.Objects > 0 {
		var err error
		if t, err = c.remote(ctx); err != nil {
			return err
		}
	}
	return c.plan.Run(ctx, t, batch, c.index, progress)
}

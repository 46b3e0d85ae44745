package install

import (
	"context"
	"errors"
	"iter"
	"sync"

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
	data    []byte              // the document; nil if the store has it
	remote  transport.Transport // asked for nothing that is here
	head    digest.Digest       // the newest release of the line, or zero
	source  *source             // where it comes from, or nil

	road *fetch.Road // nil if there is none
	need *fetch.Need
	plan *fetch.Plan
}

// survey finds out what of a tree is missing. The tree is inspected on the way.
func (c *contents) survey(ctx context.Context, entries iter.Seq2[*tree.Entry, error], have fetch.Have, seeds []string) (err error) {
	if c.need, err = fetch.Survey(ctx, inspected(c.release, entries), have); err != nil {
		return err
	}
	if len(seeds) > 0 && c.need.Objects > 0 {
		return c.need.Seed(ctx, seeds)
	}
	return nil
}

// locate finds out where what is missing is: on the road, or in packs.
func (c *contents) locate(ctx context.Context, from *store.Store, have fetch.Have) (err error) {
	if c.need.Objects == 0 {
		c.plan, err = fetch.NewPlan(c.need, nil)
		return err
	}
	if c.road != nil {
		c.plan, err = c.road.NewPlan(c.need, from, have, nil)
		if !errors.Is(err, fetch.ErrNoPlace) && !errors.Is(err, repo.ErrIndex) {
			return err
		}
	}
	ix, err := c.index(ctx)
	if err != nil {
		return err
	}
	if c.road != nil {
		c.plan, err = c.road.NewPlan(c.need, from, have, ix)
	} else {
		c.plan, err = fetch.NewPlan(c.need, ix)
	}
	return err
}

// price is what a request counts for, in bytes.
func (c *contents) price() int64 {
	if c.source == nil {
		return fetch.Price
	}
	return c.source.link().Price(fetch.Price, maxPrice)
}

// findRoad looks for deltas that lead to the release.
func (c *contents) findRoad(ctx context.Context, from *store.Store, opt fetch.RoadOptions) (err error) {
	to := fetch.Destination{Head: c.head, Release: c.digest, Tree: c.release.Tree.Info()}
	if len(c.release.Previous) > 0 {
		to.Previous = c.release.Previous[0].Release
	}
	c.road, err = fetch.FindRoad(ctx, c.remote, from, to, opt)
	return err
}

// index fetches the index of the release; a second time it may be another one.
func (c *contents) index(ctx context.Context) (*repo.Index, error) {
	return fetch.Index(ctx, c.remote, c.digest, c.release.Tree.Info())
}

// fetch brings what is missing into the store, under its names.
func (c *contents) fetch(ctx context.Context, batch *store.Batch, progress func(int64)) error {
	return c.plan.Run(ctx, c.remote, batch, c.index, progress)
}

// lazyTransport is opened when it is first asked for something.
type lazyTransport struct {
	open func(context.Context) (transport.Transport, error)

	mu     sync.Mutex
	opened transport.Transport
}

func lazily(open func(context.Context) (transport.Transport, error)) *lazyTransport {
	return &lazyTransport{open: open}
}

// Fetch implements transport.Transport.
func (l *lazyTransport) Fetch(ctx context.Context, req transport.Request) (*transport.Response, error) {
	t, err := l.get(ctx)
	if err != nil {
		return nil, err
	}
	return t.Fetch(ctx, req)
}

func (l *lazyTransport) get(ctx context.Context) (_ transport.Transport, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.opened == nil {
		l.opened, err = l.open(ctx)
	}
	return l.opened, err
}

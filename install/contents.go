package install

import (
	"context"
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

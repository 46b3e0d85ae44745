package install

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/fuse"
	"github.com/larch-project/larch/internal/pool"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/tree"
)

// ErrDryRun is returned by Apply for a plan that was only to be shown.
var ErrDryRun = errors.New("a dry run cannot be applied")

// Result is what a transaction did.
type Result struct {
	Generation int64 // that is current now
	Requests   int64 // of planning and applying, those repeated included
	Fetched    int64 // bytes received, those of signed metadata and lists included
	Objects    int64 // contents fetched
	Reused     int64 // bytes of contents that were here
	Took       time.Duration
	Warnings   []Warning
}

// Apply does what the plan says. progress, which may be nil, is called with the
// bytes fetched so far, from 0 to Plan.Bytes; never concurrently, and never with
// less than before.
//
// When it returns without an error everything has happened, and survives power
// loss. After an error nothing has, for whoever looks at what is installed;
// contents that had arrived are kept, and the next attempt goes on from there.
func (p *Plan) Apply(ctx context.Context, progress func(int64)) (*Result, error) {
	switch {
	case p.opt.DryRun:
		return nil, ErrDryRun
	case p.held == nil || p.applied:
		return nil, errors.New("the plan has been applied or closed already")
	}
	p.applied = true
	start := p.inst.opt.Now()
	result := &Result{Generation: p.base.Number, Objects: p.Objects, Reused: p.Reused, Warnings: p.Warnings}
	if len(p.Steps) > 0 {
		warnings, err := p.apply(ctx, progress)
		if err != nil {
			return nil, err
		}
		result.Generation++
		result.Warnings = append(result.Warnings, warnings...)
	}
	result.Requests, result.Fetched = p.from.stats.Requests.Load(), p.from.stats.Bytes.Load()
	p.from.keepLink()
	result.Took = p.spent + p.inst.opt.Now().Sub(start)
	return result, nil
}

func (p *Plan) apply(ctx context.Context, progress func(int64)) ([]Warning, error) {
	if err := p.reserve(); err != nil {
		return nil, err
	}
	if err := p.fetch(ctx, newCounter(p.Bytes, progress)); err != nil {
		return nil, err
	}
	for n := range p.Steps {
		if err := p.deploy(ctx, &p.Steps[n]); err != nil {
			return nil, err
		}
	}
	x := &exporter{inst: p.inst, base: p.base, trees: &p.trees}
	g := Generation{
		Number: p.base.Number + 1, Parent: p.base.Number, Verb: p.Verb, Created: p.inst.seconds(),
		Changes: changes(p.base, p.after), Installed: p.after.Installed,
	}
	err := p.inst.commit(ctx, g, x.write)
	return x.warnings, err
}

// reserve makes room where the installation is in a pool of its own.
func (p *Plan) reserve() error {
	own, err := pool.Of(p.inst.root.File())
	if own == nil || err != nil {
		return err
	}
	return own.Reserve(p.Disk)
}

// fetch brings documents and contents into the store.
func (p *Plan) fetch(ctx context.Context, c *counter) error {
	batch := p.inst.store.NewBatch(ctx)
	defer batch.Close()
	for n := range p.Steps {
		s := &p.Steps[n]
		if s.contents == nil {
			continue
		}
		if err := p.fetchStep(ctx, s.contents, batch, c); err != nil {
			return fmt.Errorf("fetching %s %s: %w", s.Ref, s.After.Version, err)
		}
	}
	return nil
}

func (p *Plan) fetchStep(ctx context.Context, c *contents, batch *store.Batch, progress *counter) error {
	if c.data != nil {
		if _, err := p.inst.store.PutRelease(c.data); err != nil {
			return err
		}
	}
	return c.fetch(ctx, batch, progress.add)
}

// deploy makes the form on disk of what is new.
func (p *Plan) deploy(ctx context.Context, s *Step) error {
	if s.After == nil || s.Before != nil && s.Before.deployment() == s.After.deployment() {
		return nil
	}
	var previous string
	if s.Before != nil && s.Before.Backend == s.After.Backend {
		previous = s.Before.Release.String()
	}
	info := s.Release.Tree.Info()
	err := p.inst.deploy(ctx, *s.After, deploy.Spec{
		Info: info, Previous: previous, Present: !p.opt.OnDemand, // surveyed under the lock, and the rest fetched
		Tree: func() iter.Seq2[*tree.Entry, error] { return p.trees.of(p.inst.store, info) },
	})
	if err == nil && p.opt.OnDemand {
		err = fuse.Record(p.inst.root, s.After.Release.String())
	}
	if err != nil {
		return fmt.Errorf("installing %s %s: %w", s.Ref, s.After.Version, err)
	}
	return nil
}

// deploy makes a deployment, or makes sure that the one that is there is right.
func (i *Installation) deploy(ctx context.Context, in Installed, spec deploy.Spec) error {
	b, err := i.backend(in.Backend)
	if err != nil {
		return err
	}
	spec.Name = in.Release.String()
	return b.Make(ctx, i.site(), spec)
}

// counter adds up the bytes of all goroutines, for one listener.
type counter struct {
	mu    sync.Mutex
	done  int64
	limit int64
	tell  func(int64)
}

func newCounter(limit int64, tell func(int64)) *counter {
	if tell == nil {
		tell = func(int64) {}
	}
	return &counter{limit: limit, tell: tell}
}

// add counts. What has to be fetched twice does not count beyond the plan.
func (c *counter) add(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before := c.done; n > 0 {
		if c.done = min(c.done+n, c.limit); c.done > before {
			c.tell(c.done)
		}
	}
}

package install

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"

	"github.com/larch-project/larch/fetch"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/tree"
)

// prepare makes the steps that lead from base to after, with exact numbers.
func (p *Plan) prepare(ctx context.Context, d *draft) error {
	for _, c := range changes(p.base, p.after) {
		s := Step{Ref: c.Ref, Before: p.base.Find(c.Ref), After: p.after.Find(c.Ref)}
		if s.After != nil {
			if err := p.prepareStep(ctx, d, &s); err != nil {
				return err
			}
		}
		s.Action = s.action(p.inst)
		p.Steps = append(p.Steps, s)
	}
	return p.locate(ctx)
}

// prepareStep looks at what will be installed: the new release, or the one that is
// there already.
func (p *Plan) prepareStep(ctx context.Context, d *draft, s *Step) (err error) {
	f := d.new[s.Ref]
	if s.Release = f.release; s.Before == nil || s.Before.Release != f.digest {
		if s.Gains, err = p.gains(s); err != nil {
			return err
		}
	}
	s.contents = &contents{digest: f.digest, release: f.release, data: f.data, remote: lazily(f.files), head: f.target.Custom.Release, source: f.source}
	return nil
}

// gains says which permissions a release has that the one before it has not.
func (p *Plan) gains(s *Step) ([]string, error) {
	m, err := metadataOf(s.Release)
	if err != nil {
		return nil, err
	}
	if s.Before != nil {
		if rel, err := p.inst.document(s.Before.Release); err == nil {
			if old, err := metadataOf(rel); err == nil {
				return m.Permissions.Gained(old.Permissions), nil
			}
		}
	}
	return m.Permissions.Describe(), nil
}

// action names the step.
func (s *Step) action(i *Installation) Action {
	switch {
	case s.Before == nil:
		return Add
	case s.After == nil:
		return Remove
	case s.Before.Release == s.After.Release:
		return Remake
	}
	if before, err := i.document(s.Before.Release); err == nil && s.Release.Created.Before(before.Created) {
		return Downgrade
	}
	return Upgrade
}

// locate finds out for all steps what has to be fetched. What several of them
// need is fetched for the first.
func (p *Plan) locate(ctx context.Context) error {
	have := holdings{p.inst.store}
	for n := range p.Steps {
		s := &p.Steps[n]
		if s.contents == nil {
			continue
		}
		if err := p.locateStep(ctx, s, have); err != nil {
			return fmt.Errorf("planning %s %s: %w", s.Ref, s.After.Version, err)
		}
		have = append(have, s.contents.need)
		p.Requests += s.contents.plan.Requests
		p.Bytes += s.Bytes
		p.Disk += s.Disk
		p.Objects += s.contents.need.Objects
		p.Reused += s.contents.need.Reused
	}
	return nil
}

func (p *Plan) locateStep(ctx context.Context, s *Step, have fetch.Have) error {
	c := s.contents
	entries, err := p.tree(ctx, c)
	if err != nil {
		return err
	}
	if p.opt.OnDemand {
		if have, err = later(entries, have); err != nil {
			return err
		}
	}
	if err := c.survey(ctx, entries, have, p.opt.Seeds); err != nil {
		return err
	}
	if c.need.Objects > 0 && c.road == nil { // the tree was here, and not all of it
		if err := p.findRoad(ctx, c); err != nil {
			return err
		}
	}
	if err := c.locate(ctx, p.inst.store, have); err != nil {
		return err
	}
	if p.opt.OnDemand { // what is pretended to be here is not reused
		c.need.Reused = 0
	}
	if c.need.Objects > 0 {
		p.trees.forget()
	}
	s.Bytes, s.Disk = c.plan.Bytes, c.need.Disk
	s.Route = Route{Hops: c.plan.Hops, Packs: c.plan.Packs, Reused: c.need.Reused}
	if p.opt.Explain {
		s.Route.Fresh, err = c.fresh(ctx, entries)
	}
	return err
}

// tree gives the tree of a release, from the store or fetched: into the store, or
// for a dry run into a folder that goes with the plan. What comes by deltas is not
// fetched whole.
func (p *Plan) tree(ctx context.Context, c *contents) (_ iter.Seq2[*tree.Entry, error], err error) {
	info, to := c.release.Tree.Info(), p.inst.store
	if !p.trees.has(to, info) {
		if p.opt.DryRun {
			if to, err = p.aside(); err != nil {
				return nil, err
			}
		}
		if err := p.findRoad(ctx, c); err != nil {
			return nil, err
		}
		if c.road != nil {
			err = c.road.AddTree(ctx, to)
		} else {
			err = fetch.Tree(ctx, c.remote, info, to)
		}
		if err != nil {
			return nil, err
		}
	}
	return p.trees.of(to, info), nil
}

// findRoad looks for deltas, from any release that is here.
func (p *Plan) findRoad(ctx context.Context, c *contents) error {
	if p.opt.PacksOnly || p.opt.OnDemand || c.head.IsZero() {
		return nil
	}
	starts, err := p.inst.starts()
	if err != nil {
		return err
	}
	return c.findRoad(ctx, p.inst.store, fetch.RoadOptions{Starts: starts, Peek: p.opt.DryRun, Price: c.price(), Note: p.note})
}

// note keeps what went another way than it could have gone.
func (p *Plan) note(text string) {
	p.notes.Lock()
	defer p.notes.Unlock()
	p.Notes = append(p.Notes, text)
}

// scratchStore is a store in a temporary folder.
type scratchStore struct {
	*store.Store
	dir *beneath.Dir
}

func (p *Plan) aside() (*store.Store, error) {
	if p.scratch != nil {
		return p.scratch.Store, nil
	}
	path, err := os.MkdirTemp("", "larch-plan-")
	if err != nil {
		return nil, err
	}
	dir, err := beneath.Open(path)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	s, err := store.Open(dir)
	if err != nil {
		return nil, errors.Join(err, dir.Close(), os.RemoveAll(path))
	}
	p.scratch = &scratchStore{s, dir}
	return s, nil
}

// Close removes it.
func (s *scratchStore) Close() error {
	return errors.Join(s.Store.Close(), s.dir.Close(), os.RemoveAll(s.dir.Path()))
}

// holdings are the store, and what earlier steps of a plan will have brought.
type holdings []fetch.Have

// Has implements fetch.Have.
func (h holdings) Has(o store.Object) bool {
	return slices.ContainsFunc(h, func(have fetch.Have) bool { return have.Has(o) })
}

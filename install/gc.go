package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/release"
)

// GCOptions are choices for GC.
type GCOptions struct {
	Keep   int  // generations before the current one that undo can go back to
	DryRun bool // remove nothing
}

// Collected says what GC removed, or would remove.
type Collected struct {
	Generations int
	Deployments int
	Releases    int
	Trees       int
	Objects     int64
	Bytes       int64 // content of the objects
	InUse       []deploy.Deployment
}

// GC removes what neither the current generation nor those that are kept need: old
// generations, deployments, releases, trees and objects, in this order, so that an
// interruption leaves nothing that names what is gone. What runs stays, with all
// that it is made of. If one of the generations that are kept cannot be read it
// stays, with those before it and all that it might be made of. It waits for
// transactions to end.
func (i *Installation) GC(ctx context.Context, opt GCOptions) (*Collected, error) {
	if !opt.DryRun {
		held, err := i.hold(ctx)
		if err != nil {
			return nil, err
		}
		defer held.Close()
	}
	c := &collection{inst: i, dry: opt.DryRun, live: map[digest.Digest]bool{}}
	if err := c.run(ctx, opt.Keep); err != nil {
		return nil, fmt.Errorf("collecting: %w", err)
	}
	return &c.Collected, nil
}

// collection is a GC under way.
type collection struct {
	Collected
	inst *Installation
	dry  bool
	live map[digest.Digest]bool // releases that are needed

	// blur means that a generation that stays cannot be read, so that any deployment
	// and release may be of it; blind, that the tree of such a release cannot be read
	// either, so that any object may be.
	blur, blind bool
}

func (c *collection) run(ctx context.Context, keep int) error {
	kept, err := c.generations(keep)
	if err != nil {
		return err
	}
	if err := c.deployments(ctx, kept); err != nil {
		return err
	}
	trees, err := c.documents()
	if err != nil {
		return err
	}
	if err := c.objects(ctx, trees); err != nil {
		return err
	}
	if c.dry {
		return nil
	}
	if err := c.inst.sweepObjects(); err != nil {
		return err
	}
	return c.inst.barrier()
}

// generations removes all but the current one and those that undo can go back to,
// and gives them.
func (c *collection) generations(keep int) ([]*Generation, error) {
	kept, broken, err := c.inst.kept(keep)
	if err != nil {
		return nil, err
	}
	c.blur = broken > 0
	staying := map[int64]bool{}
	for _, g := range kept {
		staying[g.Number] = true
	}
	numbers, err := c.inst.numbers()
	if err != nil {
		return nil, err
	}
	for _, n := range numbers {
		if staying[n] || n <= broken {
			continue
		}
		c.Generations++
		if !c.dry {
			if err := c.inst.removeGeneration(n); err != nil {
				return nil, err
			}
		}
	}
	return kept, nil
}

// kept gives the current generation and up to so many of those that undo would go
// back to one after the other. Where one of them cannot be read nobody knows which
// was before it: it is broken, otherwise 0.
func (i *Installation) kept(before int) (kept []*Generation, broken int64, err error) {
	g, err := i.Current()
	if err != nil {
		return nil, 0, err
	}
	kept = []*Generation{g}
	for ; before > 0 && g.Parent > 0; before-- {
		there, err := i.root.Exists(generationName(g.Parent))
		if err != nil {
			return nil, 0, err
		}
		if !there { // collected before
			break
		}
		parent := g.Parent
		if g, err = i.read(parent); err != nil {
			return kept, parent, nil
		}
		kept = append(kept, g)
	}
	return kept, 0, nil
}

// deployments removes those that no generation names and nobody holds.
func (c *collection) deployments(ctx context.Context, kept []*Generation) error {
	named := map[deploy.Deployment]bool{}
	for _, g := range kept {
		for _, in := range g.Installed {
			named[in.deployment()] = true
			c.live[in.Release] = true
		}
	}
	all, err := deploy.List(c.inst.root)
	if err != nil {
		return err
	}
	for _, d := range all {
		if named[d] || c.blur {
			continue
		}
		if err := c.deployment(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// deployment removes one. What it is made of stays as long as it does.
func (c *collection) deployment(ctx context.Context, d deploy.Deployment) error {
	err := c.remove(ctx, d)
	switch {
	case err == nil:
		c.Deployments++
		return nil
	case !errors.Is(err, deploy.ErrInUse) && !errors.Is(err, ErrBackend):
		return err
	}
	c.InUse = append(c.InUse, d)
	if release, err := digest.Parse(d.Name); err == nil {
		c.live[release] = true
	}
	return nil
}

func (c *collection) remove(ctx context.Context, d deploy.Deployment) error {
	b, err := c.inst.backend(d.Backend) // one of a later larch is not ours to remove
	if err != nil || c.dry {
		return err
	}
	return b.Remove(ctx, c.inst.site(), d.Name)
}

// documents removes releases and trees, and gives the trees that stay.
func (c *collection) documents() ([]release.Tree, error) {
	trees, err := c.releases()
	if err != nil {
		return nil, err
	}
	live := map[digest.Digest]bool{}
	for _, t := range trees {
		live[t.Digest] = true
	}
	all, err := c.inst.store.Trees()
	if err != nil {
		return nil, err
	}
	for _, d := range all {
		if live[d] || c.blind {
			continue
		}
		c.Trees++
		if err := c.unless(func() error { return c.inst.store.RemoveTree(d) }); err != nil {
			return nil, err
		}
	}
	return trees, nil
}

// releases removes release documents, and gives the trees of those that stay, some
// perhaps twice.
func (c *collection) releases() (trees []release.Tree, err error) {
	all, err := c.inst.store.Releases()
	if err != nil {
		return nil, err
	}
	for d := range c.live {
		if !slices.Contains(all, d) {
			return nil, fmt.Errorf("release %s is installed and its document is missing: run larch verify --repair first: %w", d.Short(), fs.ErrNotExist)
		}
	}
	for _, d := range all {
		if c.live[d] || c.blur {
			rel, err := c.inst.document(d)
			switch {
			case err != nil && c.live[d]:
				return nil, err
			case err != nil || !c.live[d] && !c.inst.store.HasTree(rel.Tree.Digest, rel.Tree.Size):
				c.blind = true
			default:
				trees = append(trees, rel.Tree)
			}
			continue
		}
		c.Releases++
		if err := c.unless(func() error { return c.inst.store.RemoveRelease(d) }); err != nil {
			return nil, err
		}
	}
	return trees, nil
}

// unless does something, except in a dry run.
func (c *collection) unless(do func() error) error {
	if c.dry {
		return nil
	}
	return do()
}

// objects removes those that no tree needs.
func (c *collection) objects(ctx context.Context, trees []release.Tree) error {
	needed, err := c.inst.marked(trees)
	if err != nil {
		return err
	}
	doubtful, err := c.inst.root.Exists(uncleanName)
	if err != nil {
		return err
	}
	for found, err := range c.inst.store.Walk(ctx) {
		if err != nil {
			return err
		}
		if found.Digest.IsZero() {
			continue
		}
		if c.blind || needed.has(found.Object) {
			if doubtful {
				c.inst.store.Has(found.Object) // looks, and settles it
			}
			continue
		}
		c.Objects++
		c.Bytes += found.Size
		if err := c.unless(func() error { return c.inst.store.Remove(found.Object) }); err != nil {
			return err
		}
	}
	return nil
}

// sweepObjects removes what the store wrote beside a name when its process ended.
func (i *Installation) sweepObjects() error {
	names, err := i.root.ReadDir("objects")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range names {
		if err == nil {
			err = i.sweepAside(path.Join("objects", name))
		}
	}
	return err
}

// marked collects what trees need.
func (i *Installation) marked(trees []release.Tree) (*marks, error) {
	m := &marks{}
	for _, t := range trees {
		for e, err := range i.store.Tree(t.Digest, t.Size) {
			if err != nil {
				return nil, err
			}
			if o, ok := objectOf(e); ok {
				m.add(o)
			}
		}
		m.pack()
	}
	return m, nil
}

package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/pipeline"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/tree"
)

// Installed is a release that a machine has, and so needs whole.
type Installed struct {
	Ref     string
	Release digest.Digest
	Tree    tree.Info
}

const (
	fixRepair = "run larch verify --repair: it fetches what is damaged"
	fixRemove = "remove it: it is not Larch's"
	fixUnused = "run larch gc, or remove it: no installed release needs it"
)

// mostAffected bounds what one finding lists.
const mostAffected = 20

// Store reads all of a store and reports everything that is wrong with it: each
// object and document against its name, and what installed releases need and is
// not there. From then on the store doubts what was found wrong, so that it is
// replaced before it is used. With trust, contents that the kernel has measured are
// not read but counted; see [store.Store.Verify]. Memory grows with the number of
// findings alone. An error means that the check itself could not go on.
func Store(ctx context.Context, s *store.Store, installed []Installed, trust bool, report func(Finding)) (measured int64, err error) {
	c := storeCheck{store: s, trust: trust, wrong: map[string]*Finding{}}
	if err := c.objects(ctx); err != nil {
		return 0, err
	}
	if err := s.VerifyDocuments(ctx, func(name string, err error) { c.add(name, err.Error()) }); err != nil {
		return 0, err
	}
	for _, in := range installed {
		if err := c.needs(ctx, in); err != nil {
			return 0, err
		}
	}
	for _, name := range c.order {
		report(*c.wrong[name])
	}
	return c.measured, nil
}

type storeCheck struct {
	store    *store.Store
	trust    bool
	wrong    map[string]*Finding // by name below the store
	order    []string
	measured int64 // objects that the kernel answers for
}

// add notes something that nobody needs as far as it is known yet.
func (c *storeCheck) add(name, problem string) *Finding {
	f := &Finding{Where: name, Problem: problem, Fix: fixUnused}
	c.wrong[name] = f
	c.order = append(c.order, name)
	return f
}

// verified is what is below objects/, with what reading it said.
type verified struct {
	store.Found
	measured bool
	err      error
}

// objects reads all that is below objects/.
func (c *storeCheck) objects(ctx context.Context) error {
	verify := func(_ context.Context, found store.Found) (verified, error) {
		if found.Digest.IsZero() {
			return verified{Found: found}, nil
		}
		measured, err := c.store.Verify(found.Object, c.trust)
		return verified{found, measured, err}, nil
	}
	for v, err := range pipeline.Ordered(ctx, runtime.GOMAXPROCS(0), c.store.Walk(ctx), verify) {
		if v.measured {
			c.measured++
		}
		switch {
		case err != nil:
			return err
		case v.Digest.IsZero():
			c.add(v.Name, v.Problem).Fix = fixRemove
		case v.err != nil && !errors.Is(v.err, fs.ErrNotExist): // not removed since
			c.store.Doubt(v.Object)
			c.add(v.Name, v.err.Error())
		case v.Problem != "":
			c.store.Doubt(v.Object)
			c.add(v.Name, v.Problem)
		}
	}
	return nil
}

// needs finds what a release needs and is wrong or missing.
func (c *storeCheck) needs(ctx context.Context, in Installed) error {
	if _, err := c.store.Release(in.Release); err != nil {
		c.need(store.ReleaseName(in.Release), in.Ref)
	}
	if !c.store.HasTree(in.Tree.Digest, in.Tree.Size) {
		c.need(store.TreeName(in.Tree.Digest), in.Ref)
		return nil // its contents are not known
	}
	for e, err := range c.store.Tree(in.Tree.Digest, in.Tree.Size) {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if e.Kind != tree.Regular || e.Size <= tree.InlineMax {
			continue
		}
		o := store.ObjectOf(e)
		if name := o.Name(); c.wrong[name] != nil || !c.store.Has(o) {
			c.need(name, fmt.Sprintf("%s: %s", in.Ref, e.Path))
		}
	}
	return nil
}

// need says that what has this name, or should have it, is needed.
func (c *storeCheck) need(name, by string) {
	f := c.wrong[name]
	if f == nil {
		f = c.add(name, "is missing")
	}
	f.Fix = fixRepair
	switch len(f.Affects) {
	case mostAffected:
		f.Affects = append(f.Affects, "and more")
	case mostAffected + 1:
	default:
		f.Affects = append(f.Affects, by)
	}
}

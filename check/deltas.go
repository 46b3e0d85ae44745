package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/repo"
)

// deltas goes along every delta that leads to a release. Machines that meet a wrong
// one go another way, so it affects nothing but bytes. Where one of its releases was
// found wrong, that would be found again: only its own form is looked at then.
func (c *repositoryCheck) deltas(ctx context.Context, to repo.Logged) error {
	names, err := c.repo.DeltasTo(to.Digest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, from := range names {
		try := func() error { return c.repo.CheckDelta(ctx, to, from) }
		if c.damaged(to.Digest) || c.damaged(from) {
			try = func() error { _, _, err := c.repo.Delta(to.Digest, from); return err }
		}
		if err := try(); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			c.find(repo.DeltaName(to.Digest, from), nil, c.fixDelta(to, from), err)
		}
	}
	return nil
}

// damaged tells whether something was found in what a release is made of.
func (c *repositoryCheck) damaged(release digest.Digest) bool {
	return c.wrong[release] || slices.ContainsFunc(c.uses[release], func(p repo.Pack) bool { return c.wrong[p.Digest] })
}

// deltaMap checks the list of the deltas of a line.
func (c *repositoryCheck) deltaMap(head digest.Digest) {
	name := repo.DeltaMapName(head)
	f, err := c.repo.Dir().Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var edges []repo.Edge
	if err == nil {
		edges, err = repo.ReadDeltaMap(f)
		f.Close()
	}
	for _, e := range edges {
		d, size, wrong := c.repo.Delta(e.To, e.From)
		switch {
		case errors.Is(wrong, fs.ErrNotExist) || wrong == nil && size != e.Size:
			err = fmt.Errorf("lists %s, which is not there in that size", repo.DeltaName(e.To, e.From))
		case wrong == nil && d.Head != e.Head:
			err = fmt.Errorf("says that the plan of %s has %d bytes instead of %d", repo.DeltaName(e.To, e.From), e.Head, d.Head)
		}
	}
	if err != nil {
		c.find(name, nil, "larch repo prune REPO writes the list anew", err)
	}
}

// fixDelta says how to get a delta that is right.
func (c *repositoryCheck) fixDelta(to repo.Logged, from digest.Digest) string {
	version := "nothing"
	if !from.IsZero() {
		rel, err := c.repo.Release(from)
		if err != nil {
			return "remove the file: machines go another way"
		}
		version = rel.Version
	}
	return fmt.Sprintf("larch repo deltas drop REPO %s %s %s, and make it again, if it pays", to.Release.Ref, version, to.Release.Version)
}

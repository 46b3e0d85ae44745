package install

import (
	"context"
	"iter"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/fetch"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/tree"
)

// starts lists the releases whose trees are here: those that deltas can lead from.
func (i *Installation) starts() ([]fetch.Start, error) {
	trees, err := i.store.Trees()
	if err != nil {
		return nil, err
	}
	here := make(map[digest.Digest]bool, len(trees))
	for _, d := range trees {
		here[d] = true
	}
	releases, err := i.store.Releases()
	if err != nil {
		return nil, err
	}
	var list []fetch.Start
	for _, d := range releases {
		rel, err := i.document(d)
		if err == nil && here[rel.Tree.Digest] {
			list = append(list, fetch.Start{Release: d, Tree: rel.Tree.Info()})
		}
	}
	return list, nil
}

// fresh tells what the release would cost a machine that has nothing: the cheaper of
// the stream and the packs.
func (c *contents) fresh(ctx context.Context, entries iter.Seq2[*tree.Entry, error]) (fetch.Way, error) {
	need, err := fetch.Survey(ctx, entries, emptyHanded{})
	if err != nil {
		return fetch.Way{}, err
	}
	ix, err := c.index(ctx)
	if err != nil {
		return fetch.Way{}, err
	}
	plan, err := fetch.NewPlan(need, ix)
	if err != nil {
		return fetch.Way{}, err
	}
	best := plan.Packs
	stream, err := fetch.StreamSize(ctx, c.remote, c.head, c.digest)
	if err == nil && stream > 0 && stream < best.Bytes {
		best = fetch.Way{Requests: 1, Bytes: stream}
	}
	return best, err
}

// emptyHanded has nothing.
type emptyHanded struct{}

// Has implements fetch.Have.
func (emptyHanded) Has(store.Object) bool { return false }

package install

import (
	"context"
	"encoding/json"
	"iter"
	"path"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/fetch"
	"github.com/larch-project/larch/internal/durable"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/transport"
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

// linkName is where a remote's folder keeps what was seen of the way to it.
const linkName = "link"

// maxPrice bounds what a request counts for, in bytes: a server that is slow to answer
// must not make everything come in one.
const maxPrice = 256 << 10

// link gives what is known of the way to a remote: what this transaction saw, or one
// before it.
func (s *source) link() transport.Link {
	seen := s.stats.Link()
	if data, err := s.inst.root.ReadFile(path.Join(s.folder, linkName), 4096); err == nil && seen.Rate == 0 {
		var kept transport.Link
		if json.Unmarshal(data, &kept) == nil {
			seen.Rate = kept.Rate
		}
	}
	return seen
}

// keepLink remembers what this transaction saw, if that was enough to say something.
// It is a hint, and not worth an error.
func (all *sources) keepLink() {
	if len(all.list) != 1 || all.stats.Link().Rate == 0 {
		return
	}
	if data, err := json.Marshal(all.stats.Link()); err == nil {
		durable.WriteFile(all.inst.root, path.Join(all.list[0].folder, linkName), data, 0o644)
	}
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

package install

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"path"
	"strings"
	"sync"

	"github.com/larch-project/larch/deploy/fuse"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/fetch"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/tree"
)

// OnDemandBackend is the form in which contents may come after the installation.
const OnDemandBackend = "fuse"

// exportPath is where what is exported at the installation stands in a tree.
const exportPath = "/export/"

// notYet is a fetch.Have that pretends to have all contents but those that the
// installation itself needs.
type notYet struct {
	fetch.Have
	now map[digest.Digest]bool
}

// Has implements fetch.Have.
func (n notYet) Has(o store.Object) bool { return !n.now[o.Digest] || n.Have.Has(o) }

// later gives a Have for an installation whose contents come when they are read.
func later(entries iter.Seq2[*tree.Entry, error], have fetch.Have) (fetch.Have, error) {
	n := notYet{have, map[digest.Digest]bool{}}
	for e, err := range entries {
		if err != nil {
			return nil, err
		}
		if e.External() && strings.HasPrefix(string(e.Path), exportPath) {
			n.now[e.Digest] = true
		}
	}
	return n, nil
}

// onDemand is the fuse.Source of an installation: the contents of what is installed
// come from the remotes that it came from. It belongs to the process that serves
// them.
type onDemand struct {
	dir    string // of the installation
	helper []string

	mu       sync.Mutex
	inst     *Installation
	releases map[digest.Digest]*fetch.Lazy
}

// Open implements fuse.Source.
func (s *onDemand) Open(ctx context.Context, c fuse.Content) (fuse.Reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.releases {
		if l.Has(c.Digest) {
			return lazyReader{l, c.Digest}, nil
		}
	}
	if s.inst == nil {
		inst, err := Open(s.dir, Options{Helper: s.helper})
		if err != nil {
			return nil, err
		}
		s.inst, s.releases = inst, map[digest.Digest]*fetch.Lazy{}
	}
	l, err := s.find(context.WithoutCancel(ctx), c.Digest)
	if err != nil {
		return nil, err
	}
	return lazyReader{l, c.Digest}, nil
}

// find begins to fetch the release that has a content.
func (s *onDemand) find(ctx context.Context, d digest.Digest) (*fetch.Lazy, error) {
	generations, err := s.inst.History()
	if err != nil {
		return nil, err
	}
	for _, in := range eachOf(generations) {
		if in.Backend != OnDemandBackend || s.releases[in.Release] != nil {
			continue
		}
		has, err := s.has(in, d)
		if err != nil {
			return nil, err
		}
		if has {
			return s.begin(ctx, in)
		}
	}
	return nil, fmt.Errorf("content %s is of nothing that is installed", d.Short())
}

func (s *onDemand) has(in Installed, d digest.Digest) (bool, error) {
	for e, err := range (releases{s.inst}).Tree(in.Release.String()) {
		if err != nil {
			return false, err
		}
		if e.Kind == tree.Regular && e.Digest == d {
			return true, nil
		}
	}
	return false, nil
}

// begin fetches what is known about where a release's contents are, and goes on with
// all of them in the order in which an earlier start has read them.
func (s *onDemand) begin(ctx context.Context, in Installed) (*fetch.Lazy, error) {
	rel, err := s.inst.document(in.Release)
	if err != nil {
		return nil, err
	}
	src, err := s.source(ctx, in)
	if err != nil {
		return nil, err
	}
	name := path.Join(scratch, "on-demand-"+rand.Text())
	file, err := s.inst.root.Create(name, 0o600)
	if err != nil {
		return nil, err
	}
	_ = s.inst.root.Remove(name) // it needs no name from now on; if it keeps it, it is swept
	l, err := fetch.NewLazy(ctx, src, s.inst.store, in.Release, rel, file)
	if err != nil {
		return nil, err
	}
	s.releases[in.Release] = l
	l.Prefetch(s.order(in, rel))
	go s.finish(ctx, l, rel.Tree.Info())
	return l, nil
}

// order is in which order contents were read when the release was started before, or
// one of those before it, whose contents are much the same; nil if nothing was
// recorded.
func (s *onDemand) order(in Installed, rel *release.Release) []digest.Digest {
	names := []digest.Digest{in.Release}
	for _, p := range rel.Previous {
		names = append(names, p.Release)
	}
	for _, name := range names {
		if order, err := fuse.Order(s.inst.root, name.String()); err == nil && len(order) > 0 {
			return order
		}
	}
	return nil
}

// source opens the remote of a release; its trust is not asked again, for the release
// is known by its digest.
func (s *onDemand) source(ctx context.Context, in Installed) (transport.Transport, error) {
	r, err := s.inst.remote(in.Remote)
	if err != nil {
		return nil, err
	}
	return s.inst.opt.Transport(r.URL, nil, new(transport.Stats))
}

// finish stores everything when it is here; until then it is in the process's own
// file.
func (s *onDemand) finish(ctx context.Context, l *fetch.Lazy, info tree.Info) {
	if l.Whole(ctx) != nil {
		return // reads go on trying
	}
	held, err := s.inst.hold(ctx)
	if err != nil {
		return
	}
	defer held.Close()
	batch := s.inst.store.NewBatch(ctx)
	err = errors.Join(l.Store(ctx, s.inst.store, batch, info), batch.Close(), s.inst.store.End())
	_ = err // what was not stored stays where it is; verify --repair fetches it
}

// lazyReader is a fuse.Reader.
type lazyReader struct {
	from *fetch.Lazy
	d    digest.Digest
}

// ReadAt implements fuse.Reader.
func (r lazyReader) ReadAt(p []byte, off int64) (int, error) {
	return r.from.ReadAt(context.Background(), r.d, p, off)
}

// Close implements fuse.Reader.
func (lazyReader) Close() error { return nil }

package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/fetch"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/transport"
)

// lazyItems has contents that share frames, one of exactly a frame, and some of
// several.
func lazyItems() []item {
	return append(many(30, 20_000), item{"g", noise(100, repo.FrameSize), false}, item{"h", noise(101, 5*repo.FrameSize+77), true}, item{"i", noise(102, 3*repo.FrameSize), false})
}

// publishSpans writes what a publisher would.
func (p *published) publishSpans() {
	var text bytes.Buffer
	text.WriteString("larch spans 1\n")
	for _, i := range p.items {
		if len(i.data) > repo.FrameSize {
			_, spans, _ := digest.SumSpans(bytes.NewReader([]byte(i.data)))
			spans.WriteTo(&text)
		}
	}
	p.seal(repo.SpansName(p.info.Digest), text.Bytes())
}

func newLazy(t *testing.T, p *published, m *machine, from transport.Transport) *fetch.Lazy {
	t.Helper()
	if err := fetch.Tree(t.Context(), from, p.info, m.store); err != nil {
		t.Fatal(err)
	}
	scratch, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	rel, err := release.Decode(p.data)
	if err != nil {
		t.Fatal(err)
	}
	l, err := fetch.NewLazy(t.Context(), from, m.store, p.release, rel, scratch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestLazyReads(t *testing.T) {
	for _, spans := range []bool{false, true} {
		items := lazyItems()
		p := publish(t, items, packing{})
		if spans {
			p.publishSpans()
		}
		from, stats := p.open()
		m := newMachine(t)
		l := newLazy(t, p, m, from)
		before := stats.Bytes.Load()

		// A piece of a large content costs its frame and those ahead, not all.
		large := items[31].data
		piece := make([]byte, 5000)
		if _, err := l.ReadAt(t.Context(), digest.Of([]byte(large)), piece, 100); err != nil || string(piece) != large[100:5100] {
			t.Fatalf("spans %v: error %v", spans, err)
		}
		if got := stats.Bytes.Load() - before; spans && got > 5*repo.FrameSize {
			t.Errorf("%d bytes for a piece of 5000", got)
		}

		var group sync.WaitGroup
		for seed := range uint64(4) {
			group.Go(func() {
				r := rand.New(rand.NewPCG(seed, 1))
				for range 200 {
					i := items[r.IntN(len(items))]
					off := r.Int64N(int64(len(i.data)))
					p := make([]byte, min(1+r.IntN(300_000), len(i.data)-int(off)))
					n, err := l.ReadAt(context.Background(), digest.Of([]byte(i.data)), p, off)
					if err != nil || string(p[:n]) != i.data[off:int(off)+len(p)] {
						t.Errorf("spans %v, seed %d: %s at %d: %d bytes, error %v", spans, seed, i.name, off, n, err)
						return
					}
				}
			})
		}
		group.Wait()
		l.Prefetch(nil)
		if err := l.Whole(t.Context()); err != nil {
			t.Fatal(err)
		}
		batch := m.store.NewBatch(t.Context())
		defer batch.Close()
		if err := l.Store(t.Context(), m.store, batch, p.info); err != nil {
			t.Fatal(err)
		}
		m.expectAll(p)
	}
}

// whatever is wrong in a pack, nothing wrong is read
func TestLazyRefusesDamage(t *testing.T) {
	for _, spans := range []bool{false, true} {
		items := lazyItems()
		p := publish(t, items, packing{})
		if spans {
			p.publishSpans()
		}
		packs, err := filepath.Glob(filepath.Join(p.dir, "packs", "*"))
		if err != nil || len(packs) == 0 {
			t.Fatal(packs, err)
		}
		for _, name := range packs {
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			for at := int64(1000); at < info.Size(); at += info.Size() / 20 {
				flip(t, name, at)
			}
		}
		from, _ := p.open()
		l := newLazy(t, p, newMachine(t), from)
		failed := 0
		for _, i := range items {
			data := make([]byte, len(i.data))
			n, err := l.ReadAt(t.Context(), digest.Of([]byte(i.data)), data, 0)
			switch {
			case err == nil && string(data[:n]) != i.data:
				t.Errorf("spans %v: %s was read wrong", spans, i.name)
			case err != nil && !errors.Is(err, digest.ErrMismatch):
				t.Errorf("spans %v: %s: error %v", spans, i.name, err)
			case err != nil:
				failed++
			}
		}
		if failed == 0 {
			t.Errorf("spans %v: the damage was not met", spans)
		}
	}
}

// wrong spans are as good as none
func TestLazyWithWrongSpans(t *testing.T) {
	items := lazyItems()
	p := publish(t, items, packing{})
	p.seal(repo.SpansName(p.info.Digest), []byte("larch spans 1\nnonsense"))
	from, _ := p.open()
	l := newLazy(t, p, newMachine(t), from)
	large := items[31].data
	data := make([]byte, len(large))
	if _, err := l.ReadAt(t.Context(), digest.Of([]byte(large)), data, 0); err != nil || string(data) != large {
		t.Errorf("error %v", err)
	}
}

// the network goes and comes: the reader waits
func TestLazyWaitsForTheNetwork(t *testing.T) {
	items := lazyItems()
	p := publish(t, items, packing{})
	p.publishSpans()
	from, _ := p.open()
	var failures atomic.Int64
	flaky := transportFunc(func(ctx context.Context, req transport.Request) (*transport.Response, error) {
		if req.Offset > 0 && failures.Add(1) <= 3 {
			return nil, transport.ErrStalled
		}
		return from.Fetch(ctx, req)
	})
	l := newLazy(t, p, newMachine(t), flaky)
	large := items[32].data
	data := make([]byte, len(large))
	if _, err := l.ReadAt(t.Context(), digest.Of([]byte(large)), data, 0); err != nil || string(data) != large {
		t.Errorf("error %v", err)
	}
	if failures.Load() < 3 {
		t.Error("the network never failed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.ReadAt(ctx, digest.Of([]byte(items[0].data)), make([]byte, 10), 0); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: error %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

package fetch

import (
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/tree"
)

type nothing struct{}

func (nothing) Has(store.Object) bool { return false }

// fakeTree has n contents whose digests are made up.
func fakeTree(n int) func(func(*tree.Entry, error) bool) {
	return func(yield func(*tree.Entry, error) bool) {
		for i := range n {
			e := &tree.Entry{Kind: tree.Regular, Size: 1000}
			binary.LittleEndian.PutUint64(e.Digest[:], uint64(i)*0x9e3779b97f4a7c15)
			if !yield(e, nil) {
				return
			}
		}
	}
}

// fakeIndex puts 250 contents into a frame.
func fakeIndex(n int) *repo.Index {
	ix := &repo.Index{Packs: []repo.Pack{{Digest: digest.Of(nil), Size: repo.MaxPack}}, Objects: make([]repo.Location, n)}
	for i := range n {
		if i%250 == 0 {
			ix.Frames = append(ix.Frames, repo.Frame{Offset: int64(len(ix.Frames)) * 20_000, Length: 20_000, Raw: 250_000})
		}
		ix.Objects[i] = repo.Location{Frame: int32(len(ix.Frames) - 1), Offset: int32(i % 250 * 1000)}
	}
	return ix
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A plan of 400,000 contents takes less than 32 MiB, its index included.
func TestMemoryOfPlan(t *testing.T) {
	const n = 400_000
	before := heap()
	need, err := Survey(t.Context(), fakeTree(n), nothing{})
	if err != nil {
		t.Fatal(err)
	}
	surveyed := heap() - before
	plan, err := NewPlan(need, fakeIndex(n))
	if err != nil {
		t.Fatal(err)
	}
	planned := heap() - before
	runtime.KeepAlive(plan)
	if surveyed/n > 56 || planned/n > 80 {
		t.Errorf("%d bytes for a content after the survey, %d after planning", surveyed/n, planned/n)
	}
	if need.Objects != n || len(plan.pieces) != n {
		t.Errorf("%+v", need)
	}
}

func TestContentsAreFound(t *testing.T) {
	c := newContents()
	for e := range fakeTree(10_000) {
		if err := c.want(e); err != nil {
			t.Fatal(err)
		}
	}
	for e := range fakeTree(10_000) { // again, in the other form
		e.Mode = 0o755
		if err := c.want(e); err != nil {
			t.Fatal(err)
		}
	}
	if c.count != 10_000 || c.find(digest.Of(nil)) >= 0 {
		t.Fatalf("%d contents", c.count)
	}
	for n := range c.count {
		if c.find(c.digest(n)) != n || len(c.lacking(n)) != 2 {
			t.Fatalf("content %d", n)
		}
	}
}

func TestProgressIsNeverMoreThanPlanned(t *testing.T) {
	var told int64
	r := &run{progress: func(n int64) {
		if n <= 0 {
			t.Errorf("%d bytes", n)
		}
		told += n
	}}
	r.expected.Store(100)
	for _, n := range []int64{0, 40, 50, 30, 7} {
		r.tell(n)
	}
	if told != 100 {
		t.Errorf("%d bytes of 100", told)
	}
}

func BenchmarkSurvey(b *testing.B) {
	for b.Loop() {
		if _, err := Survey(b.Context(), fakeTree(100_000), nothing{}); err != nil {
			b.Fatal(err)
		}
	}
}

package main

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sample is a family of three versions, with every kind of column.
func sample() result {
	f := family{name: "hello & co", versions: []version{{"1.0", "/1"}, {"1.1", "/2"}, {"2.0", "/3"}}}
	figures := func(scale int64) map[pair]figure {
		return map[pair]figure{
			{nothing, 2}: {Bytes: 400_000 * scale, Requests: 9, CPU: time.Second, Memory: 30 << 20},
			{0, 1}:       {Bytes: 812 * scale, Requests: 8, CPU: 10 * time.Millisecond, Memory: 20 << 20},
			{1, 2}:       {Bytes: 30_000 * scale, Requests: 9, CPU: 20 * time.Millisecond, Memory: 21 << 20},
			{0, 2}:       {Bytes: 31_000 * scale, Requests: 12, CPU: 30 * time.Millisecond, Memory: 22 << 20},
		}
	}
	return result{
		family: f, files: 12, bytes: 1_234_567, larch: figures(1), plain: figures(4),
		columns: []column{
			{name: ostreePlain, figures: figures(5)},
			{name: ostreeDelta, figures: map[pair]figure{{0, 1}: {Bytes: 999, Requests: 2, Fetched: 5000}}},
			{name: casyncName, missing: "casync is not installed"},
			{name: archive, figures: map[pair]figure{{nothing, 2}: {Bytes: 390_000, Requests: 1}}},
			{name: "zstd patch", limit: true, figures: map[pair]figure{{0, 1}: {Bytes: 700}, {1, 2}: {Bytes: 20_000}}},
			{name: "bsdiff", limit: true, figures: map[pair]figure{{0, 1}: {Bytes: 710}}, failed: []error{errors.New("1.1 → 2.0: bsdiff: no memory\nat all")}},
		},
		publications: []publication{
			{time.Second, 100 << 20, storage{packs: 400_000, streams: 390_000, rest: 5000}},
			{2 * time.Second, 101 << 20, storage{packs: 5000, deltas: 700, streams: 391_000, rest: 5100}},
			{3 * time.Second, 102 << 20, storage{packs: 95_000, deltas: 29_300, streams: 392_000, rest: 5200}},
		},
		storage: storage{packs: 500_000, deltas: 30_000, streams: 392_000, rest: 9000},
		directs: []direct{{pair{0, 2}, 31_000, 30_000}},
	}
}

func TestPairsAreFreshAndAllUpdates(t *testing.T) {
	want := []pair{{nothing, 2}, {0, 1}, {0, 2}, {1, 2}}
	if diff := cmp.Diff(want, sample().pairs(), cmp.AllowUnexported(pair{})); diff != "" {
		t.Error(diff)
	}
	want = []pair{{nothing, 2}, {0, 1}, {1, 2}, {0, 2}}
	if diff := cmp.Diff(want, edges(sample().family), cmp.AllowUnexported(pair{})); diff != "" {
		t.Error(diff)
	}
	two := family{versions: make([]version, 2)}
	if diff := cmp.Diff([]pair{{nothing, 1}, {0, 1}}, edges(two), cmp.AllowUnexported(pair{})); diff != "" {
		t.Error(diff)
	}
}

func TestSpreadChoosesNoNeighbours(t *testing.T) {
	for _, test := range []struct{ versions, ask, get int }{{2, 6, 0}, {3, 6, 1}, {4, 6, 3}, {8, 6, 6}, {8, 1, 1}, {8, 0, 0}} {
		list := spread(family{versions: make([]version, test.versions)}, test.ask)
		if len(list) != test.get {
			t.Errorf("%d of %d versions: %v", test.ask, test.versions, list)
		}
		if len(list) > 0 && list[0] != (pair{0, test.versions - 1}) {
			t.Errorf("starts with %v", list[0])
		}
		for i, p := range list {
			if p.steps() < 2 || slices.Contains(list[:i], p) {
				t.Errorf("chose %v in %v", p, list)
			}
		}
	}
}

func TestStatistics(t *testing.T) {
	if m := median([]float64{1, 2, 9}); m != 2 {
		t.Errorf("median %v", m)
	}
	if m := median([]float64{1, 2, 4, 9}); m != 3 {
		t.Errorf("median %v", m)
	}
	r := sample()
	if list := ratios(r.larch, r.plain); !slices.Equal(list, []float64{0.25, 0.25, 0.25}) {
		t.Errorf("ratios %v: a fresh install is no update", list)
	}
	if most := r.mostRequests(); !slices.Equal(most, []int64{9, 12}) {
		t.Errorf("most requests %v", most)
	}
	if n, ok := r.smallestLimit(pair{0, 1}); n != 700 || !ok {
		t.Errorf("limit %d %v", n, ok)
	}
	if _, ok := r.smallestLimit(pair{0, 2}); ok {
		t.Error("a limit that nobody measured")
	}
}

func TestFailuresEndTheRun(t *testing.T) {
	if err := failures([]result{sample()}); err == nil {
		t.Error("a peer failed, and nobody says so")
	}
	if err := failures([]result{{}}); err != nil {
		t.Error(err)
	}
}

func TestSizesHaveThreeDigits(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 812: "812 B", 999: "999 B", 1000: "1.00 kB", 52_345: "52.3 kB", 99_960: "100 kB", 999_400: "999 kB", 999_600: "1.00 MB", 1_160_000: "1.16 MB", 5e12: "5000 GB"} {
		if have := size(n); have != want {
			t.Errorf("%d: %s, not %s", n, have, want)
		}
	}
}

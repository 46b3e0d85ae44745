package repo_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/tree"
)

// edited changes some bytes of a content.
func edited(s string, at ...int) string {
	p := []byte(s)
	for _, i := range at {
		p[i] ^= 0x55
	}
	return string(p)
}

// logged gives the releases of hello, newest first.
func (w *world) logged() []repo.Logged {
	w.t.Helper()
	log, err := w.repo.Log(w.t.Context(), w.head(hello), 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return log
}

// edges lists the deltas as "from -> to", by version.
func (w *world) edges() (list []string) {
	w.t.Helper()
	versions := map[digest.Digest]string{{}: "nothing"}
	for _, l := range w.logged() {
		versions[l.Digest] = l.Release.Version
	}
	edges, err := w.repo.Edges()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range edges {
		list = append(list, versions[e.From]+" -> "+versions[e.To])
	}
	slices.Sort(list)
	return list
}

// mapped lists what readers are told, by version.
func (w *world) mapped() (list []string) {
	w.t.Helper()
	f, err := os.Open(filepath.Join(w.path, repo.DeltaMapName(w.head(hello))))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	edges, err := repo.ReadDeltaMap(f)
	if err != nil {
		w.t.Fatal(err)
	}
	versions := map[digest.Digest]string{{}: "nothing"}
	for _, l := range w.logged() {
		versions[l.Digest] = l.Release.Version
	}
	for _, e := range edges {
		list = append(list, versions[e.From]+" -> "+versions[e.To])
	}
	slices.Sort(list)
	return list
}

func (w *world) expectEdges(want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.edges()); diff != "" {
		w.t.Errorf("deltas (-want +have):\n%s", diff)
	}
	if diff := cmp.Diff(want, w.mapped()); diff != "" {
		w.t.Errorf("list of deltas (-want +have):\n%s", diff)
	}
}

func threeVersions() []files {
	one := files{"bin/hello": noise(1, 400_000), "share/a": strings.Repeat("a text, ", 3000), "share/b": noise(2, 5000)}
	two := files{"bin/hello": edited(one["bin/hello"], 10, 300_000), "share/a": one["share/a"] + "more", "share/b": one["share/b"]}
	three := files{"bin/hello": edited(two["bin/hello"], 20), "share/a": two["share/a"], "share/c": noise(3, 700)}
	return []files{one, two, three}
}

func (w *world) publishAll(versions []files) {
	for i, f := range versions {
		w.publish(hello, string(rune('1'+i)), f)
	}
}

func TestPublicationsLeadToEachOther(t *testing.T) {
	w := newWorld(t)
	w.publishAll(threeVersions())
	w.expectEdges("1 -> 2", "2 -> 3", "nothing -> 3")
	w.expectClean()
	for _, e := range must(w.repo.Edges()) {
		if !e.From.IsZero() && e.Size > 4000 {
			t.Errorf("a delta of %d bytes", e.Size)
		}
	}
	again := w.publish(hello, "4", threeVersions()[2]) // nothing new
	if len(again.Deltas) != 2 || again.Deltas[0].Size > 300 {
		t.Errorf("deltas to the same contents: %+v", again.Deltas)
	}
	w.expectClean()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestDeltasAreTheSameWhereverTheyAreMade(t *testing.T) {
	w := newWorld(t)
	w.publishAll(threeVersions())
	log := w.logged()
	for _, e := range must(w.repo.Edges()) {
		path := filepath.Join(w.path, repo.DeltaName(e.To, e.From))
		before := must(os.ReadFile(path))
		to := log[slices.IndexFunc(log, func(l repo.Logged) bool { return l.Digest == e.To })]
		var from *repo.Logged
		if !e.From.IsZero() {
			from = &log[slices.IndexFunc(log, func(l repo.Logged) bool { return l.Digest == e.From })]
		}
		if made := must(w.repo.MakeDelta(t.Context(), from, to, time.Hour)); made {
			t.Error("it made what was there")
		}
		if err := w.repo.DropDelta(t.Context(), from, to); err != nil {
			t.Fatal(err)
		}
		if err := w.repo.DropDelta(t.Context(), from, to); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("dropping it again: %v", err)
		}
		w.expectClean()
		if made := must(w.repo.MakeDelta(t.Context(), from, to, time.Hour)); !made {
			t.Error("it made nothing")
		}
		if !bytes.Equal(before, must(os.ReadFile(path))) {
			t.Errorf("%s -> %s differs from what publishing made", e.From.Short(), e.To.Short())
		}
	}
	w.expectEdges("1 -> 2", "2 -> 3", "nothing -> 3")
	if made := must(w.repo.MakeDelta(t.Context(), &log[0], log[2], time.Hour)); !made { // back
		t.Error("no way back")
	}
	w.expectEdges("1 -> 2", "2 -> 3", "3 -> 1", "nothing -> 3")
	w.expectClean()
}

func TestStreamsOfOlderReleasesStayIfTheyArePinned(t *testing.T) {
	w := newWorld(t)
	all := threeVersions()
	w.publishAll(all[:1])
	must(w.repo.MakeDelta(t.Context(), nil, w.logged()[0], time.Hour)) // it was there: now it stays
	w.publish(hello, "2", all[1])
	w.publish(hello, "3", all[2])
	w.expectEdges("1 -> 2", "2 -> 3", "nothing -> 1", "nothing -> 3")
	must(w.repo.Prune(t.Context(), 0, now, false))
	w.expectEdges("1 -> 2", "2 -> 3", "nothing -> 1", "nothing -> 3")
	log := w.logged()
	if err := w.repo.DropDelta(t.Context(), nil, log[2]); err != nil {
		t.Fatal(err)
	}
	must(w.repo.Prune(t.Context(), 0, now, false))
	w.expectEdges("1 -> 2", "2 -> 3", "nothing -> 3")
	w.expectClean()
}

func TestPruneLeavesWhatLeadsToWhatStays(t *testing.T) {
	w := newWorld(t)
	w.publishAll(threeVersions())
	log := w.logged()
	must(w.repo.Prune(t.Context(), 1, now.Add(2*repo.RetiredFor), false))
	w.expectClean()
	edges := must(w.repo.Edges())
	slices.SortFunc(edges, func(a, b repo.Edge) int { return bytes.Compare(a.From[:], b.From[:]) })
	if len(edges) != 2 || !edges[0].From.IsZero() || edges[1].From != log[1].Digest {
		t.Errorf("deltas %+v", edges)
	}
	left, err := os.ReadDir(filepath.Join(w.path, "deltas"))
	if err != nil || len(left) != 1 {
		t.Errorf("%d folders of deltas, %v", len(left), err)
	}
}

func TestRepackMovesWhatDeltasPointTo(t *testing.T) {
	w := newWorld(t)
	w.publishAll(threeVersions())
	done := must(w.repo.Repack(t.Context(), now))
	if done.Retired == 0 {
		t.Fatal("nothing was repacked")
	}
	w.expectEdges("1 -> 2", "2 -> 3", "nothing -> 3")
	must(w.repo.Prune(t.Context(), 0, now.Add(2*repo.RetiredFor), false))
	for _, e := range must(w.repo.Edges()) {
		d, _, err := w.repo.Delta(e.To, e.From)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range d.Index.Packs {
			if _, err := os.Stat(filepath.Join(w.path, repo.PackName(p.Digest))); err != nil {
				t.Errorf("a delta points to a pack that is not there: %v", err)
			}
		}
	}
	w.expectClean()
}

func TestDirectDeltasWhereTheySaveEnough(t *testing.T) {
	w := newWorld(t)
	base := noise(1, 300_000)
	for i := range 5 { // one part changes each time, all of it
		changed := []byte(base)
		copy(changed[:100_000], noise(uint64(10+i), 100_000))
		w.publish(hello, string(rune('1'+i)), files{"bin/hello": string(changed)})
	}
	have := w.edges()
	for _, want := range []string{"1 -> 3", "2 -> 4", "3 -> 5", "1 -> 5"} {
		if !slices.Contains(have, want) {
			t.Errorf("no delta %s of %v", want, have)
		}
	}
	if slices.Contains(have, "1 -> 4") {
		t.Error("three back is not tried")
	}
	w.expectClean()
}

func TestDeltasFromNamedVersions(t *testing.T) {
	w := newWorld(t)
	all := threeVersions()
	w.publishAll(all[:2])
	publishFrom := func(version string) error {
		req := w.request(hello, "3", all[2])
		req.Deltas.From = []string{version}
		_, err := w.repo.Publish(t.Context(), w.keys, req)
		return err
	}
	if err := publishFrom("7"); !errors.Is(err, repo.ErrUnknownRelease) {
		t.Errorf("from a version that is not there: %v", err)
	}
	w.expectClean()
	if err := publishFrom("1"); err != nil {
		t.Fatal(err)
	}
	w.expectEdges("1 -> 2", "1 -> 3", "2 -> 3", "nothing -> 3")
}

func TestWithoutABudgetNothingIsMade(t *testing.T) {
	w := newWorld(t)
	for i, f := range threeVersions() {
		req := w.request(hello, string(rune('1'+i)), f)
		req.Deltas.Budget = 0
		if done := must(w.repo.Publish(t.Context(), w.keys, req)); len(done.Deltas) > 0 {
			t.Errorf("deltas %+v", done.Deltas)
		}
	}
	if have := w.edges(); len(have) > 0 {
		t.Error(have)
	}
	log := w.logged()
	if made := must(w.repo.MakeDelta(t.Context(), &log[1], log[0], time.Nanosecond)); made {
		t.Error("it made a delta of nothing")
	}
	w.expectClean()
}

func (w *world) request(ref, version string, content files) repo.PublishRequest {
	w.t.Helper()
	parsed, err := release.ParseRef(ref)
	if err != nil {
		w.t.Fatal(err)
	}
	source, err := tree.Folder(folder(w.t, content), tree.ApplicationRules())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { source.Close() })
	return repo.PublishRequest{Ref: parsed, Version: version, Command: "hello", Source: source, Now: now, Deltas: repo.DeltaOptions{Budget: time.Hour}}
}

// TestBases publishes contents under other names, and wants deltas that are small.
func TestBases(t *testing.T) {
	code := func(seed uint64) string { return noise(seed, 60_000) }
	for _, test := range []struct {
		name     string
		old, new files
		limit    int64
	}{
		{"a version in the name of a folder",
			files{"lib/app-1.2.3/core.so": code(1), "lib/app-1.2.3/more.so": code(2)},
			files{"lib/app-1.2.4/core.so": edited(code(1), 5), "lib/app-1.2.4/more.so": edited(code(2), 7)}, 2000},
		{"hashes of a bundler",
			files{"chunk-3f2a.js": code(1), "chunk-77c0.js": code(2), "chunk-aa01.js": code(3)},
			files{"chunk-d3e4.js": edited(code(2), 5), "chunk-0b0c.js": edited(code(3), 7), "chunk-9f1e.js": edited(code(1), 9)}, 2000},
		{"another name, another place",
			files{"one/first": code(1), "two/second": code(2)},
			files{"three/fourth.bin": edited(code(1), 5), "two/second": code(2)}, 1500},
		{"swapped", files{"a": code(1), "b": code(2)}, files{"a": edited(code(2), 3), "b": edited(code(1), 3)}, 2000},
		{"a copy that was changed", files{"a": code(1)}, files{"a": code(1), "b/a": edited(code(1), 9)}, 1200},
		{"moved to another extension", files{"a.txt": code(1), "x": "x"}, files{"a.md": edited(code(1), 100), "x": "x"}, 1200},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.publishAll([]files{test.old, test.new})
			log := w.logged()
			for _, e := range must(w.repo.Edges()) {
				if e.From == log[1].Digest && e.Size > test.limit {
					t.Errorf("%d bytes, limit %d", e.Size, test.limit)
				}
			}
			w.expectClean()
		})
	}
}

func TestWhatHasNothingInCommonTravelsInPacks(t *testing.T) {
	w := newWorld(t)
	w.publishAll([]files{{"bin/hello": noise(1, 2_000_000)}, {"bin/hello": noise(2, 2_000_000)}})
	log := w.logged()
	d, size, err := w.repo.Delta(log[0].Digest, log[1].Digest)
	if err != nil || len(d.Groups) > 0 || size > 1000 || len(d.Index.Objects) != 1 {
		t.Errorf("%d groups in %d bytes, %v", len(d.Groups), size, err)
	}
	w.expectClean()
}

func TestTheCheapestChain(t *testing.T) {
	d := func(n int) (d digest.Digest) {
		d[0], d[1], d[2] = 1, byte(n), byte(n>>8)
		return d
	}
	edge := func(from, to int, size int64) repo.Edge { return repo.Edge{From: d(from), To: d(to), Size: size} }
	from := func(n ...int) func(digest.Digest) bool {
		return func(x digest.Digest) bool { return slices.ContainsFunc(n, func(n int) bool { return d(n) == x }) }
	}
	nothing := repo.Edge{To: d(9), Size: 1000}
	loop := []repo.Edge{edge(1, 2, 1), edge(2, 1, 1), edge(2, 3, 1), edge(3, 2, 1), edge(3, 3, 0), edge(3, 9, 5), edge(1, 9, 600), nothing}
	for _, test := range []struct {
		name  string
		edges []repo.Edge
		start func(digest.Digest) bool
		price int64
		want  []repo.Edge
	}{
		{"through a loop", loop, from(1), 10, []repo.Edge{loop[0], loop[2], loop[5]}},
		{"requests are dear", loop, from(1), 400, []repo.Edge{loop[6]}},
		{"the nearest of two", loop, from(1, 3), 10, []repo.Edge{loop[5]}},
		{"from nothing", loop, from(), 10, []repo.Edge{nothing}},
		{"nothing leads there", loop[:5], from(1), 10, nil},
		{"none", nil, from(1), 10, nil},
	} {
		if diff := cmp.Diff(test.want, repo.Cheapest(test.edges, test.start, d(9), test.price)); diff != "" {
			t.Errorf("%s (-want +have):\n%s", test.name, diff)
		}
	}
	var chain []repo.Edge
	for i := range 10_000 {
		chain = append(chain, edge(i, i+1, 1))
	}
	if got := repo.Cheapest(chain, from(0), d(10_000), 1); got != nil {
		t.Errorf("a chain of %d", len(got))
	}
	if got := repo.Cheapest(chain, from(9_990), d(10_000), 1); len(got) != 10 {
		t.Errorf("a chain of %d instead of 10", len(got))
	}
}

func TestReadDeltaRefuses(t *testing.T) {
	good := func() *repo.Delta {
		return &repo.Delta{Size: 10, Groups: []repo.Group{{Bases: []int32{3}, News: []int32{1, 2}, Length: 5}}, Index: &repo.Index{}}
	}
	encode := func(d *repo.Delta) []byte { return append(must(d.Encode(4)), make([]byte, 9)...) }
	read := func(data []byte) (*repo.Delta, error) {
		return repo.ReadDelta(bufio.NewReader(bytes.NewReader(data)), 1<<20)
	}
	d, err := read(encode(good()))
	if err != nil || d.End() != int64(len(encode(good()))) || d.TreeFrame() != 4 {
		t.Fatalf("%+v, %v", d, err)
	}
	bad := map[string][]byte{"empty": nil, "another magic": []byte("larch delta 2\nxxxxxxxxxxxxxxx"), "a long plan": []byte("larch delta 1\n\xff\xff\xff\x7f")}
	zero := good()
	zero.Groups[0].Length = 0
	bad["an empty frame"] = encode(zero)
	below := good()
	below.Groups[0].News[0] = -1
	bad["a number below zero"] = encode(below)
	overflow := good()
	overflow.Groups = append(overflow.Groups, repo.Group{News: []int32{3}, Length: 1 << 50}, repo.Group{News: []int32{4}, Length: 1 << 50})
	bad["lengths that overflow"] = encode(overflow)
	whole := encode(good())
	for i := range len(whole) - 9 {
		bad["cut at "+string(rune('0'+i%10))+strings.Repeat(".", i)] = whole[:i]
	}
	for name, data := range bad {
		if _, err := read(data); !errors.Is(err, repo.ErrDelta) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzReadDelta: what is accepted is written again and read as the same.
func FuzzReadDelta(f *testing.F) {
	d := &repo.Delta{Size: 10, Groups: []repo.Group{{Bases: []int32{3}, News: []int32{1, 2}, Length: 5}}, Index: &repo.Index{}}
	f.Add(must(d.Encode(4)))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := repo.ReadDelta(bufio.NewReader(bytes.NewReader(data)), 1<<16)
		if err != nil {
			return
		}
		again, err := repo.ReadDelta(bufio.NewReader(bytes.NewReader(must(d.Encode(d.TreeFrame())))), 1<<16)
		if err != nil || len(again.Groups) != len(d.Groups) || again.End()-again.Head != d.End()-d.Head {
			t.Errorf("%d groups became %d: %v", len(d.Groups), len(again.Groups), err)
		}
	})
}

func TestDeltasFromAnotherRepositoryAreFound(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	w.publishAll(threeVersions())
	other.publishAll([]files{{"bin/hello": noise(8, 90_000)}, {"bin/hello": noise(9, 90_000)}})
	mine, theirs := w.logged(), other.logged()
	foreign := must(os.ReadFile(filepath.Join(other.path, repo.DeltaName(theirs[0].Digest, theirs[1].Digest))))
	w.overwrite(filepath.Join(w.path, repo.DeltaName(mine[0].Digest, mine[1].Digest)), foreign)
	if err := w.repo.CheckDelta(t.Context(), mine[0], mine[1].Digest); !errors.Is(err, repo.ErrDelta) {
		t.Errorf("a delta of another repository: %v", err)
	}
	if found := w.findings(); len(found) == 0 {
		t.Error("check found nothing")
	}
}

// TestInterruptedPruneLeavesWholeReleases stops it for good before each change.
func TestInterruptedPruneLeavesWholeReleases(t *testing.T) {
	stop := errors.New("stopped here")
	later := now.Add(2 * repo.RetiredFor)
	base := newWorld(t)
	for n := range 3 {
		base.publish(hello, fmt.Sprint(n), files{"a": noise(uint64(n), 1000), "b": noise(9, 2000)})
	}
	must(base.repo.MakeDelta(t.Context(), &base.logged()[1], base.logged()[0], time.Hour))
	var want []string
	for at := 1; ; at++ {
		w := *base
		w.path = t.TempDir()
		if err := os.CopyFS(w.path, os.DirFS(base.path)); err != nil {
			t.Fatal(err)
		}
		w.repo = must(repo.Open(w.path))
		defer w.repo.Close()
		if want == nil {
			must(w.repo.Prune(t.Context(), 1, later, false))
			want = w.names()
			continue
		}
		count := 0
		_, err := w.repo.WithFault(func(op, name string) error {
			if count++; count >= at {
				return stop
			}
			return nil
		}).Prune(t.Context(), 1, later, false)
		if err == nil {
			if at < 5 {
				t.Fatalf("only %d changes were seen", at-1)
			}
			return
		}
		if !errors.Is(err, stop) {
			t.Fatalf("at change %d: %v", at, err)
		}
		w.expectClean()
		must(w.repo.Prune(t.Context(), 1, later, false))
		if have := w.names(); len(have) != len(want) {
			t.Errorf("at change %d: %d files, not %d: %q", at, len(have), len(want), have)
		}
	}
}

package fetch_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/larch-project/larch/fetch"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/transport/file"
	"github.com/larch-project/larch/tree"
	"github.com/larch-project/larch/trust"
)

// line is the releases of one ref in a repository that publishes deltas.
type line struct {
	t        testing.TB
	dir      string
	repo     *repo.Repository
	keys     *trust.KeyStore
	releases []repo.Logged // oldest first
	contents []files
}

// files are what a release holds: paths and contents.
type files map[string]string

var published2026 = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func newLine(t testing.TB, releases ...files) *line {
	t.Helper()
	l := &line{t: t, dir: filepath.Join(t.TempDir(), "repo")}
	var err error
	if l.repo, err = repo.Init(l.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.repo.Close() })
	if l.keys, _, err = trust.NewKeyStore(t.TempDir(), nil, false); err != nil {
		t.Fatal(err)
	}
	if _, err := trust.Init(context.Background(), l.repo.Dir(), l.keys, trust.InitOptions{Now: published2026}); err != nil {
		t.Fatal(err)
	}
	for _, f := range releases {
		l.publish(f)
	}
	return l
}

// publish adds a release, with all deltas.
func (l *line) publish(content files) {
	l.t.Helper()
	dir := l.t.TempDir()
	for name, data := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			l.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			l.t.Fatal(err)
		}
	}
	source, err := tree.Folder(dir, tree.ApplicationRules())
	if err != nil {
		l.t.Fatal(err)
	}
	defer source.Close()
	ref, _ := release.ParseRef("app/org.example.Road/x86_64/stable")
	version := fmt.Sprint(len(l.releases) + 1)
	done, err := l.repo.Publish(context.Background(), l.keys, repo.PublishRequest{
		Ref: ref, Version: version, Command: "run", Source: source, Deltas: repo.DeltaOptions{Budget: time.Hour},
		Now: published2026.Add(time.Duration(len(l.releases)) * time.Minute),
	})
	if err != nil {
		l.t.Fatal(err)
	}
	rel, err := l.repo.Release(done.Release)
	if err != nil {
		l.t.Fatal(err)
	}
	l.releases, l.contents = append(l.releases, repo.Logged{Digest: done.Release, Release: rel}), append(l.contents, content)
}

func (l *line) head() repo.Logged { return l.releases[len(l.releases)-1] }

// open gives a transport of the repository that counts.
func (l *line) open() (transport.Transport, *transport.Stats) {
	l.t.Helper()
	folder, err := file.New(l.dir)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { folder.Close() })
	stats := new(transport.Stats)
	return transport.Counting(folder, stats), stats
}

// deltas lists the files of all deltas.
func (l *line) deltas() (paths []string) {
	l.t.Helper()
	edges, err := l.repo.Edges()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, e := range edges {
		paths = append(paths, filepath.Join(l.dir, repo.DeltaName(e.To, e.From)))
	}
	return paths
}

// traveller goes to releases of a line.
type traveller struct {
	*machine
	line   *line
	starts []fetch.Start
	notes  []string
	peek   bool
	price  int64 // of a request
}

func (l *line) traveller() *traveller { return &traveller{machine: newMachine(l.t), line: l} }

// plan finds the way to a release, as an installation does.
func (v *traveller) plan(ctx context.Context, n int, t transport.Transport) (*fetch.Road, *fetch.Plan) {
	v.t.Helper()
	to := v.line.releases[n]
	where := fetch.Destination{Head: v.line.head().Digest, Release: to.Digest, Tree: to.Release.Tree.Info()}
	if p := to.Release.Previous; len(p) > 0 {
		where.Previous = p[0].Release
	}
	note := func(text string) { v.notes = append(v.notes, text) }
	road, err := fetch.FindRoad(ctx, t, v.store, where, fetch.RoadOptions{Starts: v.starts, Note: note, Peek: v.peek, Price: v.price})
	if err == nil && road != nil {
		err = road.AddTree(ctx, v.store)
	} else if err == nil {
		err = fetch.Tree(ctx, t, where.Tree, v.store)
	}
	if err != nil {
		v.t.Fatal(err)
	}
	need, err := fetch.Survey(ctx, v.store.Tree(where.Tree.Digest, where.Tree.Size), v.store)
	if err != nil {
		v.t.Fatal(err)
	}
	var plan *fetch.Plan
	if road != nil {
		plan, err = road.NewPlan(need, v.store, v.store, nil)
	}
	if road == nil || errors.Is(err, fetch.ErrNoPlace) {
		ix, failed := fetch.Index(ctx, t, to.Digest, where.Tree)
		if failed != nil {
			v.t.Fatal(failed)
		}
		if road != nil {
			plan, err = road.NewPlan(need, v.store, v.store, ix)
		} else {
			plan, err = fetch.NewPlan(need, ix)
		}
	}
	if err != nil {
		v.t.Fatal(err)
	}
	return road, plan
}

// run carries a plan out.
func (v *traveller) run(ctx context.Context, n int, plan *fetch.Plan, t transport.Transport) error {
	v.t.Helper()
	to := v.line.releases[n]
	batch := v.store.NewBatch(ctx)
	defer batch.Close()
	again := func(ctx context.Context) (*repo.Index, error) {
		return fetch.Index(ctx, t, to.Digest, to.Release.Tree.Info())
	}
	err := plan.Run(ctx, t, batch, again, func(int64) {})
	v.sound()
	return err
}

// travel goes to a release and checks that all of it is there.
func (v *traveller) travel(n int, t transport.Transport) *fetch.Plan {
	v.t.Helper()
	road, plan := v.plan(context.Background(), n, t)
	defer road.Close()
	if err := v.run(context.Background(), n, plan, t); err != nil {
		v.t.Fatal(err)
	}
	v.expect(n)
	v.arrived(n)
	return plan
}

// arrived has the machine start from a release from now on.
func (v *traveller) arrived(n int) {
	to := v.line.releases[n]
	v.starts = append(v.starts, fetch.Start{Release: to.Digest, Tree: to.Release.Tree.Info()})
}

// expect fails the test unless the store has all contents of a release.
func (v *traveller) expect(n int) {
	v.t.Helper()
	info, found := v.line.releases[n].Release.Tree.Info(), 0
	for e, err := range v.store.Tree(info.Digest, info.Size) {
		if err != nil {
			v.t.Fatal(err)
		}
		if e.Kind != tree.Regular || e.Size <= tree.InlineMax {
			continue
		}
		f, err := v.store.Open(store.ObjectOf(e))
		if err != nil {
			v.t.Errorf("%s: %v", e.Path, err)
			continue
		}
		data, _ := io.ReadAll(f)
		f.Close()
		want, known := v.line.contents[n][strings.TrimPrefix(string(e.Path), "/files/")]
		if known && string(data) != want {
			v.t.Errorf("%s: %d bytes that are not those published", e.Path, len(data))
		}
		found++
	}
	if found == 0 {
		v.t.Error("nothing was there to be compared")
	}
}

// program gives text that compresses a little, with a version in it now and then.
func program(seed uint64, size int, version string) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%s line %d of version %s: %x\n", "code", i, version, noise(seed*7919+uint64(i), 12))
	}
	return b.String()[:size]
}

// edited changes a few places of a text.
func edited(s string, places ...int) string {
	p := []byte(s)
	for _, at := range places {
		p[at%len(p)] ^= 0x11
	}
	return string(p)
}

// history is five releases of an application: large and small files that change,
// move, come and go.
func history() []files {
	one := files{
		"bin/run": program(1, 1_500_000, "x"), "lib/app-1.0/core.js": program(2, 90_000, "x"),
		"lib/app-1.0/chunk-3f2a1b.js": program(3, 40_000, "x"), "share/data": noise(4, 300_000), "share/text": program(5, 5_000, "x"),
		"share/same": program(6, 70_000, "x"),
	}
	two := maps.Clone(one)
	two["bin/run"] = edited(one["bin/run"], 10, 700_000, 1_400_000)
	two["share/text"] = one["share/text"] + "one line more\n"
	two["share/new"] = program(7, 3_000, "x")
	three := maps.Clone(two)
	delete(three, "lib/app-1.0/core.js")
	delete(three, "lib/app-1.0/chunk-3f2a1b.js")
	three["lib/app-1.1/core.js"] = edited(two["lib/app-1.0/core.js"], 500)
	three["lib/app-1.1/chunk-77c0de.js"] = edited(two["lib/app-1.0/chunk-3f2a1b.js"], 900)
	three["bin/run"] = edited(two["bin/run"], 20, 800_000) + "appended"
	four := maps.Clone(three)
	four["share/data"] = noise(9, 300_000) // nothing in common
	four["bin/run"] = edited(three["bin/run"], 30)
	delete(four, "share/new")
	five := maps.Clone(four)
	five["bin/run"] = edited(four["bin/run"], 40)
	five["share/text"] = "new beginning\n" + four["share/text"]
	return []files{one, two, three, four, five}
}

func TestRoadsLeadFromEveryReleaseToEveryLaterOne(t *testing.T) {
	l := newLine(t)
	var at []*traveller
	for n, f := range history() {
		l.publish(f)
		for from, v := range at {
			tr, stats := l.open()
			plan := v.travel(n, tr)
			if len(v.notes) > 0 {
				t.Errorf("%d to %d: %q", from+1, n+1, v.notes)
			}
			limit := int64(30_000)
			if n == 3 || from < 3 && n > 3 { // share/data became another file, by packs or in the delta
				limit += 310_000
			}
			if have := stats.Bytes.Load(); have > limit {
				t.Errorf("%d to %d: %d bytes", from+1, n+1, have)
			}
			if hops := len(plan.Hops); stats.Requests.Load() > int64(2+hops) {
				t.Errorf("%d to %d: %d requests for %d deltas", from+1, n+1, stats.Requests.Load(), hops)
			}
			v.starts = v.starts[:1] // and its objects: the next journey begins where it began
			at[from] = l.traveller()
			start, _ := l.open()
			at[from].travel(from, start)
		}
		v := l.traveller()
		tr, stats := l.open()
		plan := v.travel(n, tr)
		if len(plan.Hops) != 1 || plan.Packs.Requests > 0 || stats.Requests.Load() != 2 {
			t.Errorf("fresh install of %d: %+v in %d requests", n+1, plan.Hops, stats.Requests.Load())
		}
		at = append(at, v)
	}
}

// install has a machine with a release of the line.
func (l *line) install(n int) *traveller {
	l.t.Helper()
	v := l.traveller()
	tr, _ := l.open()
	v.travel(n, tr)
	v.notes = nil
	return v
}

func TestAChangedByteInADeltaCostsBytesAlone(t *testing.T) {
	small := files{"bin/run": program(1, 9_000, "x"), "a": program(2, 3_000, "x")}
	next := files{"bin/run": edited(small["bin/run"], 700), "a": small["a"] + "more", "b": program(3, 500, "x")}
	l := newLine(t, small, next)
	name := filepath.Join(l.dir, repo.DeltaName(l.releases[1].Digest, l.releases[0].Digest))
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	step := max(1, len(good)/80)
	noted := 0
	for i := 0; i < len(good); i += step {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		for _, data := range [][]byte{bad, good[:i]} {
			if err := os.WriteFile(name, data, 0o644); err != nil {
				t.Fatal(err)
			}
			v := l.install(0)
			tr, _ := l.open()
			v.travel(1, tr)
			noted += min(len(v.notes), 1)
		}
	}
	if noted < 2*len(good)/step*8/10 { // some bytes say where packs are, which nobody had to know
		t.Errorf("of %d bad deltas %d were noticed", 2*len(good)/step, noted)
	}
}

func TestWithoutDeltasPacksDo(t *testing.T) {
	l := newLine(t, history()[:3]...)
	v := l.install(0)
	for _, path := range l.deltas() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	tr, _ := l.open()
	if plan := v.travel(2, tr); len(plan.Hops) > 0 {
		t.Errorf("hops %+v", plan.Hops)
	}
	fresh := l.traveller()
	tr, _ = l.open()
	fresh.travel(2, tr)
}

// corrupt changes the object of a content in the store, as decay would.
func (v *traveller) corrupt(content string) {
	v.t.Helper()
	o := store.ObjectOf(entryOf(item{name: "x", data: content}))
	path := filepath.Join(v.dir.Path(), o.Name())
	if err := os.Chmod(path, 0o644); err != nil {
		v.t.Fatal(err)
	}
	flip(v.t, path, int64(len(content)/2))
}

func TestABaseThatChangedBetweenPlanningAndApplying(t *testing.T) {
	all := history()
	l := newLine(t, all[:2]...)
	v := l.install(0)
	tr, _ := l.open()
	ctx := context.Background()
	road, plan := v.plan(ctx, 1, tr)
	defer road.Close()
	v.corrupt(all[0]["bin/run"])
	to := l.releases[1]
	batch := v.store.NewBatch(ctx)
	defer batch.Close()
	again := func(ctx context.Context) (*repo.Index, error) {
		return fetch.Index(ctx, tr, to.Digest, to.Release.Tree.Info())
	}
	if err := plan.Run(ctx, tr, batch, again, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	v.expect(1)
	if len(v.notes) == 0 {
		t.Error("nothing was said of it")
	}
	if v.store.Has(store.ObjectOf(entryOf(item{name: "x", data: all[0]["bin/run"]}))) {
		t.Error("the store still believes the base that changed")
	}
}

func TestMissingBasesComeByPacks(t *testing.T) {
	all := history()
	l := newLine(t, all[:3]...)
	v := l.install(0)
	if err := v.store.Remove(store.ObjectOf(entryOf(item{name: "x", data: all[0]["bin/run"]}))); err != nil {
		t.Fatal(err)
	}
	tr, _ := l.open()
	plan := v.travel(2, tr)
	if plan.Packs.Requests == 0 || len(plan.Hops) == 0 {
		t.Errorf("planned %+v and packs %+v", plan.Hops, plan.Packs)
	}
}

// cutOff fails every read after so many bytes of deltas.
func cutOff(t transport.Transport, left int64) transport.Transport {
	return transportFunc(func(ctx context.Context, req transport.Request) (*transport.Response, error) {
		res, err := t.Fetch(ctx, req)
		if err == nil && strings.HasPrefix(req.Name, "deltas/") {
			res.Body = &failingBody{res.Body, left}
		}
		return res, err
	})
}

type failingBody struct {
	io.ReadCloser
	left int64
}

var errCutOff = errors.New("the line is dead")

func (b *failingBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errCutOff
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

func TestAnInterruptedStreamGoesOn(t *testing.T) {
	var f = files{}
	for i := range 40 {
		f[fmt.Sprintf("d%02d/f", i)] = strings.Repeat(noise(uint64(i), 1<<16), 64)
	}
	l := newLine(t, f)
	v := l.traveller()
	tr, _ := l.open()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	road, plan := v.plan(ctx, 0, tr)
	batch := v.store.NewBatch(ctx)
	var got int64
	err := plan.Run(ctx, tr, batch, nil, func(n int64) {
		if got += n; got > plan.Bytes*9/10 { // all was received, and what came first was used
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	batch.Close()
	road.Close()
	v.sound()
	first := plan.Bytes
	tr, stats := l.open()
	second := v.travel(0, tr)
	if second.Bytes > first*3/4 || stats.Bytes.Load() > first*3/4 {
		t.Errorf("%d bytes of %d again (received %d)", second.Bytes, first, stats.Bytes.Load())
	}
}

// A fresh machine asks for the whole stream at once: where packs would be a little
// cheaper it is on its way already, and travels in vain.
func TestTheStreamThatIsOnItsWayIsTaken(t *testing.T) {
	f := files{}
	for i := range 200 {
		letters := []byte(noise(uint64(i), 10_000))
		for n := range letters {
			letters[n] = 'a' + letters[n]%26
		}
		f[fmt.Sprintf("d%02d/f", i)] = string(letters)
	}
	l := newLine(t, f)
	v := l.traveller()
	tr, stats := l.open()
	v.price = 1 // a fast network
	plan := v.travel(0, tr)
	if got := stats.Requests.Load(); got != 2 { // the list of deltas, and the stream
		t.Errorf("%d requests: %+v", got, plan)
	}
}

func TestABrokenLineEndsInPacks(t *testing.T) {
	all := history()
	l := newLine(t, all[:2]...)
	for _, after := range []int64{0, 10, 300, 500, 1000} {
		v := l.install(0)
		tr, _ := l.open()
		v.travel(1, cutOff(tr, after))
	}
}

func TestServersWithoutRangesGiveDeltasToo(t *testing.T) {
	l := newLine(t, history()[:4]...)
	v := l.install(0)
	v.peek = true // so that ranges are asked for
	tr, _ := l.open()
	whole := transportFunc(func(ctx context.Context, req transport.Request) (*transport.Response, error) {
		req.Offset, req.Length = 0, 0
		return tr.Fetch(ctx, req)
	})
	if plan := v.travel(3, whole); len(plan.Hops) == 0 {
		t.Error("it took no delta")
	}
	if len(v.notes) > 0 {
		t.Error(v.notes)
	}
}

func TestPeekingAsksForPlansAlone(t *testing.T) {
	l := newLine(t, history()[:4]...)
	v := l.install(0)
	v.peek = true
	tr, stats := l.open()
	road, plan := v.plan(context.Background(), 3, tr)
	defer road.Close()
	var heads int64
	for _, h := range plan.Hops {
		heads += h.Head
	}
	if have := stats.Bytes.Load(); have > heads+2000 { // and the list
		t.Errorf("%d bytes for plans of %d", have, heads)
	}
	other := l.install(0)
	tr, _ = l.open()
	taken := other.travel(3, tr)
	if taken.Bytes != plan.Bytes || taken.Requests != plan.Requests {
		t.Errorf("shown %d bytes in %d, taken %d in %d", plan.Bytes, plan.Requests, taken.Bytes, taken.Requests)
	}
}

// mutate rewrites the plan of a delta file.
func mutate(t testing.TB, data []byte, change func([]byte) []byte) []byte {
	t.Helper()
	magic := len("larch delta 1\n")
	length, n := binary.Uvarint(data[magic:])
	if n <= 0 || int(length) > len(data)-magic-n {
		t.Fatal("no plan")
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	plan, err := z.DecodeAll(data[magic+n:magic+n+int(length)], nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := e.EncodeAll(change(plan), nil)
	out := append(bytes.Clone(data[:magic]), binary.AppendUvarint(nil, uint64(len(packed)))...)
	return append(append(out, packed...), data[magic+n+int(length):]...)
}

// FuzzPlan changes bytes of a plan: whatever it says then, what is stored is right.
func FuzzPlan(f *testing.F) {
	one := files{"bin/run": program(1, 200_000, "x"), "a": program(2, 3_000, "x"), "c": noise(5, 90_000)}
	two := files{"bin/run": edited(one["bin/run"], 700), "a": one["a"] + "more", "b": program(3, 500, "x"), "c": noise(6, 90_000)}
	three := files{"bin/run": edited(two["bin/run"], 900), "a": two["a"] + "more", "b": program(4, 800, "x"), "c": two["c"]}
	l := newLine(f, one, two, three)
	names := []string{}
	good := map[string][]byte{}
	for _, path := range l.deltas() {
		if filepath.Base(path) != "empty" {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			names, good[path] = append(names, path), data
		}
	}
	slices.Sort(names)
	for i := range 24 {
		f.Add(uint8(i), uint16(i), uint8(1<<(i%8)), uint16(3*i), uint8(i))
	}
	f.Fuzz(func(t *testing.T, which uint8, at uint16, with uint8, at2 uint16, with2 uint8) {
		path := names[int(which)%len(names)]
		bad := mutate(t, good[path], func(plan []byte) []byte {
			plan[int(at)%len(plan)] ^= with
			plan[int(at2)%len(plan)] ^= with2
			return plan
		})
		if err := os.WriteFile(path, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		defer os.WriteFile(path, good[path], 0o644)
		here := *l
		here.t = t
		v := here.install(0)
		tr, _ := here.open()
		v.travel(2, tr)
	})
}

// FuzzDeltaMap: a list that a stranger wrote is refused, or one that is written again
// with the same bytes.
func FuzzDeltaMap(f *testing.F) {
	l := newLine(f, history()[:3]...)
	data, err := os.ReadFile(filepath.Join(l.dir, repo.DeltaMapName(l.head().Digest)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		edges, err := repo.ReadDeltaMap(bytes.NewReader(data))
		if err != nil {
			return
		}
		again, err := repo.EncodeDeltaMap(edges)
		if err != nil {
			t.Fatal(err)
		}
		read, err := repo.ReadDeltaMap(bytes.NewReader(again))
		if err != nil || !slices.Equal(read, edges) {
			t.Errorf("%d edges became %d: %v", len(edges), len(read), err)
		}
	})
}

package repo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/check"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/tree"
	"github.com/larch-project/larch/trust"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const hello = "app/org.example.Hello/x86_64/stable"

// world is a repository with its keys.
type world struct {
	t    *testing.T
	path string
	repo *repo.Repository
	keys *trust.KeyStore
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, path: filepath.Join(t.TempDir(), "repo")}
	var err error
	if w.repo, err = repo.Init(w.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.repo.Close() })
	if w.keys, _, err = trust.NewKeyStore(t.TempDir(), nil, false); err != nil {
		t.Fatal(err)
	}
	if _, err := trust.Init(t.Context(), w.repo.Dir(), w.keys, trust.InitOptions{Now: now}); err != nil {
		t.Fatal(err)
	}
	return w
}

// files are what a folder holds: names and contents.
type files map[string]string

func folder(t *testing.T, content files) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// noise gives bytes that do not compress, the same for the same seed.
func noise(seed uint64, n int) string {
	p := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return string(p)
}

func publish(ctx context.Context, r *repo.Repository, keys *trust.KeyStore, ref, dir, version string) (*repo.Published, error) {
	parsed, err := release.ParseRef(ref)
	if err != nil {
		return nil, err
	}
	source, err := tree.Folder(dir, tree.ApplicationRules())
	if err != nil {
		return nil, err
	}
	defer source.Close()
	return r.Publish(ctx, keys, repo.PublishRequest{
		Ref: parsed, Version: version, Command: "hello", Source: source, Now: now, Deltas: repo.DeltaOptions{Budget: time.Hour},
	})
}

func (w *world) publish(ref, version string, content files) *repo.Published {
	w.t.Helper()
	done, err := publish(w.t.Context(), w.repo, w.keys, ref, folder(w.t, content), version)
	if err != nil {
		w.t.Fatal(err)
	}
	return done
}

// expectClean fails the test if the checker finds anything.
func (w *world) expectClean() {
	w.t.Helper()
	for _, f := range w.findings() {
		w.t.Errorf("check: %+v", f)
	}
}

func (w *world) findings() (all []check.Finding) {
	w.t.Helper()
	r, err := repo.Open(w.path)
	if err != nil {
		return []check.Finding{{Where: repo.FormatName, Problem: err.Error()}}
	}
	defer r.Close()
	if err := check.Repository(w.t.Context(), r, now, func(f check.Finding) { all = append(all, f) }); err != nil {
		w.t.Fatal(err)
	}
	return all
}

// contents reads a release back: path and content of each file.
func (w *world) contents(d digest.Digest) files {
	w.t.Helper()
	rel, err := w.repo.Release(d)
	if err != nil {
		w.t.Fatal(err)
	}
	ix, err := w.repo.Index(d, rel.Tree)
	if err != nil {
		w.t.Fatal(err)
	}
	reader, err := w.repo.Reader(ix)
	if err != nil {
		w.t.Fatal(err)
	}
	defer reader.Close()
	byDigest := map[digest.Digest]string{}
	for o, err := range w.repo.Located(ix, rel.Tree) {
		if err != nil {
			w.t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(reader.Content(o.Location, o.Size)); err != nil {
			w.t.Fatal(err)
		}
		byDigest[o.Digest] = b.String()
	}
	have := files{}
	for e, err := range w.repo.Tree(rel.Tree.Info()) {
		if err != nil {
			w.t.Fatal(err)
		}
		if e.Kind == tree.Regular {
			text, found := byDigest[e.Digest]
			if !found {
				text = string(e.Inline)
			}
			have[string(e.Path)] = text
		}
	}
	delete(have, "/metadata")
	return have
}

func (w *world) head(ref string) digest.Digest {
	w.t.Helper()
	head, err := trust.Open(w.repo.Dir(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return head.Targets()[ref].Custom.Release
}

// names lists the files of the repository but for locks, and metadata, which
// package trust answers for.
func (w *world) names() (names []string) {
	err := filepath.WalkDir(w.path, func(p string, d fs.DirEntry, err error) error {
		if name := strings.TrimPrefix(p, w.path+"/"); err == nil && d.Type().IsRegular() && name != "lock" && !strings.HasPrefix(name, "trust/") {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return names
}

func below(prefix string, f files) files {
	out := files{}
	for name, text := range f {
		out[prefix+name] = text
	}
	return out
}

func sampleFiles() files {
	return files{
		"bin/hello":  strings.Repeat("#!/bin/sh\necho hello\n", 30),
		"empty":      "",
		"short":      "64 bytes at most stay in the tree",
		"text":       strings.Repeat("a line of text\n", 1000),
		"same":       strings.Repeat("a line of text\n", 1000),
		"large":      noise(1, 3<<20+12345),
		"medium":     noise(2, 200<<10),
		"d/one":      noise(3, 1000),
		"d/two":      noise(4, 70000),
		"d/very-big": noise(5, 6<<20),
	}
}

func TestPublishedContentsReadBack(t *testing.T) {
	w := newWorld(t)
	want := sampleFiles()
	done := w.publish(hello, "1.0", want)
	if diff := cmp.Diff(below("/files/", want), w.contents(done.Release)); diff != "" {
		t.Error(diff)
	}
	if w.head(hello) != done.Release {
		t.Error("the head does not name the release")
	}
	w.expectClean()
}

func TestPublishWritesOnlyWhatIsNew(t *testing.T) {
	w := newWorld(t)
	content := sampleFiles()
	w.publish(hello, "1.0", content)
	content["d/one"] = noise(99, 1000)
	second := w.publish(hello, "1.1", content)
	if second.New != 1 {
		t.Errorf("%d new contents, want 1", second.New)
	}
	other := w.publish("app/org.example.Other/x86_64/stable", "1", content)
	if other.New > 1 { // its metadata has another name
		t.Errorf("%d new contents in another application of the same files", other.New)
	}
	if diff := cmp.Diff(below("/files/", content), w.contents(second.Release)); diff != "" {
		t.Error(diff)
	}
	w.expectClean()
}

func TestVersions(t *testing.T) {
	w := newWorld(t)
	dir := folder(t, files{"a": "1"})
	for _, c := range []struct{ version, want string }{{"", "1"}, {"", "2"}, {"7", "7"}, {"", "8"}, {"1.0-rc1", "1.0-rc1"}} {
		done, err := publish(t.Context(), w.repo, w.keys, hello, dir, c.version)
		if err != nil || done.Version != c.want {
			t.Errorf("version %q: %+v, %v; want %s", c.version, done, err, c.want)
		}
	}
	for _, bad := range []string{"", "7", "1.0-rc1"} {
		if _, err := publish(t.Context(), w.repo, w.keys, hello, dir, bad); !errors.Is(err, repo.ErrVersion) {
			t.Errorf("version %q: %v", bad, err)
		}
	}
	log, err := w.repo.Log(t.Context(), w.head(hello), 0)
	if err != nil {
		t.Fatal(err)
	}
	var versions []string
	for _, l := range log {
		versions = append(versions, l.Release.Version)
	}
	if diff := cmp.Diff([]string{"1.0-rc1", "8", "7", "2", "1"}, versions); diff != "" {
		t.Error(diff)
	}
}

func TestPublishersAtOnceLoseNothing(t *testing.T) {
	w := newWorld(t)
	const publishers, releases = 4, 3
	var group sync.WaitGroup
	for i := range publishers {
		group.Go(func() {
			r, err := repo.Open(w.path)
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			for n := range releases {
				ref := fmt.Sprintf("app/org.example.App%d/x86_64/stable", i%2) // two for each ref
				dir := folder(t, files{"own": noise(uint64(100*i+n), 5000), "common": noise(7, 50000)})
				if _, err := publish(t.Context(), r, w.keys, ref, dir, fmt.Sprintf("%d.%d", i, n)); err != nil {
					t.Errorf("publisher %d, release %d: %v", i, n, err)
				}
			}
		})
	}
	group.Wait()
	for i := range 2 {
		log, err := w.repo.Log(t.Context(), w.head(fmt.Sprintf("app/org.example.App%d/x86_64/stable", i)), 0)
		if err != nil || len(log) != publishers/2*releases {
			t.Errorf("application %d has %d releases, %v", i, len(log), err)
		}
	}
	w.expectClean()
}

func TestInterruptedPublishLeavesOnlyWhatPruneRemoves(t *testing.T) {
	stop := errors.New("stopped here")
	for at := 1; ; at++ {
		w := newWorld(t)
		first := w.publish(hello, "1", files{"a": noise(1, 1000), "b": noise(2, 300<<10)})
		before := w.names()
		count := 0
		faulty := w.repo.WithFault(func(op, name string) error {
			if count++; count >= at { // dead from here on
				return stop
			}
			return nil
		})
		_, err := publish(t.Context(), faulty, w.keys, hello, folder(t, files{"a": noise(3, 1000), "c": noise(4, 300<<10)}), "2")
		if err == nil {
			if at < 10 {
				t.Fatalf("only %d changes were seen", at-1)
			}
			return
		}
		if !errors.Is(err, stop) {
			t.Fatalf("at change %d: %v", at, err)
		}
		committed := w.head(hello) != first.Release
		w.expectClean()
		if _, err := w.repo.Prune(t.Context(), 0, now, false); err != nil {
			t.Fatalf("at change %d: %v", at, err)
		}
		if after := w.names(); !committed && !slices.Equal(before, after) {
			t.Errorf("at change %d: after prune %s", at, cmp.Diff(before, after))
		}
		w.expectClean()
		if !committed {
			w.publish(hello, "2", files{"a": noise(3, 1000)})
		}
		w.expectClean()
	}
}

func TestPruneKeepsTheNewest(t *testing.T) {
	w := newWorld(t)
	var last *repo.Published
	for i := range 5 {
		last = w.publish(hello, fmt.Sprint(i), files{"own": noise(uint64(i), 200<<10), "common": noise(77, 200<<10)})
	}
	dry, err := w.repo.Prune(t.Context(), 2, now, true)
	if err != nil {
		t.Fatal(err)
	}
	w.expectClean()
	done, err := w.repo.Prune(t.Context(), 2, now, false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(dry, done); diff != "" {
		t.Errorf("dry run and run differ: %s", diff)
	}
	if done.Releases != 3 {
		t.Errorf("%d releases removed, want 3", done.Releases)
	}
	log, err := w.repo.Log(t.Context(), last.Release, 0)
	if err != nil || len(log) != 2 {
		t.Errorf("%d releases left, %v", len(log), err)
	}
	w.expectClean()
	w.publish(hello, "5", files{"own": noise(0, 200<<10)})
	w.expectClean()
}

func TestRepackDisturbsNobody(t *testing.T) {
	w := newWorld(t)
	content := files{}
	var releases []*repo.Published
	var want []files
	for i := range 12 {
		content[fmt.Sprintf("f%d", i)] = noise(uint64(i), 3000)
		content["changes"] = noise(uint64(1000+i), 100<<10)
		content["large"] = noise(uint64(2000+i/4), 2<<20)
		releases = append(releases, w.publish(hello, fmt.Sprint(i), content))
		copied := files{}
		for name, text := range content {
			copied["/files/"+name] = text
		}
		want = append(want, copied)
	}
	before := w.names()
	done, err := w.repo.Repack(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	if done.After >= done.Before || done.Retired == 0 {
		t.Errorf("repacked %+v", done)
	}
	for i, r := range releases {
		if diff := cmp.Diff(want[i], w.contents(r.Release)); diff != "" {
			t.Errorf("release %d: %s", i, diff)
		}
	}
	for _, name := range before {
		if _, err := os.Stat(filepath.Join(w.path, name)); err != nil {
			t.Errorf("repack took away %s", name)
		}
	}
	w.expectClean()
	pruned, err := w.repo.Prune(t.Context(), 0, now.Add(time.Hour), false)
	if err != nil || slices.ContainsFunc(pruned.Files, func(name string) bool { return !strings.HasSuffix(name, "/map") }) {
		t.Errorf("an hour later prune removed %v, %v", pruned, err)
	}
	if pruned, err = w.repo.Prune(t.Context(), 0, now.Add(25*time.Hour), false); err != nil {
		t.Fatal(err)
	}
	packs := slices.DeleteFunc(pruned.Files, func(name string) bool { return !strings.HasPrefix(name, "packs/") })
	if len(packs) != done.Retired {
		t.Errorf("a day later prune removed %d packs, want %d", len(packs), done.Retired)
	}
	w.expectClean()
	if again, err := w.repo.Repack(t.Context(), now); err != nil || again.Retired != 0 {
		t.Errorf("repacking at once again: %+v, %v", again, err)
	}
}

func TestCheckFindsEveryFlippedByte(t *testing.T) {
	w := newWorld(t)
	w.publish(hello, "1", files{"a": "short", "b": noise(1, 300), "c": strings.Repeat("text ", 100)})
	for _, name := range append(w.names(), "trust/timestamp.json") {
		path := filepath.Join(w.path, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		step := 1
		if testing.Short() || len(good) > 400 {
			step = len(good) / 97
		}
		for i := 0; i < len(good); i += max(step, 1) {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << (i % 8)
			w.overwrite(path, bad)
			if len(w.findings()) == 0 {
				t.Errorf("%s: byte %d flipped, and nothing found", name, i)
			}
		}
		w.overwrite(path, good[:len(good)-1])
		if len(w.findings()) == 0 {
			t.Errorf("%s: cut, and nothing found", name)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if len(w.findings()) == 0 && !strings.HasSuffix(name, "/map") { // without the list, nobody is led astray
			t.Errorf("%s: removed, and nothing found", name)
		}
		w.overwrite(path, good)
	}
	w.expectClean()
}

func (w *world) overwrite(path string, data []byte) {
	w.t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// TestInitGoesOn interrupts the making of a repository between its steps, and makes it.
func TestInitGoesOn(t *testing.T) {
	for _, made := range [][]string{{"releases/"}, {"releases/", "trees/", "packs/", "index/", "spans/", ".new-X"}, {"releases/", "larch.json", "trust/"}, {"larch.json", "trust/.lock"}} {
		path := t.TempDir()
		for _, name := range made {
			dir := filepath.Join(path, filepath.Dir(name+"x"))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(name, "/") {
				if err := os.WriteFile(filepath.Join(path, name), []byte(`{"features":[],"format":1}`+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		r, err := repo.Init(path)
		if err != nil {
			t.Errorf("%q: %v", made, err)
			continue
		}
		r.Close()
		if _, err := os.Stat(filepath.Join(path, ".new-X")); err == nil {
			t.Errorf("%q: a file without a name is left", made)
		}
	}
	for _, other := range []string{"releases/own", "own", "trust/own", "trees"} {
		path := t.TempDir()
		if err := os.MkdirAll(filepath.Join(path, filepath.Dir(other)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, other), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := repo.Init(path); !errors.Is(err, repo.ErrExists) {
			t.Errorf("a folder with %s: %v", other, err)
		}
	}
}

func TestInitAndOpenRefuse(t *testing.T) {
	w := newWorld(t)
	if _, err := repo.Init(w.path); !errors.Is(err, repo.ErrExists) {
		t.Errorf("a repository in a repository: %v", err)
	}
	if _, err := repo.Open(t.TempDir()); !errors.Is(err, repo.ErrFormat) {
		t.Errorf("an empty folder: %v", err)
	}
	for _, bad := range []string{"", "{}", `{"features":["x"],"format":1}` + "\n", `{"features":[],"format":2}` + "\n", `{"features":[],"format":1}`} {
		if err := repo.ParseFormat([]byte(bad)); !errors.Is(err, repo.ErrFormat) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

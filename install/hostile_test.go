package install

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/tree"
	"github.com/larch-project/larch/trust"
)

// lie signs a release that says something else than the one that was published:
// all signatures and digests are right.
func (p *publisher) lie(published *repo.Published, change func(*release.Release, *trust.Target)) {
	p.t.Helper()
	rel := must[*release.Release](p.t)(p.repo.Release(published.Release))
	target := published.Signature
	change(rel, &target)
	data, d, err := rel.Encode()
	if err != nil {
		p.t.Fatal(err)
	}
	index := must[[]byte](p.t)(os.ReadFile(filepath.Join(p.path, repo.IndexName(published.Release))))
	for name, content := range map[string][]byte{repo.ReleaseName(d): data, repo.IndexName(d): index} {
		if err := os.WriteFile(filepath.Join(p.path, name), content, 0o644); err != nil {
			p.t.Fatal(err)
		}
	}
	target.SHA256, target.Length, target.Custom.Release = sha256.Sum256(data), int64(len(data)), d
	head, err := trust.Open(p.repo.Dir(), p.keys)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := head.Commit(p.t.Context(), p.now, func(edit *trust.Edit) error { return edit.Set(target) }); err != nil {
		p.t.Fatal(err)
	}
}

// TestSignedLies are releases whose parts contradict each other. Nothing of them
// is installed.
func TestSignedLies(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*release.Release, *trust.Target)
		err    error
	}{
		{"more permissions in the tree than shown", func(r *release.Release, _ *trust.Target) {
			r.Metadata = strings.Replace(r.Metadata, "shared=network;", "", 1)
		}, ErrRelease},
		{"no metadata shown", func(r *release.Release, _ *trust.Target) { r.Metadata = "" }, ErrRelease},
		{"another id's metadata", func(r *release.Release, _ *trust.Target) {
			r.Metadata = strings.Replace(r.Metadata, "org.example.Hello", "org.example.Other", 1)
		}, ErrRelease},
		{"metadata with a NUL", func(r *release.Release, _ *trust.Target) { r.Metadata += "\x00[Context]\nshared=ipc;\n" }, ErrRelease},
		{"a group twice", func(r *release.Release, _ *trust.Target) { r.Metadata += "[Context]\nshared=ipc;\n" }, ErrRelease},
		{"fewer bytes", func(r *release.Release, _ *trust.Target) { r.Tree.Bytes-- }, ErrRelease},
		{"more files", func(r *release.Release, _ *trust.Target) { r.Tree.Files++; r.Tree.Entries++ }, ErrRelease},
		{"another version than signed", func(r *release.Release, _ *trust.Target) { r.Version = "9" }, ErrRelease},
		{"another ref than signed", func(r *release.Release, _ *trust.Target) { r.Ref.Channel = "beta" }, ErrRelease},
		{"a tree that is not there", func(r *release.Release, _ *trust.Target) { r.Tree.Digest = digest.Of([]byte("x")) }, os.ErrNotExist},
		{"a shorter tree", func(r *release.Release, _ *trust.Target) { r.Tree.Size-- }, nil},
		{"a version before that is another ref", func(r *release.Release, _ *trust.Target) {
			r.Requires = []release.Ref{{Kind: release.Runtime, ID: "org.example.None", Arch: arch, Channel: "1"}}
		}, release.ErrUnknownRef},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPublisher(t, trust.InitOptions{})
			metadata := string(release.NewMetadata("org.example.Hello", "host", "hello")) + "[Context]\nshared=network;\n"
			published := p.publish(hello, "1", files{"metadata": metadata, "files/bin/hello": strings.Repeat("x", 100)})
			p.lie(published, c.change)
			m := newMachine(t)
			m.trust("example", p)
			if _, err := install(t.Context(), m.Installation, "hello"); err == nil || c.err != nil && !errors.Is(err, c.err) {
				t.Errorf("%v, want %v", err, c.err)
			}
			m.expect("")
			must[*Collected](t)(m.GC(t.Context(), GCOptions{}))
			if u := must[*Usage](t)(m.DU(t.Context(), nil)); u.Objects > 0 {
				t.Errorf("%d objects", u.Objects)
			}
		})
	}
}

// TestLayoutIsNoLink: what would be mounted, and what is exported, is a folder of the
// tree itself, and leads nowhere else.
func TestLayoutIsNoLink(t *testing.T) {
	for _, name := range []string{"/files", "/export", "/other"} {
		for _, e := range []*tree.Entry{
			{Path: tree.Path(name), Kind: tree.Symlink, Mode: 0o777, Nlink: 1, Size: 1, Target: "/"},
			{Path: tree.Path(name), Kind: tree.Regular, Mode: 0o644, Nlink: 1},
		} {
			rel := &release.Release{Ref: must[release.Ref](t)(release.ParseRef(hello)), Tree: release.Tree{Entries: 1, Files: int64(1)}}
			if e.Kind != tree.Regular {
				rel.Tree.Files = 0
			}
			var err error
			for _, err = range inspected(rel, func(yield func(*tree.Entry, error) bool) { yield(e, nil) }) {
			}
			if refused := errors.Is(err, ErrRelease); refused != (name != "/other") {
				t.Errorf("%s as a %v: %v", name, e.Kind, err)
			}
		}
	}
}

// TestPermissionsAreShown says before the act what a new release may do and the
// old one could not.
func TestPermissionsAreShown(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	metadata := string(release.NewMetadata("org.example.Hello", "host", "hello")) + "[Context]\n"
	program := files{"files/bin/hello": strings.Repeat("x", 100)}
	p.publish(hello, "1", program.with("metadata", metadata+"devices=dri;\n"))
	m := newMachine(t)
	m.trust("example", p)
	gains := func(plan *Plan, err error) []string {
		t.Helper()
		plan = must[*Plan](t)(plan, err)
		defer plan.Close()
		return plan.Steps[0].Gains
	}
	first := gains(m.PlanInstall(t.Context(), []Wanted{{Ref: "hello"}}, PlanOptions{DryRun: true}))
	m.install("hello")
	p.publish(hello, "2", program.with("metadata", metadata+"devices=dri;\nshared=network;\n"))
	second := gains(m.PlanUpdate(t.Context(), nil, PlanOptions{DryRun: true}))
	if len(first) != 1 || len(second) != 1 || cmp.Equal(first, second) {
		t.Errorf("first %q, then %q", first, second)
	}
}

// TestPlansAreExact compares what a plan says with what then happens.
func TestPlansAreExact(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	shared := files{"share/both": noise(1, 200<<10), "share/version": "1"}
	p.publish(tools, "1", shared.with("lib/tools", noise(2, 3<<20)))
	p.publish(hello, "1", shared.with("bin/hello", noise(3, 100<<10)).with("lib/copy", noise(1, 200<<10)), requiring(tools))
	m := newMachine(t)
	m.trust("example", p)
	plan := must[*Plan](t)(m.PlanInstall(t.Context(), []Wanted{{Ref: "hello"}}, PlanOptions{}))
	defer plan.Close()
	if len(plan.Steps) != 2 || plan.Objects != 4 || plan.Reused != 200<<10 {
		t.Errorf("plan: %+v", plan)
	}
	requests, bytes := plan.from.stats.Requests.Load(), plan.from.stats.Bytes.Load()
	var last int64
	result := must[*Result](t)(plan.Apply(t.Context(), func(done int64) {
		if done < last {
			t.Errorf("progress goes back from %d to %d", last, done)
		}
		last = done
	}))
	if last != plan.Bytes {
		t.Errorf("progress ends at %d of %d", last, plan.Bytes)
	}
	if have := result.Requests - requests; have != int64(plan.Requests) {
		t.Errorf("%d requests, planned %d", have, plan.Requests)
	}
	if have := result.Fetched - bytes; have != plan.Bytes {
		t.Errorf("%d bytes, planned %d", have, plan.Bytes)
	}
	u := must[*Usage](t)(m.DU(t.Context(), nil))
	if rest := u.Disk - plan.Disk; rest < 0 || rest > 4096*4 {
		t.Errorf("%d bytes on disk, planned %d", u.Disk, plan.Disk)
	}
}

func TestSeeds(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	content := program("1")
	p.publish(hello, "1", content)
	m := newMachine(t)
	m.trust("example", p)
	opt := PlanOptions{Seeds: []string{content.folder(t)}}
	result := must[*Result](t)(apply(t.Context())(m.PlanInstall(t.Context(), []Wanted{{Ref: "hello"}}, opt)))
	if result.Objects > 1 { // the metadata
		t.Errorf("fetched in spite of seeds: %+v", result)
	}
	m.expect("Hello 1")
}

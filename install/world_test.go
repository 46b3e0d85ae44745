package install

import (
	"bytes"
	"context"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/hardlink"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/tree"
	"github.com/larch-project/larch/trust"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

var (
	arch  = release.HostArch()
	hello = "app/org.example.Hello/" + arch + "/stable"
	tools = "runtime/org.example.Tools/" + arch + "/1"
)

// publisher is a repository with its keys.
type publisher struct {
	t           *testing.T
	path        string
	repo        *repo.Repository
	keys        *trust.KeyStore
	fingerprint string
	now         time.Time // of the next release
}

func newPublisher(t *testing.T, opt trust.InitOptions) *publisher {
	t.Helper()
	p := &publisher{t: t, path: filepath.Join(t.TempDir(), "repo"), now: now}
	var err error
	if p.repo, err = repo.Init(p.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.repo.Close() })
	if p.keys, _, err = trust.NewKeyStore(t.TempDir(), nil, false); err != nil {
		t.Fatal(err)
	}
	opt.Now = now
	if p.fingerprint, err = trust.Init(t.Context(), p.repo.Dir(), p.keys, opt); err != nil {
		t.Fatal(err)
	}
	return p
}

// files are what a folder holds: names and contents. Names below bin/ get the run
// bit.
type files map[string]string

func (f files) folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range f {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := fs.FileMode(0o644)
		if strings.Contains("/"+name, "/bin/") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// with gives a copy with more files.
func (f files) with(name, text string) files {
	more := files{name: text}
	for name, text := range f {
		more[name] = text
	}
	return more
}

// publish publishes a folder; change may change the request.
func (p *publisher) publish(ref, version string, content files, change ...func(*repo.PublishRequest)) *repo.Published {
	p.t.Helper()
	parsed, err := release.ParseRef(ref)
	if err != nil {
		p.t.Fatal(err)
	}
	source, err := tree.Folder(content.folder(p.t), tree.ApplicationRules())
	if err != nil {
		p.t.Fatal(err)
	}
	defer source.Close()
	p.now = p.now.Add(time.Minute)
	req := repo.PublishRequest{Ref: parsed, Version: version, Source: source, Now: p.now}
	if _, own := content["metadata"]; !own && parsed.Kind == release.App {
		req.Command = "hello"
	}
	for _, c := range change {
		c(&req)
	}
	done, err := p.repo.Publish(p.t.Context(), p.keys, req)
	if err != nil {
		p.t.Fatal(err)
	}
	return done
}

// withDeltas has all deltas made.
func withDeltas(r *repo.PublishRequest) { r.Deltas.Budget = time.Hour }

func requiring(refs ...string) func(*repo.PublishRequest) {
	return func(r *repo.PublishRequest) {
		for _, s := range refs {
			ref, err := release.ParseRef(s)
			if err != nil {
				panic(err)
			}
			r.Requires = append(r.Requires, ref)
		}
	}
}

// noise gives text that does not compress, the same for the same seed.
func noise(seed uint64, n int) string {
	p := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return string(p)
}

// program is an application with one small and one large file.
func program(version string) files {
	return files{
		"bin/hello":     "#!/bin/sh\necho hello " + version + "\n# " + strings.Repeat(version+" ", 50),
		"share/version": version,
		"share/same":    noise(1, 3000),
		"share/other":   noise(uint64(len(version)), 200) + version,
	}
}

// machine is an installation.
type machine struct {
	t *testing.T
	*Installation
	dir   string
	clock time.Time
}

func newMachine(t *testing.T) *machine { return openMachine(t, filepath.Join(t.TempDir(), "machine")) }

func openMachine(t *testing.T, dir string) *machine {
	t.Helper()
	m := &machine{t: t, dir: dir, clock: now.Add(time.Hour)}
	var err error
	if m.Installation, err = Open(dir, Options{Now: func() time.Time { return m.clock }, Backends: []deploy.Backend{hardlink.Backend{}}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// faulty opens the same folder again, with a hook before each change.
func (m *machine) faulty(hook func(op, name string) error) *Installation {
	m.t.Helper()
	dir, err := beneath.Open(m.dir)
	if err != nil {
		m.t.Fatal(err)
	}
	i, err := open(dir.WithFault(hook), m.opt)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { i.Close() })
	return i
}

func (m *machine) trust(name string, p *publisher) {
	m.t.Helper()
	if _, err := m.AddRemote(m.t.Context(), name, p.path, p.fingerprint); err != nil {
		m.t.Fatal(err)
	}
}

func install(ctx context.Context, i *Installation, wanted ...string) (*Result, error) {
	var list []Wanted
	for _, w := range wanted {
		list = append(list, ParseWanted(w))
	}
	return apply(ctx)(i.PlanInstall(ctx, list, PlanOptions{}))
}

func update(ctx context.Context, i *Installation, refs ...string) (*Result, error) {
	return apply(ctx)(i.PlanUpdate(ctx, refs, PlanOptions{}))
}

func uninstall(ctx context.Context, i *Installation, refs ...string) (*Result, error) {
	return apply(ctx)(i.PlanUninstall(ctx, refs, PlanOptions{}))
}

// apply applies a plan as it was made, or passes its error on.
func apply(ctx context.Context) func(*Plan, error) (*Result, error) {
	return func(p *Plan, err error) (*Result, error) {
		if err != nil {
			return nil, err
		}
		defer p.Close()
		return p.Apply(ctx, nil)
	}
}

// must fails the test on an error.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (m *machine) install(wanted ...string) *Result {
	m.t.Helper()
	return must[*Result](m.t)(install(m.t.Context(), m.Installation, wanted...))
}

func (m *machine) update(refs ...string) *Result {
	m.t.Helper()
	return must[*Result](m.t)(update(m.t.Context(), m.Installation, refs...))
}

func (m *machine) uninstall(refs ...string) *Result {
	m.t.Helper()
	return must[*Result](m.t)(uninstall(m.t.Context(), m.Installation, refs...))
}

// versions gives what is installed: "Hello 1.0, Tools 3".
func (m *machine) versions() string {
	m.t.Helper()
	g, err := m.Current()
	if err != nil {
		m.t.Fatal(err)
	}
	return versionsOf(g)
}

func versionsOf(g *Generation) string {
	var parts []string
	for _, in := range g.Installed {
		parts = append(parts, in.Ref.ID[strings.LastIndex(in.Ref.ID, ".")+1:]+" "+in.Version)
	}
	return strings.Join(parts, ", ")
}

// expect fails unless this is installed, and usable.
func (m *machine) expect(want string) {
	m.t.Helper()
	if have := m.versions(); have != want {
		m.t.Errorf("installed: %q, want %q", have, want)
	}
	g, err := m.Current()
	if err != nil {
		m.t.Fatal(err)
	}
	for _, in := range g.Installed {
		path, err := m.Place(m.t.Context(), in.Ref.String())
		if err != nil {
			m.t.Error(err)
			continue
		}
		version, err := os.ReadFile(filepath.Join(path, "files/share/version"))
		if err == nil && string(version) != in.Version {
			m.t.Errorf("%s: the files are those of %q, want %q", in.Ref, version, in.Version)
		}
	}
	m.expectExports(g)
}

// expectExports compares the exports on disk with the list.
func (m *machine) expectExports(g *Generation) {
	m.t.Helper()
	if g.Number == 0 {
		return
	}
	want := map[string]bool{}
	for _, in := range g.Installed {
		for _, e := range in.Exports {
			want[e.Name] = true
		}
	}
	root := filepath.Join(m.dir, "current/exports/")
	filepath.WalkDir(root+"/", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			m.t.Error(err)
			return nil
		}
		name := strings.TrimPrefix(strings.TrimPrefix(path, root), "/")
		if d.Type().IsRegular() && !want[name] {
			m.t.Errorf("%s is exported by nobody", name)
		}
		delete(want, name)
		return nil
	})
	for name := range want {
		m.t.Errorf("export %s is missing", name)
	}
}

// exported reads a file that the desktop sees, or gives "".
func (m *machine) exported(name string) string {
	text, err := os.ReadFile(filepath.Join(m.dir, "current/exports", name))
	if err != nil {
		return ""
	}
	return string(text)
}

// listing gives all names below the installation, with the texts of links, without
// what may always differ.
func (m *machine) listing() string {
	m.t.Helper()
	var b bytes.Buffer
	filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			m.t.Error(err)
			return nil
		}
		name := strings.TrimPrefix(path, m.dir)
		b.WriteString(name)
		if target, err := os.Readlink(path); err == nil {
			b.WriteString(" -> " + target)
		}
		b.WriteByte('\n')
		return nil
	})
	return b.String()
}

// counted wraps how repositories are opened: requests are counted.
func counted(open func(string, []string, *transport.Stats) (transport.Transport, error), requests *int) func(string, []string, *transport.Stats) (transport.Transport, error) {
	return func(url string, mirrors []string, stats *transport.Stats) (transport.Transport, error) {
		t, err := open(url, mirrors, stats)
		return counting{t, requests}, err
	}
}

type counting struct {
	transport.Transport
	requests *int
}

func (c counting) Fetch(ctx context.Context, req transport.Request) (*transport.Response, error) {
	*c.requests++
	return c.Transport.Fetch(ctx, req)
}

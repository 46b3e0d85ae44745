package network

import (
	"bytes"
	"io"
	"io/fs"
	"log"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/hardlink"
	"github.com/larch-project/larch/install"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/tree"
	"github.com/larch-project/larch/trust"
)

// start is when the repository begins; a machine's clock is an hour later.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var hello = "app/org.example.Hello/" + release.HostArch() + "/stable"

// newest is the version that the honest server has after an attack.
const newest = 4

// state is all files of a repository, by name.
type state map[string][]byte

// site is a repository that was made by the real publisher: its states after each
// of the versions 1 to newest, and its folder and keys as they are in the end. It
// serves all tests of the process, which change copies.
type site struct {
	folder, keys string
	versions     [newest + 1]state
	fingerprint  string
	start        time.Time
}

var (
	cleanOnce  sync.Once
	cleanNames []string // see clean
)

var theSite struct {
	sync.Once
	*site
}

// base gives the site, made at the first call.
func base(t *testing.T) *site {
	t.Helper()
	theSite.Do(func() {
		dir, err := os.MkdirTemp(memory(), "attack-network-")
		if err != nil {
			t.Fatal(err)
		}
		atEnd = append(atEnd, func() { os.RemoveAll(dir) })
		theSite.site = newSite(t, dir, start, repo.DeltaOptions{Budget: time.Hour})
	})
	if theSite.site == nil {
		t.Fatal("there is no repository to attack")
	}
	return theSite.site
}

// memory is a folder where syncing costs nothing, or "".
func memory() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

var atEnd []func()

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // net/http writes there what servers say unasked
	code := m.Run()
	for _, end := range atEnd {
		end()
	}
	os.Exit(code)
}

// newSite publishes, at a time, all versions into a folder.
func newSite(t *testing.T, dir string, at time.Time, deltas repo.DeltaOptions) *site {
	t.Helper()
	s := &site{folder: filepath.Join(dir, "repo"), start: at}
	r := must(repo.Init(s.folder))(t)
	defer r.Close()
	keys, _, err := trust.NewKeyStore(dir, nil, false)
	check(t, err)
	s.keys = keys.Path()
	opt := trust.InitOptions{RootKeys: 2, Threshold: 2, Now: at}
	s.fingerprint = must(trust.Init(t.Context(), r.Dir(), keys, opt))(t)
	for v := 1; v <= newest; v++ {
		publish(t, r, keys, repo.PublishRequest{Version: name(v), Now: at.Add(time.Duration(v) * time.Minute), Deltas: deltas})
		s.versions[v] = read(t, s.folder)
	}
	return s
}

// publish publishes one version of the application.
func publish(t *testing.T, r *repo.Repository, keys *trust.KeyStore, req repo.PublishRequest) {
	t.Helper()
	version, err := strconv.Atoi(req.Version)
	check(t, err)
	source := must(tree.Folder(program(t, version), tree.ApplicationRules()))(t)
	defer source.Close()
	req.Ref, req.Source, req.Command = must(release.ParseRef(hello))(t), source, "hello"
	_, err = r.Publish(t.Context(), keys, req)
	check(t, err)
}

func name(version int) string { return string(rune('0' + version)) }

// program makes the folder of a version: small contents, and one of several frames
// of which each version changes a part.
func program(t *testing.T, version int) string {
	t.Helper()
	dir := t.TempDir()
	large := noise(1, 1<<20+1<<18)
	copy(large[version<<17:], noise(uint64(10+version), 8<<10))
	for file, text := range map[string][]byte{
		"bin/hello":     []byte("#!/bin/sh\necho hello " + name(version) + "\n" + strings.Repeat("# the same in all versions\n", 20)),
		"share/version": []byte(name(version)),
		"share/large":   large,
		"share/new":     noise(uint64(20+version), 20_000),
	} {
		path := filepath.Join(dir, file)
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(file, "bin/") {
			mode = 0o755
		}
		check(t, os.WriteFile(path, text, mode))
	}
	return dir
}

// noise does not compress, and is the same for the same seed.
func noise(seed uint64, n int) []byte {
	p := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// read gives all files below a folder.
func read(t *testing.T, dir string) state {
	t.Helper()
	files := state{}
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err == nil {
			files[rel], err = os.ReadFile(path)
		}
		return err
	}))
	return files
}

// world is one machine, the server that it knows, and what lies beside it.
type world struct {
	t       *testing.T
	site    *site
	server  *liar
	machine *install.Installation
	stats   *transport.Stats

	dir     string // of the installation
	address string
	clock   time.Time
	opt     install.TransportOptions
	mirrors []string // instead of those that are signed
	honest  state    // of the honest server after the attack; nil: as published

	heals  func()      // ends the rest of the attack; may be nil
	serves func(state) // puts files where the machine looks beside the server; may be nil

	beside string // the canaries' folder
	canary []string
	before record
}

// newWorld has version 1 installed, and the server go on to version 2.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := emptyWorld(t, base(t))
	w.trust()
	w.install()
	w.server.serve(w.site.versions[2])
	return w
}

// emptyWorld has a machine that knows nothing yet, beside a server of version 1.
func emptyWorld(t *testing.T, s *site) *world {
	t.Helper()
	if dir := memory(); dir != "" {
		t.Setenv("TMPDIR", dir)
	}
	w := &world{t: t, site: s, clock: start.Add(time.Hour), beside: t.TempDir()}
	w.server = newLiar(s.versions[1])
	plain := httptest.NewServer(w.server)
	t.Cleanup(plain.Close)
	w.address = plain.URL + "/r"
	w.opt.Retries = -1
	w.dir = filepath.Join(w.beside, "larch")
	w.canary = canaries(t, w.beside)
	w.open()
	return w
}

// open opens the installation anew, as the next command would.
func (w *world) open() {
	w.t.Helper()
	if w.machine != nil {
		check(w.t, w.machine.Close())
	}
	opt := install.Options{
		Now:      func() time.Time { return w.clock },
		Backends: []deploy.Backend{hardlink.Backend{}},
		Transport: func(url string, mirrors []string, stats *transport.Stats) (transport.Transport, error) {
			opt := w.opt
			opt.Mirrors, opt.Stats = mirrors, stats
			if w.mirrors != nil {
				opt.Mirrors = w.mirrors
			}
			w.stats = stats
			return install.OpenTransport(url, opt)
		},
	}
	w.machine = must(install.Open(w.dir, opt))(w.t)
	machine := w.machine
	w.t.Cleanup(func() { machine.Close() })
}

// trust adds the remote.
func (w *world) trust() {
	w.t.Helper()
	_, err := w.machine.AddRemote(w.t.Context(), "example", w.address, w.site.fingerprint)
	check(w.t, err)
}

func (w *world) install() {
	w.t.Helper()
	check(w.t, w.apply(w.machine.PlanInstall(w.t.Context(), []install.Wanted{{Ref: "hello"}}, install.PlanOptions{})))
	w.before = w.look()
}

// update is the plain update of everything.
func (w *world) update() error {
	w.t.Helper()
	return w.apply(w.machine.PlanUpdate(w.t.Context(), nil, install.PlanOptions{}))
}

func (w *world) apply(p *install.Plan, err error) error {
	if err != nil {
		return err
	}
	defer p.Close()
	_, err = p.Apply(w.t.Context(), nil)
	return err
}

// copied gives a copy of the publisher's folder and keys, to go on with.
func (s *site) copied(t *testing.T) (*repo.Repository, *trust.KeyStore) {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "repo")
	check(t, os.CopyFS(folder, os.DirFS(s.folder)))
	r := must(repo.Open(folder))(t)
	t.Cleanup(func() { r.Close() })
	keys := filepath.Join(t.TempDir(), "keys")
	check(t, os.CopyFS(keys, os.DirFS(s.keys)))
	check(t, os.Chmod(keys, 0o700))
	names := must(filepath.Glob(filepath.Join(keys, "*")))(t)
	for _, file := range names {
		check(t, os.Chmod(file, 0o600))
	}
	return r, must(trust.OpenKeyStore(keys, nil))(t)
}

// rotated publishes new keys of roles, as the rightful publisher: what is served from
// now on, and what the honest server has after the attack.
func (w *world) rotated(roles ...string) {
	w.t.Helper()
	r, keys := w.site.copied(w.t)
	head := must(trust.Open(r.Dir(), keys))(w.t)
	for _, role := range roles {
		check(w.t, head.Rotate(w.t.Context(), start.Add(10*time.Minute), role))
	}
	w.server.serve(read(w.t, r.Dir().Path()))
	for range 4 { // beyond what the attack signs meanwhile
		check(w.t, head.SetMirrors(w.t.Context(), start.Add(20*time.Minute), nil))
	}
	w.honest = read(w.t, r.Dir().Path())
}

// mapFS gives files for a server; each state has a time of its own, and with it
// validators.
func (s state) mapFS(age int) fstest.MapFS {
	files := fstest.MapFS{}
	for name, data := range s {
		files[name] = &fstest.MapFile{Data: data, ModTime: start.Add(time.Duration(age) * time.Second)}
	}
	return files
}

// names lists files below a prefix, in order.
func (s state) names(prefix string) (names []string) {
	for name := range s {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (s state) equal(other state) bool {
	if len(s) != len(other) {
		return false
	}
	for name, data := range s {
		if have, ok := other[name]; !ok || !bytes.Equal(have, data) {
			return false
		}
	}
	return true
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

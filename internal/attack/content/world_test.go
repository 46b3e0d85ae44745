package content

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/tree"
)

// world is a repository in the hands of an attacker, a machine that has its first
// release, one that has nothing yet, and a folder that is none of Larch's business.
type world struct {
	t       *testing.T // of the whole case
	p       *publisher
	root    string   // folder in which everything but the repository is
	m       *machine // has the first release
	fresh   *machine // has nothing; it asks over HTTP
	before  state
	notes   []string        // of the last transaction that succeeded
	damaged map[string]bool // what verify may name, because the test damaged it
	serve   http.Handler    // what the web server gives; the repository's files unless changed
}

func newWorld(t *testing.T) *world { return newWorldOf(t, newPublisher(t)) }

func newWorldOf(t *testing.T, p *publisher) *world {
	t.Helper()
	w := &world{t: t, p: p, root: quick(t), damaged: map[string]bool{}}
	w.serve = http.FileServer(http.Dir(w.p.path))
	w.layCanary(t)
	w.m = newMachine(t, filepath.Join(w.root, "machine"), w.p.path, w.p)
	if err := w.m.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.before = w.look(t)
	return w
}

// layCanary makes files beside the installation that nothing may touch.
func (w *world) layCanary(t *testing.T) {
	dir := filepath.Join(w.root, "canary")
	err := errors.Join(os.MkdirAll(filepath.Join(dir, "bin"), 0o750),
		os.WriteFile(filepath.Join(dir, "bin/file"), []byte("sing\n"), 0o640),
		os.WriteFile(filepath.Join(w.root, "passwd"), []byte("root:x\n"), 0o600),
		os.Symlink("bin/file", filepath.Join(dir, "link")))
	if err != nil {
		t.Fatal(err)
	}
}

// newcomer gives the machine that has nothing.
func (w *world) newcomer(t *testing.T) *machine {
	t.Helper()
	if w.fresh == nil {
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.serve.ServeHTTP(rw, r) }))
		w.t.Cleanup(server.Close)
		w.fresh = newMachine(w.t, filepath.Join(quick(w.t), "fresh"), server.URL, w.p)
	}
	return w.fresh
}

// come lets a lie, once told, come by a road, and gives what the client says of it.
func (w *world) come(t *testing.T, by road) error {
	t.Helper()
	if by == byStream {
		return w.newcomer(t).begin(t.Context())
	}
	return w.m.update(t.Context())
}

// roads are all of them.
var roads = []road{byFiles, byDelta, byStream}

// refuse tells a lie by all roads, or those that are named. It must be refused with
// an error that matches all of want, and nothing may come of it.
func (w *world) refuse(t *testing.T, what string, l *lie, want []error, some ...road) {
	t.Helper()
	if some == nil {
		some = roads
	}
	for _, by := range some {
		t.Run(name("%s, by %s", what, by), func(t *testing.T) {
			w.p.tell(t, l, by)
			err := w.come(t, by)
			expectError(t, err, want)
			if err != nil {
				w.judge(t)
				return
			}
			if w.fresh = nil; by != byStream { // go on with the other variants
				w.back(t)
			}
		})
	}
}

// expectError compares an error with what it has to match, and judges its text.
func expectError(t *testing.T, err error, want []error) {
	t.Helper()
	if err == nil {
		t.Errorf("accepted; want %v", want)
		return
	}
	for _, one := range want {
		if !matches(err, one) {
			t.Errorf("error %v\nwant %v", err, one)
		}
	}
	judgeMessage(t, err)
}

// ruled is an error that names a rule of spec/2-tree.md.
type ruled string

func (r ruled) Error() string { return "rule " + string(r) }

// anyOf matches one of several errors, where which comes depends on the road.
type anyOf []error

func (a anyOf) Error() string { return errors.Join(a...).Error() }

func matches(err, want error) bool {
	var broken *tree.RuleError
	switch want := want.(type) {
	case ruled:
		return errors.As(err, &broken) && broken.Rule == string(want)
	case anyError:
		return true
	case anyOf:
		return slices.ContainsFunc(want, func(one error) bool { return matches(err, one) })
	}
	return errors.Is(err, want)
}

// accept tells something that is true, though it looks strange: it must be installed
// by each road, and the machine then goes back to the first release.
func (w *world) accept(t *testing.T, what string, l *lie, some ...road) {
	t.Helper()
	if some == nil {
		some = roads
	}
	for _, by := range some {
		t.Run(name("%s, by %s", what, by), func(t *testing.T) {
			made := w.p.tell(t, l, by)
			if err := w.come(t, by); err != nil {
				t.Fatal(err)
			}
			m := w.m
			if by == byStream {
				m, w.fresh = w.fresh, nil
			}
			if have := m.version(t); have != "3" {
				t.Errorf("version %q is installed", have)
			}
			w.notes = m.notes
			if !l.deep {
				m.compare(t, made.tree, l.text)
				judgeFiles(t, m.dir)
			}
			if found := m.findings(t); len(found) > 0 {
				t.Errorf("verify: %q", found)
			}
			w.back(t)
		})
	}
}

// falls tells something whose delta cannot be used, though all else is right: it must
// come out right by files, and where the machine keeps notes, with one.
func (w *world) falls(t *testing.T, what string, l *lie, some ...road) {
	t.Helper()
	if some == nil {
		some = []road{byDelta}
	}
	for _, by := range some {
		w.accept(t, what, l, by)
		if len(w.notes) == 0 {
			t.Errorf("%s, by %s: nothing was noted", what, by)
		}
	}
}

// either tells something that may be taken or refused, as each road has it: what is
// taken must be right, and what is refused must leave nothing.
func (w *world) either(t *testing.T, what string, l *lie, want []error, some ...road) {
	t.Helper()
	if some == nil {
		some = roads
	}
	for _, by := range some {
		t.Run(name("%s, by %s", what, by), func(t *testing.T) {
			made := w.p.tell(t, l, by)
			if err := w.come(t, by); err != nil {
				expectError(t, err, want)
				w.judge(t)
				return
			}
			m := w.m
			if by == byStream {
				m, w.fresh = w.fresh, nil
			}
			m.compare(t, made.tree, l.text)
			if found := m.findings(t); len(found) > 0 {
				t.Errorf("verify: %q", found)
			}
			w.back(t)
		})
	}
}

// back returns to the first release.
func (w *world) back(t *testing.T) {
	t.Helper()
	w.p.sign(t, w.p.first.Signature)
	if err := w.m.back(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.m.collect(t)
	w.before = w.look(t)
}

// heal puts the honest release in place: the plain update succeeds, and what is there
// then is what a machine has on which nothing ever went wrong.
func (w *world) heal(t *testing.T) {
	t.Helper()
	t.Run("healed", func(t *testing.T) {
		w.p.honest(t)
		if err := w.m.update(t.Context()); err != nil {
			t.Fatal(err)
		}
		if have := w.m.version(t); have != "2" {
			t.Errorf("version %q is installed", have)
		}
		if found := w.m.findings(t); len(found) > 0 {
			t.Errorf("verify: %q", found)
		}
		judgeFiles(t, w.m.dir)
		w.m.collect(t)
		control := newMachine(t, filepath.Join(quick(t), "machine"), w.p.path, w.p)
		if err := control.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		control.collect(t)
		if diff := cmp.Diff(control.listing(t), w.m.listing(t)); diff != "" {
			t.Errorf("left behind (+) or missing (-):\n%s", diff)
		}
	})
}

// state is what must be the same after a failure.
type state struct {
	Version string
	Current string
	Canary  []string // with mode, times and content
	Forms   []string // deployments and generations, with modes and contents
	Disk    int64    // bytes that the installation takes
}

func (w *world) look(t *testing.T) state {
	t.Helper()
	current, _ := os.Readlink(filepath.Join(w.m.dir, "current"))
	return state{
		Version: w.m.version(t), Current: current,
		Canary: append(describe(t, filepath.Join(w.root, "canary"), true), describe(t, filepath.Join(w.root, "passwd"), true)...),
		Forms:  append(describe(t, filepath.Join(w.m.dir, "deployments"), false), describe(t, filepath.Join(w.m.dir, "generations"), false)...),
		Disk:   disk(t, w.m.dir),
	}
}

// growth is how much an installation may grow by what fails, in bytes.
const growth = 64 << 20

// judge tells whether anything but an error came of an attack: the installation is as
// it was and verifies, nothing beside it was touched, nothing harmful lies in it.
func (w *world) judge(t *testing.T) {
	t.Helper()
	after := w.look(t)
	if more := after.Disk - w.before.Disk; more > growth {
		t.Errorf("it grew by %d bytes", more)
	}
	after.Disk = w.before.Disk
	if diff := cmp.Diff(w.before, after); diff != "" {
		t.Errorf("changed:\n%s", diff)
	}
	for _, found := range w.m.findings(t) {
		if where, _, _ := strings.Cut(found, " "); !w.damaged[where] {
			t.Errorf("verify: %s", found)
		}
	}
	judgeFiles(t, w.m.dir)
	if names, err := os.ReadDir(w.root); err != nil || len(names) != 3 {
		t.Errorf("beside the installation: %v, %v", names, err)
	}
	if w.fresh != nil {
		judgeFiles(t, w.fresh.dir)
		if have := w.fresh.version(t); have != "" {
			t.Errorf("version %q was installed", have)
		}
		for _, folder := range []string{"deployments", "generations"} {
			if names, err := os.ReadDir(filepath.Join(w.fresh.dir, folder)); err == nil && len(names) > 0 {
				t.Errorf("left in %s: %v", folder, names)
			}
		}
	}
}

// judgeFiles finds what must never be in a store or a deployment.
func judgeFiles(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode()
		switch {
		case mode&fs.ModeSymlink != 0:
		case !mode.IsRegular() && !mode.IsDir():
			t.Errorf("%q is special: %v", path, mode)
		case mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0, mode&0o002 != 0:
			t.Errorf("%q has mode %v", path, mode)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// judgeMessage: what people and programs are told is text, and holds nothing of a
// stranger's that a terminal would act on.
func judgeMessage(t *testing.T, err error) {
	t.Helper()
	for _, line := range strings.Split(err.Error(), "\n") { // of joined errors
		if !utf8.ValidString(line) {
			t.Errorf("not UTF-8: %q", line)
		}
		if len(line) > 1024 {
			t.Errorf("a line of %d bytes: %.200q...", len(line), line)
		}
		if i := strings.IndexFunc(line, func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }); i >= 0 {
			t.Errorf("a control byte at %d: %q", i, line)
		}
	}
}

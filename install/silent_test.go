package install

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/larch-project/larch/trust"
)

// TestOneSilentRemote updates what other remotes have though one cannot be asked,
// says so, and does not count it as done.
func TestOneSilentRemote(t *testing.T) {
	a, b := newPublisher(t, trust.InitOptions{}), newPublisher(t, trust.InitOptions{})
	other := "app/org.example.Other/" + arch + "/stable"
	a.publish(hello, "1", program("1"))
	b.publish(other, "1", program("1"))
	m := newMachine(t)
	m.trust("gone", a)
	m.trust("here", b)
	m.install("hello", "other")
	a.publish(hello, "2", program("2"))
	b.publish(other, "2", program("2"))
	hide(t, a.path)

	p := must[*Plan](t)(m.PlanUpdate(t.Context(), nil, PlanOptions{}))
	defer p.Close()
	if p.Silent == nil || len(p.Warnings) != 1 || p.Warnings[0].Ref.String() != hello {
		t.Errorf("silent: %v, warnings: %v", p.Silent, p.Warnings)
	}
	must[*Result](t)(p.Apply(t.Context(), nil))
	p.Close()
	m.expect("Hello 1, Other 2")

	hide(t, b.path)
	if _, err := update(t.Context(), m.Installation); err == nil {
		t.Error("no remote can be asked, and there was nothing wrong")
	}
	hide(t, a.path)
	if r, err := update(t.Context(), m.Installation, "hello"); err != nil || r.Generation != 3 {
		t.Errorf("when it is back: %+v, %v", r, err)
	}
	m.expect("Hello 2, Other 2")
}

// hide takes a repository off its place, or brings it back.
func hide(t *testing.T, path string) {
	t.Helper()
	aside := path + ".aside"
	if _, err := os.Lstat(aside); err == nil {
		path, aside = aside, path
	}
	if err := os.Rename(path, aside); err != nil {
		t.Fatal(err)
	}
}

// TestUnreadableGeneration has one that undo could go back to damaged beyond its
// second copy: it is found, everything else goes on, and what it might be made of
// stays.
func TestUnreadableGeneration(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	m := newMachine(t)
	for _, version := range []string{"1", "2", "3"} {
		p.publish(hello, version, program(version))
		if version == "1" {
			m.trust("example", p)
			m.install("hello")
			continue
		}
		m.update()
	}
	for _, name := range []string{stateName, copyName} {
		damage(t, filepath.Join(m.dir, generationName(2), name), flip(40))
	}
	found := m.findings()
	if len(found) == 0 {
		t.Error("verify did not find it")
	}
	for _, f := range found {
		if f[:len("generations/2/")] != "generations/2/" {
			t.Errorf("found %s", f)
		}
	}
	if h, err := m.History(); err != nil || len(h) != 2 {
		t.Errorf("history: %d, %v", len(h), err)
	}
	if v, err := m.Repair(t.Context(), VerifyOptions{}); err != nil || len(v.Findings) == 0 {
		t.Errorf("repair: %+v, %v", v, err)
	}
	if _, err := m.Undo(t.Context()); !errors.Is(err, ErrFormat) {
		t.Errorf("undo: %v", err)
	}
	before := m.listing()
	if c, err := m.GC(t.Context(), GCOptions{Keep: 1}); err != nil || c.Generations+c.Deployments+c.Releases+c.Trees != 0 || c.Objects != 0 {
		t.Errorf("gc removed %+v, %v", c, err)
	}
	if after := m.listing(); after != before {
		t.Errorf("gc took what may be of the generation that nobody can read:\n%s\n%s", before, after)
	}
	m.expect("Hello 3")

	// A release that it may be of is damaged too: then no object is known to be garbage.
	objects := m.count("objects")
	documents := must[[]string](t)(filepath.Glob(filepath.Join(m.dir, "releases/*")))
	g := must[*Generation](t)(m.Current())
	for _, name := range documents {
		if filepath.Base(name) != g.Installed[0].Release.String() {
			damage(t, name, flip(10))
		}
	}
	if _, err := m.GC(t.Context(), GCOptions{Keep: 5}); err != nil || m.count("objects") != objects {
		t.Errorf("gc: %v, %d objects of %d", err, m.count("objects"), objects)
	}

	if c, err := m.GC(t.Context(), GCOptions{}); err != nil || c.Generations != 2 || c.Objects == 0 {
		t.Errorf("keeping none: %+v, %v", c, err)
	}
	if found := m.findings(); len(found) != 0 {
		t.Errorf("left: %v", found)
	}
	m.expect("Hello 3")
}

// count gives how many regular files there are below a folder.
func (m *machine) count(folder string) (n int) {
	for _, name := range m.regular() {
		if filepath.Dir(filepath.Dir(name)) == folder {
			n++
		}
	}
	return n
}

package install

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/trust"
)

func TestGC(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	m := newMachine(t)
	p.publish(hello, "1", program("1"))
	m.trust("example", p)
	m.install("hello")
	p.publish(hello, "2", program("2"))
	m.update()
	p.publish(hello, "3", program("3"))
	m.update()

	before := m.listing()
	dry := must[*Collected](t)(m.GC(t.Context(), GCOptions{DryRun: true}))
	if after := m.listing(); after != before {
		t.Errorf("a dry run changed something:\n%s", cmp.Diff(before, after))
	}
	want := Collected{Generations: 2, Deployments: 2, Releases: 2, Trees: 2, Objects: 4}
	dry.Bytes = 0
	if diff := cmp.Diff(want, *dry); diff != "" {
		t.Errorf("dry run (-want +have):\n%s", diff)
	}
	one := must[*Collected](t)(m.GC(t.Context(), GCOptions{Keep: 1}))
	if one.Generations != 1 || one.Objects != 2 {
		t.Errorf("keeping one: %+v", one)
	}
	m.undo()
	m.expect("Hello 2")
	m.update()
	if c := must[*Collected](t)(m.GC(t.Context(), GCOptions{})); c.Generations != 3 {
		t.Errorf("keeping none: %+v", c)
	}
	m.expect("Hello 3")
	if _, err := m.Undo(t.Context()); !errors.Is(err, ErrNothingToUndo) {
		t.Errorf("undo of what was collected: %v", err)
	}
	m.uninstall("hello")
	must[*Collected](t)(m.GC(t.Context(), GCOptions{}))
	if u := must[*Usage](t)(m.DU(t.Context(), nil)); u.Objects != 0 || u.Bytes != 0 {
		t.Errorf("left: %+v", u)
	}
}

// TestWhatRunsStays updates, uninstalls and collects while a program runs that
// was started before.
func TestWhatRunsStays(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	m := newMachine(t)
	p.publish(hello, "1", program("1"))
	m.trust("example", p)
	m.install("hello")
	o := must[*Opened](t)(openMachine(t, m.dir).OpenApp(t.Context(), "hello"))
	script := "read line; cat " + filepath.Join(o.Tree.Path, "files/share/version") + " " + filepath.Join(o.Tree.Path, "files/share/same")
	child := exec.Command("sh", "-c", script)
	child.ExtraFiles = []*os.File{o.Tree.Hold}
	input := must[interface {
		Write([]byte) (int, error)
		Close() error
	}](t)(child.StdinPipe())
	var out strings.Builder
	child.Stdout = &out
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	o.Close() // the program holds it now

	p.publish(hello, "2", program("2"))
	m.update()
	m.uninstall("hello")
	c := must[*Collected](t)(m.GC(t.Context(), GCOptions{}))
	if len(c.InUse) != 1 || c.Deployments != 1 || c.Objects == 0 {
		t.Errorf("collected while it runs: %+v", c)
	}
	input.Write([]byte("go\n"))
	input.Close()
	if err := child.Wait(); err != nil || out.String() != "1"+noise(1, 3000) {
		t.Errorf("the program read %d bytes, %v", out.Len(), err)
	}
	if c := must[*Collected](t)(m.GC(t.Context(), GCOptions{})); c.Deployments != 1 || c.Objects == 0 || len(c.InUse) != 0 {
		t.Errorf("collected afterwards: %+v", c)
	}
}

func TestDU(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	more := "app/org.example.More/" + arch + "/stable"
	p.publish(hello, "1", files{"share/a": noise(1, 1000), "share/b": noise(2, 100), "share/small": "x"})
	p.publish(more, "1", files{"share/a": noise(1, 1000), "share/c": noise(3, 10) + noise(4, 200), "share/again": noise(1, 1000)})
	m := newMachine(t)
	m.trust("example", p)
	result := m.install("hello", "more")
	if result.Objects != 3 {
		t.Errorf("%d contents fetched, want 3", result.Objects)
	}
	u := must[*Usage](t)(m.DU(t.Context(), nil))
	type row struct{ Exclusive, Shared int64 }
	have := []row{{u.Refs[0].Exclusive, u.Refs[0].Shared}, {u.Refs[1].Exclusive, u.Refs[1].Shared}}
	metadata := func(n int) int64 { return u.Refs[n].Installed }
	if u.Objects < 3 || metadata(0) == 0 {
		t.Errorf("%+v", u)
	}
	rest := u.Bytes - 1000 - 100 - 210
	want := []row{{100 + rest/2, 1000}, {210 + rest - rest/2, 1000}}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("-want +have:\n%s", diff)
	}
	if one := must[*Usage](t)(m.DU(t.Context(), []string{"more"})); len(one.Refs) != 1 {
		t.Errorf("one: %+v", one)
	}
	if _, err := m.DU(t.Context(), []string{"nothing"}); !errors.Is(err, ErrNotInstalled) {
		t.Error(err)
	}
}

// TestDamagedPointers tells of files that are not what they were, and changes
// nothing.
func TestDamagedPointers(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	p.publish(hello, "1", program("1"))
	m := newMachine(t)
	m.trust("example", p)
	m.install("hello")
	for _, c := range []struct {
		name   string
		damage func(string) error
	}{
		{"current", func(name string) error {
			return errors.Join(os.Remove(name), os.Symlink("../../etc", name))
		}},
		{"current", func(name string) error {
			return errors.Join(os.Remove(name), os.Symlink("generations/01", name))
		}},
		{"installation.json", func(name string) error {
			return os.WriteFile(name, []byte(`{"features":[],"format":2}`+"\n"), 0o644)
		}},
	} {
		broken := m.copy(t)
		if err := c.damage(filepath.Join(broken.dir, c.name)); err != nil {
			t.Fatal(err)
		}
		i, err := Open(broken.dir, m.opt)
		if err == nil {
			_, err = install(t.Context(), i, "hello")
			i.Close()
		}
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := Open(filepath.Join(m.dir, "lock"), m.opt); !errors.Is(err, fs.ErrExist) && err == nil {
		t.Errorf("a file as an installation: %v", err)
	}
}

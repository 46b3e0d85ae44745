package deploytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
)

var epoch = time.Unix(0, 0)

// suite is one run of the tests for one backend.
type suite struct {
	backend deploy.Backend
	newDir  func(t *testing.T) string
}

// Run runs the suite. newDir gives an empty folder on a file system on which the
// backend works; where it does not work at all, the suite is skipped.
func Run(t *testing.T, backend deploy.Backend, newDir func(t *testing.T) string) {
	s := suite{backend, newDir}
	site, _ := s.site(t)
	if support := backend.Probe(t.Context(), site); !support.Usable {
		t.Skipf("%s does not work here: %s", backend.Name(), support.Why)
	}
	s.noLeftovers(t, site)
	for name, test := range map[string]func(*testing.T){
		"same tree out as in":        s.sameTree,
		"umask":                      s.umask,
		"links run out":              s.linksRunOut,
		"made twice":                 s.madeTwice,
		"fault while made":           s.faultWhileMade,
		"fault while made anew":      s.faultWhileMadeAnew,
		"fault while removed":        s.faultWhileRemoved,
		"removal while in use":       s.removalInUse,
		"removal while a child runs": s.removalWithChild,
		"removal follows nothing":    s.removalFollowsNothing,
		"damaged content":            s.damage,
		"missing content":            s.missingContent,
		"names":                      s.names,
		"canceled":                   s.canceled,
		"leftovers in the way":       s.leftoversInTheWay,
		"many at once":               s.manyAtOnce,
	} {
		t.Run(name, test)
	}
}

func (s suite) site(t *testing.T) (deploy.Site, *Contents) {
	t.Helper()
	root, err := beneath.Open(s.newDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	contents := &Contents{root: root}
	return deploy.Site{Root: root, Content: contents}, contents
}

// made makes a deployment of a release on a new site.
func (s suite) made(t *testing.T, r *Release) (deploy.Site, deploy.Spec) {
	t.Helper()
	site, contents := s.site(t)
	spec := r.spec(t, "release", contents)
	if err := s.backend.Make(t.Context(), site, spec); err != nil {
		t.Fatal(err)
	}
	return site, spec
}

func (s suite) open(t *testing.T, site deploy.Site, name string) *deploy.View {
	t.Helper()
	view, err := s.backend.Open(t.Context(), site, name)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

// isThere fails the test unless the deployment is complete.
func (s suite) isThere(t *testing.T, site deploy.Site, spec deploy.Spec) {
	t.Helper()
	view := s.open(t, site, spec.Name)
	defer view.Close()
	same(t, view.Path, spec)
}

// isAbsent fails the test if there is anything of a deployment.
func (s suite) isAbsent(t *testing.T, site deploy.Site, name string) {
	t.Helper()
	view, err := s.backend.Open(t.Context(), site, name)
	if err == nil {
		view.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening what should not be there: error %v", err)
	}
	if list, err := deploy.List(site.Root); len(list) > 0 || err != nil {
		t.Errorf("deployments %v, error %v", list, err)
	}
}

func (s suite) noLeftovers(t *testing.T, site deploy.Site) {
	t.Helper()
	if names, err := site.Root.ReadDir("tmp"); len(names) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left in tmp: %v, error %v", names, err)
	}
}

func (s suite) sameTree(t *testing.T) {
	for name, r := range releases() {
		t.Run(name, func(t *testing.T) {
			site, spec := s.made(t, r)
			s.isThere(t, site, spec)
			s.noLeftovers(t, site)
			list, err := deploy.List(site.Root)
			if want := (deploy.Deployment{Name: spec.Name, Backend: s.backend.Name()}); err != nil || len(list) != 1 || list[0] != want {
				t.Errorf("deployments %v, error %v", list, err)
			}
			if err := s.backend.Remove(t.Context(), site, spec.Name); err != nil {
				t.Error(err)
			}
			s.isAbsent(t, site, spec.Name)
			s.noLeftovers(t, site)
		})
	}
}

func (s suite) umask(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	site, spec := s.made(t, tangled())
	s.isThere(t, site, spec)
}

// a file system lets a file have so many names and no more
func (s suite) linksRunOut(t *testing.T) {
	r := NewRelease()
	shared := content("shared", 1000)
	for i := range 10 {
		r.File(tangledPath(i), shared)
	}
	site, contents := s.site(t)
	contents.links, contents.given = 4, map[string]int{}
	spec := r.Link("/link", tangledPath(0)).spec(t, "release", contents)
	if err := s.backend.Make(t.Context(), site, spec); err != nil {
		t.Fatal(err)
	}
	s.isThere(t, site, spec)
}

func (s suite) madeTwice(t *testing.T) {
	site, spec := s.made(t, tangled())
	view := s.open(t, site, spec.Name) // making what is right already disturbs nobody
	defer view.Close()
	if err := s.backend.Make(t.Context(), site, spec); err != nil {
		t.Error(err)
	}
	same(t, view.Path, spec)
	s.noLeftovers(t, site)
}

var errFault = errors.New("fault")

// atEachChange calls do with a root that fails at one change, for each in turn,
// once and from then on, until there was none to fail at.
func atEachChange(t *testing.T, do func(t *testing.T, fail func(*beneath.Dir) *beneath.Dir)) {
	for _, sticky := range []bool{false, true} {
		for n := int64(1); ; n++ {
			var count atomic.Int64
			hook := func(op, name string) error {
				if at := count.Add(1); at == n || sticky && at > n {
					return fmt.Errorf("%s %s: %w", op, name, errFault)
				}
				return nil
			}
			do(t, func(d *beneath.Dir) *beneath.Dir { return d.WithFault(hook) })
			if t.Failed() {
				t.Fatalf("at change %d, sticky %v", n, sticky)
			}
			if count.Load() < n {
				break
			}
		}
	}
}

func (s suite) faultWhileMade(t *testing.T) {
	atEachChange(t, func(t *testing.T, fail func(*beneath.Dir) *beneath.Dir) {
		site, contents := s.site(t)
		spec := tangled().spec(t, "release", contents)
		err := s.backend.Make(t.Context(), deploy.Site{Root: fail(site.Root), Content: site.Content}, spec)
		switch there, _ := deploy.List(site.Root); {
		case err != nil && !errors.Is(err, errFault):
			t.Error(err)
		case len(there) > 0: // with an error too: after the commit point
			s.isThere(t, site, spec)
		case err == nil:
			t.Error("no error, and nothing there")
		}
		if err := s.backend.Make(t.Context(), site, spec); err != nil {
			t.Errorf("the next run: %v", err)
		}
		s.isThere(t, site, spec)
		s.noLeftovers(t, site)
	})
}

// what is there under the name is another tree, as if its making had been
// interrupted by a file system that kept no promise
func (s suite) faultWhileMadeAnew(t *testing.T) {
	atEachChange(t, func(t *testing.T, fail func(*beneath.Dir) *beneath.Dir) {
		site, contents := s.site(t)
		old := NewRelease().File("/old", content("old", 100)).spec(t, "release", contents)
		if err := s.backend.Make(t.Context(), site, old); err != nil {
			t.Fatal(err)
		}
		spec := tangled().spec(t, "release", contents)
		view := s.open(t, site, spec.Name)
		if err := s.backend.Make(t.Context(), site, spec); !errors.Is(err, deploy.ErrInUse) {
			t.Errorf("made anew while in use: error %v", err)
		}
		same(t, view.Path, old)
		view.Close()
		err := s.backend.Make(t.Context(), deploy.Site{Root: fail(site.Root), Content: site.Content}, spec)
		if err != nil && !errors.Is(err, errFault) {
			t.Error(err)
		}
		view = s.open(t, site, spec.Name)
		if one, other := problems(t, view.Path, old), problems(t, view.Path, spec); len(other) > 0 && (err == nil || len(one) > 0) {
			t.Errorf("neither the old tree nor the new one: error %v, %v", err, other)
		}
		view.Close()
		if err := s.backend.Make(t.Context(), site, spec); err != nil {
			t.Errorf("the next run: %v", err)
		}
		s.isThere(t, site, spec)
	})
}

func (s suite) faultWhileRemoved(t *testing.T) {
	atEachChange(t, func(t *testing.T, fail func(*beneath.Dir) *beneath.Dir) {
		site, spec := s.made(t, tangled())
		err := s.backend.Remove(t.Context(), deploy.Site{Root: fail(site.Root), Content: site.Content}, spec.Name)
		if there, _ := deploy.List(site.Root); len(there) > 0 {
			if err == nil {
				t.Error("no error, and it is there")
			}
			s.isThere(t, site, spec)
		}
		if err := s.backend.Remove(t.Context(), site, spec.Name); err != nil {
			t.Errorf("the next run: %v", err)
		}
		s.isAbsent(t, site, spec.Name)
	})
}

func (s suite) removalInUse(t *testing.T) {
	site, spec := s.made(t, tangled())
	view, second := s.open(t, site, spec.Name), s.open(t, site, spec.Name)
	f, err := os.Open(filepath.Join(view.Path, "bin/program"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, v := range []*deploy.View{view, second} {
		if err := s.backend.Remove(t.Context(), site, spec.Name); !errors.Is(err, deploy.ErrInUse) {
			t.Errorf("removed while in use: error %v", err)
		}
		same(t, v.Path, spec)
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
	for range 2 { // the second time there is none
		if err := s.backend.Remove(t.Context(), site, spec.Name); err != nil {
			t.Error(err)
		}
	}
	s.isAbsent(t, site, spec.Name)
	want := content("program", 70_000)
	if err := digest.Verify(f, digest.Of(want), int64(len(want))); err != nil {
		t.Errorf("a file that was open before the removal: %v", err)
	}
	if err := s.backend.Make(t.Context(), site, spec); err != nil {
		t.Errorf("made once more: %v", err)
	}
	s.isThere(t, site, spec)
}

// the program goes on when who started it has gone
func (s suite) removalWithChild(t *testing.T) {
	site, spec := s.made(t, tangled())
	view := s.open(t, site, spec.Name)
	child := exec.Command("cat")
	child.ExtraFiles = []*os.File{view.Hold}
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if view.Prepare != nil {
		if err := view.Prepare(child); err != nil {
			t.Fatal(err)
		}
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if err := view.Hold.Close(); err != nil {
		t.Error(err)
	}
	if err := s.backend.Remove(t.Context(), site, spec.Name); !errors.Is(err, deploy.ErrInUse) {
		t.Errorf("removed while a child holds it: error %v", err)
	}
	if err := errors.Join(in.Close(), child.Wait()); err != nil {
		t.Error(err)
	}
	if err := s.backend.Remove(t.Context(), site, spec.Name); err != nil {
		t.Error(err)
	}
	s.isAbsent(t, site, spec.Name)
}

func (s suite) removalFollowsNothing(t *testing.T) {
	outside := t.TempDir()
	sentinel := filepath.Join(outside, "sentinel")
	if err := os.WriteFile(sentinel, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	site, spec := s.made(t, NewRelease().Symlink("/out", outside).Dir("/d").Symlink("/d/out", sentinel))
	if err := s.backend.Remove(t.Context(), site, spec.Name); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(sentinel); err != nil || string(data) != "kept" {
		t.Errorf("outside of the deployment: %q, error %v", data, err)
	}
}

// a bit is flipped in stored content: a backend that promises so gives an error
// at the read, any other a tree in which Compare finds it
func (s suite) damage(t *testing.T) {
	site, contents := s.site(t)
	spec := tangled().spec(t, "release", contents)
	if err := s.backend.Make(t.Context(), site, spec); err != nil {
		t.Fatal(err)
	}
	program := content("program", 70_000)
	name := filepath.Join(site.Root.Path(), path(digest.Of(program), true))
	flip(t, name, 40_000)
	view, err := s.backend.Open(t.Context(), site, spec.Name)
	if err != nil {
		t.Logf("opening refuses: %v", err)
		return
	}
	defer view.Close()
	if s.backend.Probe(t.Context(), site).Verifies == deploy.Signed {
		f, err := os.Open(filepath.Join(view.Path, "bin/program"))
		if err == nil {
			_, err = io.Copy(io.Discard, f)
			f.Close()
		}
		if err == nil {
			t.Error("damaged content was read without an error")
		}
		return
	}
	found := problems(t, view.Path, spec)
	if len(found) == 0 {
		t.Log("the damage does not reach this form")
	}
	for _, d := range found {
		if d.Path != "/bin/program" && d.Path != "/bin/program2" {
			t.Errorf("%s is blamed: %s", d.Path, d.Problem)
		}
	}
}

// flip changes one bit and leaves all else as it was.
func flip(t *testing.T, name string, offset int) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{data[offset] ^ 1}, int64(offset)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	seal(t, name, info.Mode()&0o100 != 0)
}

func (s suite) missingContent(t *testing.T) {
	site, contents := s.site(t)
	spec := tangled().spec(t, "release", contents)
	data := content("data", 5000)
	if err := os.Remove(filepath.Join(site.Root.Path(), path(digest.Of(data), false))); err != nil {
		t.Fatal(err)
	}
	if err := s.backend.Make(t.Context(), site, spec); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("made without a content: error %v", err)
	}
	s.isAbsent(t, site, spec.Name)
	s.noLeftovers(t, site)
}

func (s suite) names(t *testing.T) {
	site, contents := s.site(t)
	for _, name := range []string{"", ".", "..", "a/b", "a.b", "../a", "/a"} {
		if err := s.backend.Make(t.Context(), site, tangled().spec(t, name, contents)); err == nil {
			t.Errorf("%q: made", name)
		}
		if view, err := s.backend.Open(t.Context(), site, name); err == nil {
			view.Close()
			t.Errorf("%q: opened", name)
		}
		if err := s.backend.Remove(t.Context(), site, name); err == nil {
			t.Errorf("%q: removed", name)
		}
	}
	s.isAbsent(t, site, "release")
}

func (s suite) canceled(t *testing.T) {
	site, contents := s.site(t)
	spec := tangled().spec(t, "release", contents)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.backend.Make(ctx, site, spec); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: error %v", err)
	}
	s.isAbsent(t, site, spec.Name)
	broken := spec
	broken.Tree = cut(spec.Tree, 4)
	if err := s.backend.Make(t.Context(), site, broken); !errors.Is(err, errCut) {
		t.Errorf("tree that breaks off: error %v", err)
	}
	s.isAbsent(t, site, spec.Name)
	s.noLeftovers(t, site)
}

func (s suite) leftoversInTheWay(t *testing.T) {
	site, contents := s.site(t)
	spec := tangled().spec(t, "release", contents)
	aside := filepath.Join(site.Root.Path(), "tmp", "deploy-release."+s.backend.Name())
	if err := os.MkdirAll(filepath.Join(aside, "tree", "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", filepath.Join(aside, "tree", "bin", "program")); err != nil {
		t.Fatal(err)
	}
	if err := s.backend.Make(t.Context(), site, spec); err != nil {
		t.Fatal(err)
	}
	s.isThere(t, site, spec)
	s.noLeftovers(t, site)
}

func (s suite) manyAtOnce(t *testing.T) {
	site, contents := s.site(t)
	errs := make(chan error, 8)
	var specs []deploy.Spec
	for i := range cap(errs) {
		spec := tangled().File("/which", content(fmt.Sprint(i), 100)).spec(t, fmt.Sprint("release", i), contents)
		specs = append(specs, spec)
		go func() { errs <- s.backend.Make(t.Context(), site, spec) }()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	for _, spec := range specs {
		s.isThere(t, site, spec)
	}
}

package deploytest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
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
		"made from a previous one":   s.madeFromPrevious,
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
		"page cache":                 s.cacheShared,
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
	t.Cleanup(func() { s.clear(t, deploy.Site{Root: root, Content: contents}) })
	return deploy.Site{Root: root, Content: contents}, contents
}

// clear removes what is left, mounts among it, before the folder is deleted.
func (s suite) clear(t *testing.T, site deploy.Site) {
	list, err := deploy.List(site.Root)
	for _, d := range list {
		err = errors.Join(err, s.backend.Remove(context.Background(), site, d.Name))
	}
	if err != nil {
		t.Error(err)
	}
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
	same(t, view, spec)
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
		r.File(numbered(i), shared)
	}
	site, contents := s.site(t)
	contents.links, contents.given = 4, map[string]int{}
	spec := r.Link("/link", numbered(0)).spec(t, "release", contents)
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
	same(t, view, spec)
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

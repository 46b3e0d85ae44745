package deploytest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/internal/beneath"
)

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
		contents.show(old)
		same(t, view, old)
		contents.show(spec)
		view.Close()
		err := s.backend.Make(t.Context(), deploy.Site{Root: fail(site.Root), Content: site.Content}, spec)
		if err != nil && !errors.Is(err, errFault) {
			t.Error(err)
		}
		view = s.open(t, site, spec.Name)
		if other, wrong := examine(t, view, spec); len(other) > 0 || wrong != nil {
			contents.show(old)
			if one, wrong := examine(t, view, old); err == nil || len(one) > 0 || wrong != nil {
				t.Errorf("neither the old tree nor the new one: error %v, %v, %v", err, other, wrong)
			}
			contents.show(spec)
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

package deploytest

import (
	"testing"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
)

// Observation is what was seen of a backend on this machine.
type Observation struct {
	Usable bool
	// Damage is what becomes of a bit that is flipped in an object, or of an object that
	// is replaced by another of its size.
	Damage string
	// Cache tells whether equal contents of two deployments are in memory once.
	Cache string
}

// Words for what becomes of damage.
const (
	Refused   = "an error when it is read"
	Found     = "found by `larch verify`"
	Unreached = "kept away from it" // the kernel lets nobody change a file, and another is another
)

// Observe tries what a backend does, whatever it says about itself.
func Observe(t *testing.T, backend deploy.Backend, newDir func(t *testing.T) string) (o Observation) {
	t.Helper()
	s := suite{backend, newDir}
	site, contents := s.site(t)
	if support := backend.Probe(t.Context(), site); !support.Usable {
		t.Logf("%s: %s", backend.Name(), support.Why)
		return o
	}
	o.Usable = true
	spec := tangled().spec(t, "release", contents)
	if err := backend.Make(t.Context(), site, spec); err != nil {
		t.Fatal(err)
	}
	contents.flip(t, content("program", 70_000), 40_000)
	view := s.open(t, site, spec.Name)
	defer view.Close()
	data, err := read(t, view, "bin/program")
	switch {
	case err != nil:
		o.Damage = Refused
	case digest.Of(data) != digest.Of(content("program", 70_000)):
		o.Damage = Found
	default:
		o.Damage = Unreached
	}
	o.Cache = "once for each"
	if s.sharesCache(t) {
		o.Cache = "once for all"
	}
	return o
}

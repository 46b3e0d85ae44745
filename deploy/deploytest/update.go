package deploytest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/tree"
)

// a deployment that is made with another one at hand is its tree, and the other one
// stays what it was
func (s suite) madeFromPrevious(t *testing.T) {
	site, contents := s.site(t)
	chance := rand.New(rand.NewPCG(1, 2))
	var previous deploy.Spec
	for n := range 25 {
		spec := random(chance).spec(t, fmt.Sprintf("release%d", n), contents)
		spec.Previous = previous.Name
		if err := s.backend.Make(t.Context(), site, spec); err != nil {
			t.Fatal(err)
		}
		s.isThere(t, site, spec)
		if previous.Name != "" {
			s.isThere(t, site, previous)
			if err := s.backend.Remove(t.Context(), site, previous.Name); err != nil {
				t.Fatal(err)
			}
		}
		previous = spec
	}
	s.noLeftovers(t, site)
}

// random gives a tree of few names, so that two of them have much in common and
// differ in every way: kinds, modes, times, links, attributes, contents.
func random(chance *rand.Rand) *Release {
	r := NewRelease()
	var files []tree.Path
	changes := func() (all []change) {
		if chance.IntN(4) == 0 {
			all = append(all, at(int64(chance.IntN(3)), 0))
		}
		if chance.IntN(4) == 0 {
			all = append(all, xattr("user."+string(rune('a'+chance.IntN(2))), fmt.Sprint(chance.IntN(2))))
		}
		if os.Getuid() == 0 && chance.IntN(4) == 0 {
			all = append(all, owner(uint32(chance.IntN(2)), uint32(chance.IntN(2))))
		}
		return all
	}
	var fill func(dir tree.Path, depth int)
	fill = func(dir tree.Path, depth int) {
		for _, name := range []string{"a", "a.b", "b", "c", "d"} {
			p := dir.Join(name)
			switch kind := chance.IntN(8); {
			case kind == 0 && depth < 3 || depth == 0 && kind < 4:
				all := append(changes(), mode([]uint32{0o755, 0o555, 0o700}[chance.IntN(3)]))
				r.Dir(p, all...)
				fill(p, depth+1)
			case kind == 1:
				r.Symlink(p, []string{"a", "../b"}[chance.IntN(2)])
			case kind == 2 && len(files) > 0:
				r.Link(p, files[chance.IntN(len(files))])
			case kind < 7:
				data := content(fmt.Sprint(chance.IntN(3)), []int{0, 30, 500, 70_000}[chance.IntN(4)])
				r.File(p, data, append(changes(), mode([]uint32{0o644, 0o755, 0o600}[chance.IntN(3)]))...)
				files = append(files, p)
			}
		}
	}
	fill("/", 0)
	slices.SortFunc(r.entries, func(a, b *tree.Entry) int { return a.Path.Compare(b.Path) })
	return r
}

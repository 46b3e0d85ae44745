package repo

import (
	"cmp"
	"context"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/larch-project/larch/tree"
)

// listing is the contents of one release as its publisher sees them.
type listing struct {
	contents []LocatedContent
	paths    map[tree.Path]int32 // of all regular files, to the number of their content
}

// matcher finds for each content that is new the old one that it is most like.
type matcher struct {
	old, new *listing
	fresh    []int32 // contents that the old release has not, by number
	gone     []int32 // contents that the new release has not
	sketch   func(listed) (sketch, error)
	sketches map[listed]sketch
}

// listed names a content of one of the two listings.
type listed struct {
	old    bool
	number int32
}

const (
	// trustSize is up to where a content with the same path, or the same name, is
	// taken as a base without a look at it.
	trustSize = 1 << 10
	// likeEnough is how much of a sketch must be common with a content that was
	// found by nothing else.
	likeEnough = 3
	// popular is how many contents a piece may be in before it says nothing.
	popular = 16
	// sketchLimit is the size above which a content is not looked for in others,
	// but by its path or name, in bytes.
	sketchLimit = 1 << 30
)

// match gives the base of each new content, as far as there is one: by path, by a
// path that differs in versions and hashes alone, by name, or by likeness alone.
func (m *matcher) match(ctx context.Context) (map[int32]int32, error) {
	bases := map[int32]int32{}
	var open []int32
	for _, n := range m.fresh {
		base, found, err := m.byPath(n)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if found {
			bases[n] = base
		} else {
			open = append(open, n)
		}
	}
	if len(open) == 0 || len(m.old.contents) == 0 {
		return bases, nil
	}
	return bases, m.byLikeness(ctx, open, bases)
}

// byPath takes what was at the same path, if it looks alike.
func (m *matcher) byPath(n int32) (int32, bool, error) {
	base, there := m.old.paths[m.new.contents[n].Path]
	if !there {
		return 0, false, nil
	}
	alike, err := m.alike(n, base)
	return base, alike > 0, err
}

// alike tells how much of its sketch a new content has in common with an old one;
// at least 1 if one of them is too small to say.
func (m *matcher) alike(n, base int32) (int, error) {
	if min(m.new.contents[n].Size, m.old.contents[base].Size) <= trustSize {
		return 1, nil
	}
	a, err := m.sketchOf(listed{false, n})
	if err != nil {
		return 0, err
	}
	b, err := m.sketchOf(listed{true, base})
	return a.common(b), err
}

func (m *matcher) sketchOf(l listed) (sketch, error) {
	if s, done := m.sketches[l]; done {
		return s, nil
	}
	s, err := m.sketch(l)
	m.sketches[l] = s
	return s, err
}

// byLikeness compares what is open with what has gone, and with what has a name
// like it.
func (m *matcher) byLikeness(ctx context.Context, open []int32, bases map[int32]int32) error {
	names := m.byName()
	pieces, err := m.byPiece(ctx, open, names)
	if err != nil {
		return err
	}
	for _, n := range open {
		if m.new.contents[n].Size > sketchLimit {
			continue
		}
		s, err := m.sketchOf(listed{false, n})
		if err != nil {
			return err
		}
		if base, found := m.best(n, s, pieces, names); found {
			bases[n] = base
		}
	}
	return nil
}

// byName lists the old contents by what does not change in their names.
func (m *matcher) byName() map[string][]int32 {
	names := map[string][]int32{}
	for _, p := range sortedPaths(m.old.paths) {
		key := squash(p.Base())
		if n := m.old.paths[p]; len(names[key]) < 256 && !slices.Contains(names[key], n) {
			names[key] = append(names[key], n)
		}
	}
	return names
}

func sortedPaths(paths map[tree.Path]int32) []tree.Path {
	sorted := make([]tree.Path, 0, len(paths))
	for p := range paths {
		sorted = append(sorted, p)
	}
	slices.SortFunc(sorted, tree.Path.Compare)
	return sorted
}

// byPiece lists by pieces of their sketches the old contents that a new one may be
// made of: those that have gone, and those of a like name.
func (m *matcher) byPiece(ctx context.Context, open []int32, names map[string][]int32) (map[uint64][]int32, error) {
	candidates := slices.Clone(m.gone)
	for _, n := range open {
		candidates = append(candidates, names[squash(m.new.contents[n].Path.Base())]...)
	}
	slices.Sort(candidates)
	pieces := map[uint64][]int32{}
	for _, c := range slices.Compact(candidates) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if m.old.contents[c].Size > sketchLimit {
			continue
		}
		s, err := m.sketchOf(listed{true, c})
		if err != nil {
			return nil, err
		}
		for _, h := range s {
			if len(pieces[h]) <= popular {
				pieces[h] = append(pieces[h], c)
			}
		}
	}
	return pieces, nil
}

// best chooses among the candidates of one content: the one that shares most, and
// of those the one with the likest name, then the nearest size.
func (m *matcher) best(n int32, s sketch, pieces map[uint64][]int32, names map[string][]int32) (int32, bool) {
	shared := map[int32]int{}
	for _, h := range s {
		if list := pieces[h]; len(list) <= popular {
			for _, c := range list {
				shared[c]++
			}
		}
	}
	named := names[squash(m.new.contents[n].Path.Base())]
	best, score := int32(-1), candidate{}
	for c, common := range shared {
		x := candidate{common, slices.Contains(named, c), distance(m.new.contents[n].Size, m.old.contents[c].Size), c}
		if (common >= likeEnough || x.named) && (best < 0 || x.compare(score) > 0) {
			best, score = c, x
		}
	}
	if best < 0 && m.new.contents[n].Size <= trustSize && len(named) > 0 {
		return named[0], true
	}
	return best, best >= 0
}

type candidate struct {
	common int
	named  bool
	far    int64
	number int32
}

func (c candidate) compare(o candidate) int {
	likely := func(named bool) int {
		if named {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(c.common, o.common), cmp.Compare(likely(c.named), likely(o.named)),
		cmp.Compare(o.far, c.far), cmp.Compare(o.number, c.number))
}

func distance(a, b int64) int64 { return max(a-b, b-a) }

// changing is what differs in names of one file from version to version: numbers,
// and the hashes that bundlers put there.
var changing = regexp.MustCompile(`[0-9]+|[-._~][0-9A-Za-z_-]{4,}(\.|$)`)

// squash gives what stays of a name.
func squash(name string) string {
	stem, ext := strings.TrimSuffix(name, path.Ext(name)), path.Ext(name)
	stem = changing.ReplaceAllStringFunc(stem, func(part string) string {
		if strings.ContainsAny(part, "0123456789") {
			return "#"
		}
		return part
	})
	return stem + changing.ReplaceAllString(ext, "#")
}

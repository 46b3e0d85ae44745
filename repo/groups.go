package repo

import (
	"cmp"
	"slices"
	"strings"

	"github.com/larch-project/larch/tree"
)

// How contents are put into groups, in bytes before compression, and which groups
// are worth having; spec/5-repository.md §5.6.
const (
	// aloneSize is from where a content with a base is a group of its own.
	aloneSize = 1 << 20
	// groupSize and groupFiles close a group of smaller ones.
	groupSize  = 2 << 20
	groupFiles = 1024
	// addSize closes a group of contents without a base.
	addSize = 8 << 20
	// streamSize closes a group of a fresh install: what an interruption may lose.
	streamSize = 64 << 20
	// worthPercent is what a group may cost of the frames that it stands for.
	worthPercent = 80
	// addPercent and addFloor bound the contents without a base that travel in the
	// delta, of the frames of all that is new.
	addPercent = 25
	addFloor   = 64 << 10
	// makeMemory bounds what is used for making groups at once, bytes.
	makeMemory = 1400 << 20
)

// based puts contents that have a base into groups: large ones alone, small ones
// with their neighbours in the tree.
func (d *differ) based(bases map[int32]int32) (jobs []*job) {
	var open *job
	seen := map[int32]bool{} // bases of the open group
	var old, new int64
	for _, n := range d.fresh {
		base, has := bases[n]
		if !has {
			continue
		}
		a, b := d.from.contents[base].Size, d.to.contents[n].Size
		if max(a, b) >= aloneSize {
			jobs = append(jobs, d.job([]int32{base}, []int32{n}))
			continue
		}
		if open == nil || old+a > groupSize || new+b > groupSize || len(open.News) == groupFiles {
			open, old, new = &job{}, 0, 0
			jobs = append(jobs, open)
			clear(seen)
		}
		if !seen[base] {
			seen[base] = true
			open.Bases = append(open.Bases, base)
			old += a
		}
		open.News = append(open.News, n)
		new += b
	}
	for i, j := range jobs {
		jobs[i] = d.job(j.Bases, j.News)
	}
	return jobs
}

// job weighs a group.
func (d *differ) job(bases, news []int32) *job {
	j := &job{Group: Group{Bases: bases, News: news}}
	var old, new int64
	for _, n := range bases {
		old += d.from.contents[n].Size
	}
	for _, n := range news {
		new += d.to.contents[n].Size
		j.plain += d.to.index.Cost(d.to.contents[n].Location, d.to.contents[n].Size)
	}
	j.raw = max(old, new)
	return j
}

// additions groups the small ones of the contents that come without a base: as many
// as may travel in the delta.
func (d *differ) additions(without []int32) []*job {
	var all int64
	for _, n := range d.fresh {
		all += d.to.index.Cost(d.to.contents[n].Location, d.to.contents[n].Size)
	}
	limit := max(all*addPercent/100, addFloor)
	cost := func(n int32) int64 { return d.to.index.Cost(d.to.contents[n].Location, d.to.contents[n].Size) }
	slices.SortFunc(without, func(a, b int32) int { return cmp.Or(cmp.Compare(cost(a), cost(b)), cmp.Compare(a, b)) })
	chosen := 0
	for sum := int64(0); chosen < len(without); chosen++ {
		if sum += cost(without[chosen]); sum > limit {
			break
		}
	}
	without = without[:chosen]
	slices.Sort(without)
	return d.cut(without, addSize)
}

// streams groups everything for a fresh install, like beside like.
func (d *differ) streams() []*job {
	all := slices.Clone(d.fresh)
	key := func(n int32) (string, tree.Path) {
		p := d.to.contents[n].Path
		return extension(p), p
	}
	slices.SortStableFunc(all, func(a, b int32) int {
		x, p := key(a)
		y, q := key(b)
		return cmp.Or(cmp.Compare(x, y), p.Compare(q))
	})
	return d.cut(all, streamSize)
}

// cut makes groups without bases of a list of contents.
func (d *differ) cut(list []int32, limit int64) (jobs []*job) {
	var size int64
	first := 0
	for i, n := range list {
		if s := d.to.contents[n].Size; i > first && size+s > limit {
			jobs = append(jobs, d.job(nil, list[first:i:i]))
			first, size = i, 0
		}
		size += d.to.contents[n].Size
	}
	if first < len(list) {
		jobs = append(jobs, d.job(nil, list[first:]))
	}
	return jobs
}

// extension gives what follows the last dot of a name, or nothing.
func extension(p tree.Path) string {
	name := p.Base()
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		return name[i:]
	}
	return ""
}

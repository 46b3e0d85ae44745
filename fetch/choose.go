package fetch

import (
	"math"
	"slices"

	"github.com/larch-project/larch/repo"
)

// chooser finds for each content that is needed the cheapest way: a group of the
// last hop, with what leads to its bases, or the frames of packs.
type chooser struct {
	road  *Road
	need  *Need
	have  Have
	hops  []*hop
	state []levelState // by hop; the first is that of the tree before all hops
	place []placeOf    // of contents that go by packs
	blind bool         // a content goes by packs, and no plan says where it is
}

// levelState is what is known of the contents of one tree of the chain.
type levelState struct {
	here   []uint8 // unknown, yes or no: the store has it
	can    []uint8 // it can be had by deltas
	cost   []int64 // bytes that leads to, as far as it was asked for
	group  []uint8 // by group of the hop that leads here: its bases can be had
	wanted []uint8
}

const (
	unasked = iota
	yes
	no
)

const (
	deliver = 1 << iota // it is to be stored
	basis               // a later hop needs it
)

// placeOf is where a content is in packs, by the plan of a hop.
type placeOf struct {
	content int32 // of the tree that is wanted
	hop     *hop
	at      repo.Location
}

func newChooser(r *Road, need *Need, have Have) *chooser {
	c := &chooser{road: r, need: need, have: have, hops: r.hops}
	for k := range len(r.hops) + 1 {
		n := c.list(k).count
		l := levelState{here: make([]uint8, n), can: make([]uint8, n), cost: make([]int64, n), wanted: make([]uint8, n)}
		if k > 0 {
			l.group = make([]uint8, len(r.hops[k-1].plan.Groups))
		}
		c.state = append(c.state, l)
	}
	return c
}

// list gives the contents of the tree behind so many hops.
func (c *chooser) list(k int) *contents {
	if k == 0 {
		return c.road.first
	}
	return c.hops[k-1].b
}

// present tells whether the store has a content of a tree, in either form.
func (c *chooser) present(k int, n int32) bool {
	state := &c.state[k].here[n]
	if *state == unasked {
		*state = no
		list := c.list(k)
		if c.have.Has(list.object(n, false)) || c.have.Has(list.object(n, true)) {
			*state = yes
		}
	}
	return *state == yes
}

// obtainable tells whether a content is here or can be made.
func (c *chooser) obtainable(k int, n int32) bool {
	if c.present(k, n) {
		return true
	}
	if k == 0 {
		return false
	}
	state := &c.state[k].can[n]
	if *state == unasked {
		*state = no
		if c.reachable(k, n) {
			*state = yes
		}
	}
	return *state == yes
}

func (c *chooser) reachable(k int, n int32) bool {
	h := c.hops[k-1]
	if g := h.group[n]; g > 0 {
		return c.feasible(k, g-1)
	}
	before := h.a.find(h.b.digest(n))
	return before >= 0 && c.obtainable(k-1, before)
}

// feasible tells whether the bases of a group can be had.
func (c *chooser) feasible(k int, g int32) bool {
	state := &c.state[k].group[g]
	if *state == unasked {
		*state = yes
		for _, base := range c.hops[k-1].plan.Groups[g].Bases {
			if !c.obtainable(k-1, base) {
				*state = no
				break
			}
		}
	}
	return *state == yes
}

// chain estimates what it costs to have a content as a base: its part of the groups
// that lead to it.
func (c *chooser) chain(k int, n int32) int64 {
	if c.present(k, n) || k == 0 {
		return 0
	}
	if c.state[k].cost[n] == 0 {
		h := c.hops[k-1]
		cost := int64(1)
		if g := h.group[n]; g > 0 {
			group := &h.plan.Groups[g-1]
			part := float64(h.b.size(n)) / float64(max(h.size(group), 1))
			cost += int64(float64(c.weigh(k, g-1)) * part)
		} else if before := h.a.find(h.b.digest(n)); before >= 0 {
			cost += c.chain(k-1, before)
		}
		c.state[k].cost[n] = cost
	}
	return c.state[k].cost[n]
}

// weigh is what a group costs, with what leads to its bases, in bytes.
func (c *chooser) weigh(k int, g int32) int64 {
	group := &c.hops[k-1].plan.Groups[g]
	cost := group.Length
	for _, base := range group.Bases {
		cost += c.chain(k-1, base)
	}
	return cost
}

// rest is what a group costs when its delta was asked for with all that is in it: the
// group is on its way with the plan, and would travel in vain. How much of it did by
// now depends on the network; an eighth is what fast ones have under way of deltas of
// some MiB.
func (c *chooser) rest(k int, g int32) int64 {
	cost := c.weigh(k, g)
	if c.road.opt.whole(c.hops[k-1].edge) {
		cost -= cost / 8
	}
	return cost
}

// choose goes back from what is needed to what is here.
func (c *chooser) choose() {
	last := len(c.hops)
	for n := range c.need.contents.count {
		if c.need.contents.mark(n).byNetwork() {
			c.state[last].wanted[n] = deliver
		}
	}
	for k := last; k > 0; k-- {
		c.chooseHop(k)
	}
	for n, w := range c.state[0].wanted {
		if w&deliver != 0 {
			c.byPacks(0, int32(n))
		}
	}
}

// chooseHop decides on the contents of one tree.
func (c *chooser) chooseHop(k int) {
	h, wanted := c.hops[k-1], c.state[k].wanted
	groups := map[int32][]int32{}
	for i, w := range wanted {
		n := int32(i)
		switch {
		case w == 0, w == basis && c.present(k, n):
		case h.group[n] > 0:
			groups[h.group[n]-1] = append(groups[h.group[n]-1], n)
		default:
			if before := h.a.find(h.b.digest(n)); before >= 0 {
				c.state[k-1].wanted[before] |= w
			} else {
				c.byPacks(k, n)
			}
		}
	}
	for g := range h.plan.Groups {
		if list := groups[int32(g)]; len(list) > 0 {
			c.chooseGroup(k, int32(g), list)
		}
	}
}

// chooseGroup decides whether contents come by their group, or by packs.
func (c *chooser) chooseGroup(k int, g int32, list []int32) {
	h := c.hops[k-1]
	must := slices.ContainsFunc(list, func(n int32) bool { return c.state[k].wanted[n]&basis != 0 })
	if !c.feasible(k, g) || !must && c.rest(k, g) > c.packCost(h, list) {
		for _, n := range list {
			c.byPacks(k, n)
		}
		return
	}
	h.chosen[g] = true
	for _, base := range h.plan.Groups[g].Bases {
		if !c.present(k-1, base) {
			c.state[k-1].wanted[base] |= basis
		}
	}
}

// packCost is what contents cost by packs, in bytes: a request, and the whole of each
// frame, since others may not want it. It is very much if the plan does not say where
// they are.
func (c *chooser) packCost(h *hop, list []int32) int64 {
	cost, seen := c.road.opt.Price, map[int32]bool{}
	for _, n := range list {
		at, known := h.placed(n)
		if !known {
			return math.MaxInt64
		}
		first, end, _ := h.plan.Index.Span(at, h.b.size(n))
		for f := first; f < end; f++ {
			if !seen[f] {
				seen[f] = true
				cost += int64(h.plan.Index.Frames[f].Length)
			}
		}
	}
	return cost
}

// placed is where a content is in packs, if the plan says.
func (h *hop) placed(n int32) (repo.Location, bool) {
	i, found := slices.BinarySearch(h.fresh, n)
	if !found {
		return repo.Location{}, false
	}
	at := h.plan.Index.Objects[i]
	_, _, err := h.plan.Index.Span(at, h.b.size(n))
	return at, err == nil
}

// byPacks has a content fetched from packs, if it is to be stored. What is only a
// base needs not come then: what it is for does not either.
func (c *chooser) byPacks(k int, n int32) {
	if c.state[k].wanted[n]&deliver == 0 {
		return
	}
	target := c.need.contents.find(c.list(k).digest(n))
	if k > 0 {
		if at, known := c.hops[k-1].placed(n); known {
			c.place = append(c.place, placeOf{target, c.hops[k-1], at})
			return
		}
	}
	c.place = append(c.place, placeOf{content: target})
	c.blind = true
}

// index makes an index of what goes by packs out of those of the plans: places of
// other contents mean nothing. It is nil if one of them is not known.
func (c *chooser) index() *repo.Index {
	if c.blind {
		return nil
	}
	m := &merger{ix: &repo.Index{Objects: make([]repo.Location, c.need.contents.count)}, packs: map[repo.Pack]int32{}, frames: map[repo.Frame]int32{}}
	for _, p := range c.place {
		at, ok := m.move(p.hop.plan.Index, p.at, c.need.contents.size(p.content))
		if !ok {
			return nil
		}
		m.ix.Objects[p.content] = at
	}
	return m.ix
}

// merger makes one index out of parts of several.
type merger struct {
	ix     *repo.Index
	packs  map[repo.Pack]int32
	frames map[repo.Frame]int32
}

// move takes the frames of one content over.
func (m *merger) move(from *repo.Index, at repo.Location, size int64) (repo.Location, bool) {
	first, end, err := from.Span(at, size)
	if err != nil {
		return at, false
	}
	start := int32(-1)
	for n := first; n < end; n++ {
		number := m.frame(from, from.Frames[n])
		if start < 0 {
			start = number
		}
		if number != start+n-first {
			return at, false
		}
	}
	return repo.Location{Frame: start, Offset: at.Offset}, true
}

func (m *merger) frame(from *repo.Index, f repo.Frame) int32 {
	pack, known := m.packs[from.Packs[f.Pack]]
	if !known {
		pack = int32(len(m.ix.Packs))
		m.packs[from.Packs[f.Pack]] = pack
		m.ix.Packs = append(m.ix.Packs, from.Packs[f.Pack])
	}
	f.Pack = pack
	number, known := m.frames[f]
	if !known {
		number = int32(len(m.ix.Frames))
		m.frames[f] = number
		m.ix.Frames = append(m.ix.Frames, f)
	}
	return number
}

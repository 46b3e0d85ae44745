package fetch

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/store"
)

const (
	// maxGap is how many bytes between two frames are fetched for nothing rather
	// than a request more is made.
	maxGap = 64 << 10
	// maxSegment is where a range is cut, at the border of a frame: large enough
	// that requests are few, small enough that several connections share the work.
	maxSegment = 8 << 20
	// maxBegun is how many contents of several frames may be begun and not
	// complete at any point of the way, since each is an open file. As publishers
	// write them they follow each other, but for some at the ends of packs.
	maxBegun = 128
)

// Plan is which bytes of which packs will be fetched. It takes some twenty bytes
// for each content, and the index.
type Plan struct {
	need  *Need
	index *repo.Index // nil if nothing has to be fetched

	pieces   []piece // what is wanted of frames, in the order of the packs
	segments []segment

	road  *Road // nil for packs alone
	store *store.Store

	Requests int   // not those that have to be repeated
	Bytes    int64 // to be fetched, gaps included
	Hops     []Hop // of the road that is taken
	Packs    Way   // what comes by packs
}

// Way is what goes one way.
type Way struct {
	Requests int
	Bytes    int64
}

// piece is what one frame has of one content.
type piece struct{ frame, content int32 }

// segment is a range of a pack that is asked for at once.
type segment struct {
	pack        int32
	first, last int32 // pieces[first:last]
	offset, end int64 // in the pack
}

// NewPlan finds what a tree lacks in the packs. The index may be nil if nothing
// has to be fetched. It is an error that matches repo.ErrIndex if the index cannot
// be one of the tree.
func NewPlan(need *Need, ix *repo.Index) (*Plan, error) {
	p := &Plan{need: need}
	if need.Objects == 0 {
		return p, nil
	}
	if err := p.locate(ix); err != nil {
		return nil, err
	}
	p.total()
	return p, nil
}

// total adds up what the ways cost.
func (p *Plan) total() {
	p.Packs = Way{Requests: len(p.segments)}
	for _, s := range p.segments {
		p.Packs.Bytes += s.end - s.offset
	}
	p.Requests, p.Bytes = p.Packs.Requests, p.Packs.Bytes
	for _, h := range p.Hops {
		p.Requests += h.Requests
		p.Bytes += h.Bytes
	}
}

// ErrNoPlace means that the plans of a road do not say where all that is needed is:
// the index does.
var ErrNoPlace = errors.New("the deltas do not place everything that is needed")

// NewPlan is NewPlan for who has a road: each content comes by what is cheaper, the
// deltas or the packs. Without an index it is ErrNoPlace if one is needed. from is
// the store that has what the deltas start from, and have what will be in it by then.
func (r *Road) NewPlan(need *Need, from *store.Store, have Have, ix *repo.Index) (*Plan, error) {
	p := &Plan{need: need, road: r, store: from}
	c := newChooser(r, need, have)
	c.choose()
	if ix == nil && len(c.place) > 0 {
		if ix = c.index(); ix == nil {
			return nil, ErrNoPlace
		}
	}
	p.divide(c)
	if len(c.place) > 0 {
		if err := p.locate(ix); err != nil {
			return nil, err
		}
	}
	for k, h := range r.hops {
		h.wanted = c.state[k+1].wanted
		p.Hops = append(p.Hops, h.figures(h.cut(r.opt)))
	}
	p.total()
	return p, nil
}

// divide marks what the deltas bring.
func (p *Plan) divide(c *chooser) {
	for n := range p.need.contents.count {
		if m := p.need.contents.mark(n); m.byNetwork() {
			*m |= byRoad
		}
	}
	for _, place := range c.place {
		*p.need.contents.mark(place.content) &^= byRoad
	}
}

// locate finds what has to be fetched by an index.
func (p *Plan) locate(ix *repo.Index) error {
	contents := p.need.contents
	switch {
	case ix == nil:
		return fmt.Errorf("%w: there is none", repo.ErrIndex)
	case len(ix.Objects) != int(contents.count):
		return fmt.Errorf("%w: it has %d contents, the tree %d", repo.ErrIndex, len(ix.Objects), contents.count)
	}
	p.index, p.pieces = ix, nil
	for n := range contents.count {
		if !contents.mark(n).byPacks() {
			continue
		}
		first, end, err := ix.Span(ix.Objects[n], contents.size(n))
		if err != nil {
			return err
		}
		for frame := first; frame < end; frame++ {
			p.pieces = append(p.pieces, piece{frame, n})
		}
	}
	slices.SortFunc(p.pieces, p.inPackOrder)
	if err := p.checkBegun(); err != nil {
		return err
	}
	return p.cut()
}

// inPackOrder orders pieces as they are found in packs.
func (p *Plan) inPackOrder(a, b piece) int {
	if a.frame != b.frame {
		f, g := &p.index.Frames[a.frame], &p.index.Frames[b.frame]
		return cmp.Or(cmp.Compare(f.Pack, g.Pack), cmp.Compare(f.Offset, g.Offset), cmp.Compare(a.frame, b.frame))
	}
	at, bt := p.index.Objects[a.content], p.index.Objects[b.content]
	return cmp.Or(cmp.Compare(at.Offset, bt.Offset), cmp.Compare(a.content, b.content))
}

// parts is how many frames a content fills.
func (p *Plan) parts(n int32) int32 {
	return int32((int64(p.index.Objects[n].Offset) + p.need.contents.size(n) + repo.FrameSize - 1) / repo.FrameSize)
}

// part is which frame of its content a piece is, from 0.
func (p *Plan) part(x piece) int32 { return x.frame - p.index.Objects[x.content].Frame }

// checkBegun follows the way and counts the contents that are incomplete.
func (p *Plan) checkBegun() error {
	left := map[int32]int32{}
	for _, x := range p.pieces {
		parts := p.parts(x.content)
		if parts == 1 {
			continue
		}
		if _, begun := left[x.content]; !begun {
			left[x.content] = parts
		}
		if left[x.content]--; left[x.content] == 0 {
			delete(left, x.content)
		}
		if len(left) > maxBegun {
			return fmt.Errorf("%w: parts of contents are scattered over the packs", repo.ErrIndex)
		}
	}
	return nil
}

// cut makes segments of the pieces: neighbours whose gap is small are one.
func (p *Plan) cut() error {
	p.segments = nil
	var s *segment
	for i := int32(0); int(i) < len(p.pieces); i = p.behind(i) {
		f := p.index.Frames[p.pieces[i].frame]
		if s != nil && f.Pack == s.pack && f.Offset < s.end {
			return fmt.Errorf("%w: frames overlap", repo.ErrIndex)
		}
		if s == nil || f.Pack != s.pack || f.Offset-s.end > maxGap || f.End()-s.offset > maxSegment {
			p.segments = append(p.segments, segment{pack: f.Pack, first: i, offset: f.Offset})
			s = &p.segments[len(p.segments)-1]
		}
		s.last, s.end = p.behind(i), f.End()
	}
	return nil
}

// behind gives the number of the first piece that is not in the frame of the
// piece i.
func (p *Plan) behind(i int32) int32 {
	next := i + 1
	for int(next) < len(p.pieces) && p.pieces[next].frame == p.pieces[i].frame {
		next++
	}
	return next
}

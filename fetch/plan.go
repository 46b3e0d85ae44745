package fetch

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/larch-project/larch/repo"
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

	Requests int   // not those that have to be repeated
	Bytes    int64 // to be fetched, gaps included
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
	p.Requests = len(p.segments)
	for _, s := range p.segments {
		p.Bytes += s.end - s.offset
	}
	return p, nil
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
		if !contents.mark(n).byNetwork() {
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

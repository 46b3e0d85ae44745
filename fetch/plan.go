package fetch

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/larch-project/larch/repo"
)

// Sizes that shape requests, in bytes.
const (
	// maxGap is the largest stretch of a pack that is fetched for nothing to
	// save a request.
	maxGap = 64 << 10
	// maxSegment is where a request ends: large enough that requests are few,
	// small enough that several connections share the work.
	maxSegment = 8 << 20
)

// Plan is which bytes of which packs will be fetched.
type Plan struct {
	need  *Need
	index *repo.Index
	jobs  []job // in the order of the packs
	todo  []segment

	Requests int
	Bytes    int64 // to be fetched, gaps included
}

// piece is a content, or a part of one, in a frame.
type piece struct {
	content int32 // number in need.contents
	frame   int32 // number in the index
	start   int32 // where it begins in the frame, before compression
	part    int32 // which frame of the content this is, from 0
}

// job is one frame to fetch, and what is wanted of it: the pieces up to the next
// job's.
type job struct {
	frame  repo.Frame
	pieces []piece
}

// segment is a stretch of a pack that one request fetches: jobs[first:end].
type segment struct{ first, end int }

// NewPlan finds what a tree lacks in the packs. The index may be nil if nothing
// has to be fetched. It is an error that matches repo.ErrIndex if the index is not
// one of the tree.
func NewPlan(need *Need, ix *repo.Index) (*Plan, error) {
	p := &Plan{need: need, index: ix}
	if need.Objects == 0 {
		return p, nil
	}
	pieces, err := p.locate()
	if err != nil {
		return nil, err
	}
	for len(pieces) > 0 {
		n := 1
		for n < len(pieces) && pieces[n].frame == pieces[0].frame {
			n++
		}
		p.jobs = append(p.jobs, job{ix.Frames[pieces[0].frame], pieces[:n]})
		pieces = pieces[n:]
	}
	for i := 0; i < len(p.jobs); {
		s := segment{i, i + 1}
		for s.end < len(p.jobs) && p.joins(s) {
			s.end++
		}
		p.todo = append(p.todo, s)
		p.Bytes += p.length(s)
		i = s.end
	}
	p.Requests = len(p.todo)
	return p, nil
}

// locate gives the pieces of all contents that must be fetched, in the order of
// the packs.
func (p *Plan) locate() ([]piece, error) {
	if len(p.index.Objects) != len(p.need.contents) {
		return nil, fmt.Errorf("%w: %d contents instead of %d", repo.ErrIndex, len(p.index.Objects), len(p.need.contents))
	}
	var pieces []piece
	for i := range p.need.contents {
		c := &p.need.contents[i]
		if c.lacks == 0 || c.seed > 0 {
			continue
		}
		at := p.index.Objects[i]
		first, end, err := p.index.Span(at, c.size)
		if err != nil {
			return nil, err
		}
		for n := first; n < end; n++ {
			pieces = append(pieces, piece{int32(i), n, at.Offset, n - first})
		}
	}
	slices.SortFunc(pieces, func(a, b piece) int {
		fa, fb := &p.index.Frames[a.frame], &p.index.Frames[b.frame]
		return cmp.Or(cmp.Compare(fa.Pack, fb.Pack), cmp.Compare(fa.Offset, fb.Offset),
			cmp.Compare(a.frame, b.frame), cmp.Compare(a.start, b.start))
	})
	return pieces, nil
}

// joins tells whether the job behind a segment belongs to it.
func (p *Plan) joins(s segment) bool {
	last, next := p.jobs[s.end-1].frame, p.jobs[s.end].frame
	return next.Pack == last.Pack && next.Offset >= last.End() && next.Offset-last.End() <= maxGap &&
		next.End()-p.jobs[s.first].frame.Offset <= maxSegment
}

// length is how many bytes a segment is.
func (p *Plan) length(s segment) int64 {
	return p.jobs[s.end-1].frame.End() - p.jobs[s.first].frame.Offset
}

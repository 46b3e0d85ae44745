package fetch

import (
	"fmt"

	"github.com/larch-project/larch/repo"
)

// check compares a plan with the trees that it leads from and to, and numbers what it
// makes. Nobody vouches for the plan.
func (h *hop) check(a *contents, text *spool) (err error) {
	h.a = a
	if h.b, err = listContents(text); err != nil {
		return err
	}
	h.group = make([]int32, h.b.count)
	used := make([]int32, a.count) // by content of a: number+1 of the last group that starts from it
	for i := range h.plan.Groups {
		if err := h.checkGroup(int32(i), used); err != nil {
			return err
		}
	}
	for n := range h.b.count {
		if a.find(h.b.digest(n)) < 0 {
			h.fresh = append(h.fresh, n)
		}
	}
	if len(h.plan.Index.Objects) != len(h.fresh) {
		return fmt.Errorf("%w: it places %d new contents of %d", repo.ErrDelta, len(h.plan.Index.Objects), len(h.fresh))
	}
	for _, p := range h.plan.Index.Packs {
		if p.Size > repo.MaxPack {
			return fmt.Errorf("%w: a pack of %d bytes", repo.ErrDelta, p.Size)
		}
	}
	h.chosen = make([]bool, len(h.plan.Groups))
	return nil
}

// checkGroup checks the numbers of one group. Since no base is there twice, what all of
// them have together is no more than their tree has.
func (h *hop) checkGroup(i int32, used []int32) error {
	g := &h.plan.Groups[i]
	for _, n := range g.Bases {
		if n >= h.a.count {
			return fmt.Errorf("%w: base %d of %d", repo.ErrDelta, n, h.a.count)
		}
		if used[n] == i+1 {
			return fmt.Errorf("%w: base %d is there twice", repo.ErrDelta, n)
		}
		used[n] = i + 1
	}
	if len(g.News) == 0 {
		return fmt.Errorf("%w: a group that makes nothing", repo.ErrDelta)
	}
	for _, n := range g.News {
		if n >= h.b.count || h.group[n] != 0 {
			return fmt.Errorf("%w: content %d is made twice, or of %d", repo.ErrDelta, n, h.b.count)
		}
		h.group[n] = i + 1
	}
	return nil
}

// size is what a group makes, in bytes.
func (h *hop) size(g *repo.Group) (total int64) {
	for _, n := range g.News {
		total += h.b.size(n)
	}
	return total
}

// cut joins the chosen groups to spans that are fetched by one request each, and
// gives the number of requests that are still to be made.
func (h *hop) cut(opt RoadOptions) (requests int) {
	price, open := opt.Price, h.body != nil || opt.Peek
	h.runs = nil
	var s *span
	for i := range h.plan.Groups {
		if !h.chosen[i] {
			continue
		}
		g := &h.plan.Groups[i]
		if s == nil && open && g.Offset-h.at <= price {
			h.runs = append(h.runs, span{offset: h.at, open: true})
			s = &h.runs[0]
		} else if s == nil || g.Offset-s.end > price {
			h.runs = append(h.runs, span{offset: g.Offset})
			s = &h.runs[len(h.runs)-1]
			requests++
		}
		s.groups, s.end = append(s.groups, int32(i)), g.End()
	}
	return requests
}

// hop gives the figures of a hop.
func (h *hop) figures(requests int) Hop {
	x := Hop{From: h.edge.From, To: h.edge.To, Head: h.plan.Head, Requests: 1 + requests}
	for _, s := range h.runs {
		x.Groups += len(s.groups)
		x.Bytes += s.end - s.offset
	}
	return x
}

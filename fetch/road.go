package fetch

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sync/errgroup"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/bounded"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/tree"
)

// Price is what a request counts for, in bytes, where nothing better is known: 50
// ms at 10 Mbit/s.
const Price = 64 << 10

// Destination is the release that is wanted, by its signed document.
type Destination struct {
	Head     digest.Digest // the newest release of its line, which names the list of deltas
	Release  digest.Digest
	Previous digest.Digest // the release before it; zero if there is none
	Tree     tree.Info
}

// Start is a release whose tree the store has.
type Start struct {
	Release digest.Digest
	Tree    tree.Info
}

// RoadOptions are choices for FindRoad.
type RoadOptions struct {
	Starts []Start
	// Peek asks for no more than the plans, to show what would be done. Otherwise
	// answers are kept open behind them, for Run to go on with: a request less for
	// each delta.
	Peek  bool
	Price int64 // of a request in bytes; 0 is Price
	// Note is told what is wrong with a road that is not taken for it. May be nil.
	Note func(string)
}

func (o *RoadOptions) note(format string, args ...any) {
	if o.Note != nil {
		o.Note(fmt.Sprintf(format, args...))
	}
}

// whole tells whether a delta will be wanted from its plan on: of one from nothing
// perhaps little, on a machine that has something.
func (o *RoadOptions) whole(e repo.Edge) bool { return !e.From.IsZero() || len(o.Starts) == 0 }

// stream tells whether a delta is asked for from its plan on.
func (o *RoadOptions) stream(e repo.Edge) bool { return !o.Peek && o.whole(e) }

func (o *RoadOptions) start(d digest.Digest) (Start, bool) {
	for _, s := range o.Starts {
		if s.Release == d {
			return s, true
		}
	}
	return Start{}, false
}

// Road is a chain of deltas that leads to a release: from one that is here, or from
// nothing. Its plans are read; whether they pay is for NewPlan to say.
type Road struct {
	Hops []Hop

	opt   RoadOptions
	hops  []*hop
	first *contents // of the tree that it starts from
	text  *spool    // of the tree that it leads to
	info  tree.Info
}

// Hop is one delta of a road.
type Hop struct {
	From, To digest.Digest // releases; From is zero for nothing
	Head     int64         // bytes that were read for the plan, the tree included
	Groups   int           // that will be fetched
	Bytes    int64         // to fetch of them, gaps included
	Requests int           // the first included
}

// errRoad means that a road leads nowhere. It is never an error for callers: there
// is another one.
var (
	errRoad   = errors.New("the road by deltas is closed")
	errNoRoad = errors.New("no deltas lead there")
)

// FindRoad looks for the cheapest chain of deltas that leads to a release, and reads
// their plans: one request for a release that follows one of the starts, else one
// for the list of deltas and one for each of them. It gives nil if there is none, or
// none that can be used, for whatever reason; it is an error only if ctx ends. from
// has the trees of the starts. The caller closes the road.
func FindRoad(ctx context.Context, t transport.Transport, from *store.Store, to Destination, opt RoadOptions) (*Road, error) {
	if opt.Price <= 0 {
		opt.Price = Price
	}
	r := &Road{opt: opt, info: to.Tree}
	err := r.find(ctx, t, from, to)
	if err != nil {
		r.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errNoRoad) {
			r.opt.note("%v", err)
		}
		return nil, nil
	}
	return r, nil
}

func (r *Road) find(ctx context.Context, t transport.Transport, from *store.Store, to Destination) error {
	if s, held := r.opt.start(to.Previous); held && !to.Previous.IsZero() {
		err := r.open(ctx, t, from, s, []repo.Edge{{From: to.Previous, To: to.Release}})
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	edges, err := deltaMap(ctx, t, to.Head)
	if err != nil {
		return err
	}
	held := func(d digest.Digest) bool { _, held := r.opt.start(d); return held }
	route := repo.Cheapest(edges, held, to.Release, r.opt.Price)
	if len(route) == 0 {
		return errNoRoad
	}
	s, _ := r.opt.start(route[0].From)
	return r.open(ctx, t, from, s, route)
}

// deltaMap fetches the list of deltas of a line.
func deltaMap(ctx context.Context, t transport.Transport, head digest.Digest) ([]repo.Edge, error) {
	name := repo.DeltaMapName(head)
	var edges []repo.Edge
	err := whole(ctx, t, name, func(body io.Reader) (err error) {
		if edges, err = repo.ReadDeltaMap(io.LimitReader(body, repo.MaxDeltaMap)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	return edges, err
}

// open asks for all deltas of a chain at once, and reads their plans, then the trees,
// one after the other.
func (r *Road) open(ctx context.Context, t transport.Transport, from *store.Store, s Start, route []repo.Edge) error {
	r.hops = nil
	for _, e := range route {
		r.hops = append(r.hops, &hop{edge: e, from: t})
	}
	group, under := errgroup.WithContext(ctx)
	group.SetLimit(connections)
	for _, h := range r.hops {
		group.Go(func() error { return h.ask(ctx, under, h.length(r.opt.stream(h.edge))) })
	}
	err := group.Wait()
	limit := repo.MaxDeltaPlan(4*r.info.Files+s.Tree.Files, 4*r.info.Bytes+s.Tree.Bytes)
	for _, h := range r.hops {
		if err == nil {
			err = h.open(ctx, r.opt.stream(h.edge), limit)
		}
		if err != nil {
			r.Close()
			return fmt.Errorf("%s: %w", h.name(), err)
		}
		limit -= h.plan.PlanSize() // of all together, since all are kept
	}
	return r.readTrees(ctx, from, s)
}

// readTrees follows the trees along the chain to the one that is wanted.
func (r *Road) readTrees(ctx context.Context, from *store.Store, s Start) error {
	text, err := startText(from, s)
	if err != nil {
		return err
	}
	defer func() { text.close() }()
	if r.first, err = listContents(text); err != nil {
		return err
	}
	known, sum := r.first, int64(0)
	for i, h := range r.hops {
		last := i == len(r.hops)-1
		if last && (h.plan.Tree != r.info.Digest || h.plan.Size != r.info.Size) {
			return fmt.Errorf("%s: %w: it leads to another tree", h.name(), errRoad)
		}
		sum += h.plan.Size
		if h.plan.Size > 4*r.info.Size+s.Tree.Size+1<<20 || sum > repo.MaxHops*max(r.info.Size, s.Tree.Size)+16<<20 {
			return fmt.Errorf("%s: %w: a tree of %d bytes on the way to one of %d", h.name(), errRoad, h.plan.Size, r.info.Size)
		}
		next, err := h.readTree(ctx, text)
		if err != nil {
			return fmt.Errorf("%s: %w", h.name(), err)
		}
		text.close()
		text = next
		if err := h.check(known, text); err != nil {
			return fmt.Errorf("%s: %w", h.name(), err)
		}
		known = h.b
	}
	r.text, text = text, nil
	return nil
}

// startText gives the text of the tree that a road starts from.
func startText(from *store.Store, s Start) (*spool, error) {
	text := &spool{}
	if s.Release.IsZero() {
		return text, nil
	}
	r, err := from.TreeText(s.Tree.Digest, s.Tree.Size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRoad, err)
	}
	defer r.Close()
	if _, err := io.Copy(text, r); err != nil {
		text.close()
		return nil, fmt.Errorf("%w: %w", errRoad, err)
	}
	return text, nil
}

// AddTree stores the tree that the road leads to.
func (r *Road) AddTree(ctx context.Context, to *store.Store) error {
	return to.AddTree(ctx, r.text.reader(), r.info)
}

// Close ends the requests that are under way.
func (r *Road) Close() {
	if r == nil {
		return
	}
	for _, h := range r.hops {
		h.close()
	}
	r.text.close()
	r.text = nil
}

// listContents numbers the contents of a tree. The text is untrusted but for its
// size, and takes no more memory than in proportion to that.
func listContents(text *spool) (*contents, error) {
	list := newContents()
	if text.size == 0 {
		return list, nil
	}
	for e, err := range tree.Decode(text.reader()) {
		if err != nil {
			return nil, err
		}
		if e.Kind != tree.Regular || e.Size <= tree.InlineMax {
			continue
		}
		if e.Size > maxContent {
			return nil, fmt.Errorf("%w: a content of %d bytes", errRoad, e.Size)
		}
		if _, err := list.add(e.Digest, e.Size); err != nil {
			return nil, fmt.Errorf("%w: %v", errRoad, err)
		}
	}
	return list, nil
}

// maxContent bounds the size of a content on the way, so that sums stay numbers.
const maxContent = 1 << 46

// hop is one delta of a road.
type hop struct {
	edge repo.Edge
	from transport.Transport

	plan  *repo.Delta
	body  io.ReadCloser // kept open; nil if not
	ahead *bufio.Reader // of body
	total int64         // bytes of the file, as the server says; -1 if it does not
	at    int64         // offset in the file of what comes next
	tree  []byte        // frame of the tree

	a, b  *contents
	fresh []int32 // contents of b that a has not: those that plan.Index places
	group []int32 // by content of b: number+1 of the group that makes it

	wanted []uint8 // by content of b: what for
	chosen []bool  // groups
	runs   []span  // of the file, to be fetched
}

// span is groups that are fetched by one request.
type span struct {
	groups      []int32
	offset, end int64
	open        bool // the answer that gave the plan goes on with them
}

func (h *hop) name() string { return repo.DeltaName(h.edge.To, h.edge.From) }

// readAhead is what is asked for when only the plan is wanted and its length is not
// known, in bytes.
const readAhead = 64 << 10

// length is what to ask for, in bytes; 0 is all.
func (h *hop) length(stream bool) int64 {
	switch {
	case stream:
		return 0
	case h.edge.Head > 0:
		return h.edge.Head
	}
	return readAhead
}

// ask begins to fetch the delta; the body lives as long as life.
func (h *hop) ask(life, ctx context.Context, length int64) error {
	h.close()
	res, err := h.from.Fetch(life, transport.Request{Name: h.name(), Length: length})
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		res.Body.Close()
		return context.Cause(ctx)
	}
	h.body, h.ahead, h.total = res.Body, bufio.NewReaderSize(res.Body, 32<<10), res.Size
	return nil
}

// open reads the plan and the frame of the tree.
func (h *hop) open(ctx context.Context, stream bool, limit int64) error {
	err := h.read(limit)
	if !stream && errors.Is(err, repo.ErrDelta) { // perhaps too little was asked for
		if err = h.ask(ctx, ctx, 0); err == nil {
			err = h.read(limit)
		}
	}
	if !stream {
		h.close()
	}
	return err
}

func (h *hop) read(limit int64) (err error) {
	if h.plan, err = repo.ReadDelta(h.ahead, limit); err != nil {
		return err
	}
	if h.total >= 0 && h.total != h.plan.End() {
		return fmt.Errorf("%w: it has %d bytes instead of %d", repo.ErrDelta, h.total, h.plan.End())
	}
	size := h.plan.TreeFrame()
	if size > limit {
		return fmt.Errorf("%w: a tree in %d bytes", repo.ErrDelta, size)
	}
	h.tree, err = bounded.ReadAll(io.LimitReader(h.ahead, size), size)
	if err == nil && int64(len(h.tree)) < size {
		err = fmt.Errorf("%w: it ends too early", repo.ErrDelta)
	}
	h.at = h.plan.Head
	return err
}

func (h *hop) close() {
	if h.body != nil {
		h.body.Close()
		h.body, h.ahead = nil, nil
	}
}

// readTree makes the text of the tree behind the hop.
func (h *hop) readTree(ctx context.Context, old *spool) (*spool, error) {
	var base *io.SectionReader
	if !h.edge.From.IsZero() {
		base = old.reader()
	}
	text := &spool{}
	err := repo.Unpack(ctx, text, base, bytes.NewReader(h.tree), h.plan.Size)
	h.tree = nil
	if err == nil {
		err = digest.Verify(text.reader(), h.plan.Tree, h.plan.Size)
	}
	if err != nil {
		text.close()
		return nil, err
	}
	return text, nil
}

// StreamSize tells how many bytes the stream from nothing to a release has; 0 if
// there is none, or nobody says.
func StreamSize(ctx context.Context, t transport.Transport, head, to digest.Digest) (int64, error) {
	edges, err := deltaMap(ctx, t, head)
	if err != nil && ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	for _, e := range edges {
		if e.To == to && e.From.IsZero() {
			return e.Size, nil
		}
	}
	return 0, nil
}

package fetch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/transport"
)

const (
	// frameMemory is up to where a frame is read before it is used, so that the next
	// one can come meanwhile, in bytes. Larger ones are streamed.
	frameMemory = 4 << 20
	// baseMemory is up to where bases are kept in memory, in bytes.
	baseMemory = 4 << 20
	// makers is how many frames are used at once: each takes what delta.Decode does.
	makers = 2
)

// traveller goes along a road: hop by hop, since each needs what the one before
// made, and within a hop in the order of the file.
type traveller struct {
	*run
	road    *Road
	scratch *scratch

	mu    sync.Mutex
	wrong error // the first group that did not come out right
}

// travel makes what goes by the road. What does not come out right is not an error:
// it goes by packs then.
func (r *run) travel(ctx context.Context) error {
	t := &traveller{run: r, road: r.Plan.road, scratch: &scratch{store: r.store, limit: 2*r.road.info.Bytes + 64<<20}}
	defer t.scratch.close()
	for k := range t.road.hops {
		if err := t.hop(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// hop fetches the groups of one delta.
func (t *traveller) hop(ctx context.Context, k int) error {
	h := t.road.hops[k]
	defer h.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	small := make(chan *parcel)
	var workers sync.WaitGroup
	for range min(unpackers(), makers) {
		workers.Go(func() {
			for p := range small {
				if ctx.Err() == nil {
					if err := t.make(ctx, h, p.group, &p.frame); err != nil {
						cancel(err)
					}
				}
			}
		})
	}
	err := t.spans(ctx, h, small)
	close(small)
	workers.Wait()
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if t.wrong != nil {
		t.road.opt.note("%s: %v", h.name(), t.wrong)
		t.wrong = nil
	}
	return err
}

// parcel is a group with its frame.
type parcel struct {
	group *repo.Group
	frame frameReader
}

func (t *traveller) spans(ctx context.Context, h *hop, small chan<- *parcel) error {
	for i := range h.runs {
		err := t.span(ctx, h, &h.runs[i], small)
		if errors.Is(err, errRoad) && ctx.Err() == nil {
			t.spoil(err)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// spoil notes what is wrong.
func (t *traveller) spoil(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wrong == nil {
		t.wrong = err
	}
}

// span fetches groups that follow each other.
func (t *traveller) span(ctx context.Context, h *hop, s *span, small chan<- *parcel) error {
	in, at := h.ahead, h.at
	if !s.open || in == nil {
		res, err := t.from.Fetch(ctx, transport.Request{Name: h.name(), Offset: s.offset, Length: s.end - s.offset})
		if err != nil {
			return fmt.Errorf("%w: %w", errRoad, err)
		}
		defer res.Body.Close()
		in, at = bufio.NewReaderSize(res.Body, 64<<10), res.Offset
		if at > s.offset {
			return fmt.Errorf("%w: %w", errRoad, transport.ErrRange)
		}
	} else {
		body := h.body
		stop := context.AfterFunc(ctx, func() { body.Close() })
		defer stop()
	}
	told := s.offset
	for _, n := range s.groups {
		g := &h.plan.Groups[n]
		if err := skip(in, g.Offset-at); err != nil {
			return err
		}
		if err := t.group(ctx, h, g, in, small); err != nil {
			return err
		}
		at = g.End()
		t.tell(at - told)
		told = at
	}
	h.at = at
	return nil
}

func skip(r io.Reader, n int64) error {
	if _, err := io.CopyN(io.Discard, r, n); err != nil {
		return fmt.Errorf("%w: %w", errRoad, err)
	}
	return nil
}

// group takes one frame from the stream.
func (t *traveller) group(ctx context.Context, h *hop, g *repo.Group, in io.Reader, small chan<- *parcel) error {
	if g.Length > frameMemory {
		frame := frameReader{in: in, left: g.Length}
		if err := t.make(ctx, h, g, &frame); err != nil {
			return err
		}
		return skip(in, frame.left)
	}
	data := make([]byte, g.Length)
	if _, err := io.ReadFull(in, data); err != nil {
		return fmt.Errorf("%w: %w", errRoad, err)
	}
	select {
	case small <- &parcel{group: g, frame: frameReader{data: data, left: g.Length}}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// frameReader gives a frame, and remembers why it could not be read to its end.
type frameReader struct {
	in   io.Reader
	data []byte // instead of in
	left int64
	err  error
}

// Read implements io.Reader.
func (f *frameReader) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	if f.err != nil {
		return 0, f.err
	}
	p = p[:min(int64(len(p)), f.left)]
	var n int
	if f.in == nil {
		n = copy(p, f.data)
		f.data = f.data[n:]
	} else {
		n, f.err = f.in.Read(p)
		if f.left -= int64(n); f.err == io.EOF && f.left > 0 {
			f.err = io.ErrUnexpectedEOF
		}
		return n, f.err
	}
	f.left -= int64(n)
	return n, nil
}

// make makes the contents of a group, and stores those that are wanted. That it does
// not come out right is noted; the error is one that ends the journey.
func (t *traveller) make(ctx context.Context, h *hop, g *repo.Group, frame *frameReader) error {
	base, err := t.base(h, g)
	if err == nil {
		out := &cutter{t: t, hop: h, group: g}
		var from *io.SectionReader
		if base != nil {
			from = base.reader()
			defer base.close()
		}
		err = errors.Join(repo.Unpack(ctx, out, from, frame, h.size(g)), out.close())
	}
	switch {
	case err == nil:
		return nil
	case frame.err != nil && frame.err != io.EOF:
		return fmt.Errorf("%w: %w", errRoad, frame.err) // the network, or the file was too short
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errBase), errors.Is(err, repo.ErrDelta), errors.Is(err, digest.ErrMismatch):
		if base != nil {
			base.doubt(t.store)
		}
		t.spoil(fmt.Errorf("the frame at %d: %w", g.Offset, err))
		return nil
	}
	return err
}

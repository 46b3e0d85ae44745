package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/transport"
)

const (
	// connections is how many requests are under way at most.
	connections = 8
	// maxUnpackers bounds the memory of machines with many cores, which have no
	// network that fast.
	maxUnpackers = 8
	// maxDamage is after how many wrong frames and missing packs nothing more is
	// asked for: the server gives nothing but nonsense.
	maxDamage = 16
	// maxRepeats is how many servers in turn are believed to be the one that is right.
	maxRepeats = 16
)

// round is one pass over the segments: goroutines that receive frames, at most
// one for each connection, and as many as there are cores that unpack them.
type round struct {
	*run
	schedule *schedule
	frames   chan *frame
	fail     context.CancelCauseFunc

	mu      sync.Mutex
	damages int
	damage  error // the first
}

// frame is one frame as it came, and the pieces that are wanted of it.
type frame struct {
	number int32
	pieces []piece
	stored []byte
	answer *transport.Response // by which it came
}

// round fetches all segments. Damage does not keep the others from coming; it is
// the error if there is no worse.
func (r *run) round(parent context.Context) error {
	r.others = false
	ctx, fail := context.WithCancelCause(parent)
	defer fail(nil)
	x := &round{run: r, schedule: newSchedule(r.segments), frames: make(chan *frame, unpackers()), fail: fail}
	var receiving, unpacking sync.WaitGroup
	for range min(connections, len(r.segments)) {
		receiving.Go(func() { x.receiveAll(ctx) })
	}
	for range cap(x.frames) {
		unpacking.Go(func() { x.unpackAll(ctx) })
	}
	receiving.Wait()
	close(x.frames)
	unpacking.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return x.damage
}

// unpackers is how many goroutines unpack.
func unpackers() int { return min(runtime.GOMAXPROCS(0), maxUnpackers) }

// spoilt notes a frame that is not right, and who gave it: nil if nobody did.
func (x *round) spoilt(number int32, answer *transport.Response, err error) {
	f := x.index.Frames[number]
	others := answer != nil && errors.Is(err, digest.ErrMismatch) && answer.Refused()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.others = x.others || others
	if x.damage == nil {
		x.damage = &DamageError{Pack: x.index.Packs[f.Pack].Digest, Offset: f.Offset, Err: err}
	}
	if x.damages++; x.damages == maxDamage {
		x.schedule.stop()
	}
}

// receiveAll fetches segments while there are any.
func (x *round) receiveAll(ctx context.Context) {
	for {
		segments := x.schedule.next(ctx)
		if segments == nil {
			return
		}
		number, answer, err := x.receive(ctx, segments)
		switch spoilt, is := asDamage(err); {
		case err == nil:
		case is:
			x.spoilt(number, answer, spoilt)
		default:
			x.fail(err)
		}
	}
}

// receive fetches segments of one pack with one request. With an error it gives
// the number of the frame that should have come, and the answer if there was one.
func (x *round) receive(ctx context.Context, segments []segment) (int32, *transport.Response, error) {
	first, last := segments[0], segments[len(segments)-1]
	number := x.pieces[first.first].frame
	name := repo.PackName(x.index.Packs[first.pack].Digest)
	answer, err := x.from.Fetch(ctx, transport.Request{Name: name, Offset: first.offset, Length: last.end - first.offset})
	if err != nil {
		x.schedule.failed()
		return number, nil, err
	}
	defer answer.Body.Close()
	if first.offset > 0 {
		segments = append(segments, x.schedule.answered(first.pack, answer.Offset != first.offset)...)
	}
	body := &packBody{from: answer.Body, at: answer.Offset}
	for _, s := range segments {
		told := s.offset
		for i := s.first; i < s.last; i = x.behind(i) {
			number = x.pieces[i].frame
			if err := x.pass(ctx, answer, body, i); err != nil {
				return number, answer, err
			}
			x.tell(body.at - told)
			told = body.at
		}
	}
	return number, answer, nil
}

// pass reads the frame of a piece and hands it to who unpacks it.
func (x *round) pass(ctx context.Context, answer *transport.Response, body *packBody, i int32) error {
	f := x.spare.Get().(*frame)
	f.number, f.pieces, f.answer = x.pieces[i].frame, x.pieces[i:x.behind(i)], answer
	if err := body.read(f, x.index.Frames[f.number]); err != nil {
		x.spare.Put(f)
		return err
	}
	select {
	case x.frames <- f:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// packBody is a pack as it comes.
type packBody struct {
	from io.Reader
	at   int64 // offset in the pack of what comes next
}

// read fills in a frame's stored form.
func (b *packBody) read(f *frame, at repo.Frame) error {
	if b.at > at.Offset {
		return fmt.Errorf("%w: it began at %d", transport.ErrRange, b.at)
	}
	n, err := io.CopyN(io.Discard, b.from, at.Offset-b.at)
	b.at += n
	if err != nil {
		return err
	}
	if cap(f.stored) < int(at.Length) {
		f.stored = make([]byte, at.Length)
	}
	f.stored = f.stored[:at.Length]
	m, err := io.ReadFull(b.from, f.stored)
	b.at += int64(m)
	return err
}

// unpackAll unpacks frames until there are no more.
func (x *round) unpackAll(ctx context.Context) {
	buf := make([]byte, 0, repo.FrameSize)
	for f := range x.frames {
		if ctx.Err() == nil {
			x.unpack(f, buf)
		}
		x.spare.Put(f)
	}
}

// unpack decompresses a frame and stores what is wanted of it.
func (x *round) unpack(f *frame, buf []byte) {
	raw := int(x.index.Frames[f.number].Raw)
	data, err := x.codec.DecodeAll(f.stored, buf[:0:raw])
	if err == nil && len(data) != raw {
		err = fmt.Errorf("%d bytes instead of %d", len(data), raw)
	}
	if err != nil {
		x.spoilt(f.number, f.answer, fmt.Errorf("%w: %v", errFrame, err))
		return
	}
	if err := x.keepAll(f.pieces, data); err != nil {
		x.spoilt(f.number, f.answer, err)
	}
}

// keepAll stores what is wanted of a frame's content. The error is that of the
// first piece that is wrong; one that is not about the content ends the round.
func (x *round) keepAll(pieces []piece, data []byte) (wrong error) {
	for _, p := range pieces {
		err := x.keep(p, data)
		switch {
		case err == nil:
		case !errors.Is(err, digest.ErrMismatch):
			x.fail(err)
			return nil
		case wrong == nil:
			wrong = err
		}
	}
	return wrong
}

package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/transport"
)

// fetchAll is a goroutine that fetches what is asked for, the urgent first.
func (l *Lazy) fetchAll() {
	pause := lazyRetry
	for {
		n, ok := l.next()
		if !ok {
			return
		}
		err := l.fetchFrame(n)
		l.settle(n, err)
		if err == nil {
			pause = lazyRetry
			continue
		}
		if errors.Is(err, digest.ErrMismatch) {
			continue
		}
		// The network is away: the frame stays wanted.
		l.want(n, true)
		select {
		case <-time.After(pause):
		case <-l.ctx.Done():
		}
		pause = min(2*pause, lazyPause)
	}
}

// next takes a frame to fetch, and waits for one.
func (l *Lazy) next() (n int32, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for l.ctx.Err() == nil && len(l.urgent)+len(l.queue) > 0 {
			if k := len(l.urgent); k > 0 {
				n, l.urgent = l.urgent[k-1], l.urgent[:k-1]
			} else {
				n, l.queue = l.queue[0], l.queue[1:]
			}
			if f := &l.frames[n]; !f.there && f.waiting {
				f.waiting, f.busy = false, true
				return n, true
			}
		}
		if l.ctx.Err() != nil {
			return 0, false
		}
		l.work.Wait()
	}
}

// settle notes how fetching a frame ended, and wakes who waits for it.
func (l *Lazy) settle(n int32, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &l.frames[n]
	f.err, f.busy = err, false
	f.there = f.there || err == nil
	if f.there || errors.Is(err, digest.ErrMismatch) {
		close(f.done)
		f.done = nil
	}
}

// fetchFrame brings one frame, checks what it holds, and puts it in its place.
func (l *Lazy) fetchFrame(n int32) error {
	data, err := l.read(l.ctx, n)
	if err != nil {
		return err
	}
	for _, c := range l.byFrame[n] {
		if err := l.keep(c, n, data); err != nil {
			return fmt.Errorf("%s: %w", repo.PackName(l.index.Packs[l.index.Frames[n].Pack].Digest), err)
		}
	}
	return nil
}

func (l *Lazy) read(ctx context.Context, n int32) ([]byte, error) {
	f := l.index.Frames[n]
	res, err := l.from.Fetch(ctx, transport.Request{
		Name: repo.PackName(l.index.Packs[f.Pack].Digest), Offset: f.Offset, Length: int64(f.Length),
	})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if skip := f.Offset - res.Offset; skip > 0 { // a server without ranges
		if _, err := io.CopyN(io.Discard, res.Body, skip); err != nil {
			return nil, err
		}
	}
	stored := make([]byte, f.Length)
	if _, err := io.ReadFull(res.Body, stored); err != nil {
		return nil, err
	}
	data, err := l.codec.DecodeAll(stored, make([]byte, 0, f.Raw))
	if err == nil && len(data) != int(f.Raw) {
		err = fmt.Errorf("%d bytes instead of %d", len(data), f.Raw)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: frame at %d: %w", digest.ErrMismatch, f.Offset, err)
	}
	return data, nil
}

// keep checks a frame's part of a content, and writes it. A part of a content without
// spans is written as it is; whoever reads it checks the whole.
func (l *Lazy) keep(c *lazyPlace, n int32, data []byte) error {
	off := int64(n-c.first) * repo.FrameSize
	from := int64(0)
	if n == c.first {
		from = int64(c.at.Offset)
	}
	size := min(int64(len(data))-from, c.size-off)
	if size <= 0 || c.end > c.first+1 && n < c.end-1 && size != repo.FrameSize {
		return fmt.Errorf("%w: a frame that does not hold its content", digest.ErrMismatch)
	}
	piece := data[from : from+size]
	spans := l.spans[c.digest]
	switch {
	case c.end == c.first+1:
		if have := digest.Of(piece); have != c.digest {
			return &digest.MismatchError{Want: c.digest, Have: have, WantSize: c.size, HaveSize: size}
		}
	case spans != nil:
		if err := spans.Verify(off, piece); err != nil {
			return err
		}
	}
	if _, err := l.file.WriteAt(piece, c.base+off); err != nil {
		return err
	}
	return nil
}

package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/tree"
)

const (
	// lazyWait is how long a reader waits for bytes from the network before its read
	// fails; the fetch goes on and later reads find what it brought.
	lazyWait = 60 * time.Second
	// lazyRetry is the first pause after a failed request; it doubles up to lazyPause.
	lazyRetry = 250 * time.Millisecond
	lazyPause = 8 * time.Second
	// lazyFetchers is how many requests are under way at once.
	lazyFetchers = 4
	// lazyAhead is how many frames behind the one that is read are fetched with it.
	lazyAhead = 3
)

// Lazy gives the contents of a release that are fetched when they are read, in pieces
// that are checked before anybody sees them: of a large content the spans that are
// read (spec/5-repository.md section 5.8), and what shares frames with it otherwise. It is safe for
// concurrent use.
type Lazy struct {
	from    transport.Transport
	index   *repo.Index
	spans   map[digest.Digest]*digest.Spans
	places  map[digest.Digest]*lazyPlace
	byFrame [][]*lazyPlace // what a frame holds something of
	file    *os.File       // all contents, one behind the other, with holes
	codec   *zstd.Decoder

	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu     sync.Mutex
	frames []lazyFrame
	urgent []int32 // frames that somebody waits for, the newest last
	queue  []int32 // frames to fetch when nobody waits
	work   *sync.Cond
}

// lazyPlace is where a content is.
type lazyPlace struct {
	digest     digest.Digest
	size       int64
	at         repo.Location
	first, end int32 // frames
	base       int64 // in the file

	check sync.Mutex
	whole bool // a content that can only be checked whole was
}

// lazyFrame is the state of a frame.
type lazyFrame struct {
	there   bool
	waiting bool          // in a queue
	busy    bool          // being fetched
	err     error         // of the last attempt
	done    chan struct{} // closed when it is there or has failed
}

// NewLazy makes ready to fetch the contents of a release whose tree the store has. It
// fetches the index, and the spans if there are any. scratch, which Lazy owns from
// then on, takes what comes. Close it after use.
func NewLazy(ctx context.Context, from transport.Transport, st *store.Store, name digest.Digest, rel *release.Release, scratch *os.File) (_ *Lazy, err error) {
	defer func() {
		if err != nil {
			scratch.Close()
		}
	}()
	info := rel.Tree.Info()
	ix, err := Index(ctx, from, name, info)
	if err != nil {
		return nil, err
	}
	l := &Lazy{from: from, index: ix, file: scratch, places: map[digest.Digest]*lazyPlace{}, byFrame: make([][]*lazyPlace, len(ix.Frames)), frames: make([]lazyFrame, len(ix.Frames))}
	if err := l.place(st, info); err != nil {
		return nil, err
	}
	if l.spans, err = readSpans(ctx, from, st, info); err != nil {
		return nil, err
	}
	if l.codec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(unpackers()), zstd.WithDecoderLowmem(true),
		zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(repo.FrameSize)); err != nil {
		return nil, err
	}
	l.work = sync.NewCond(&l.mu)
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for range lazyFetchers {
		l.group.Go(l.fetchAll)
	}
	return l, nil
}

// place finds out which frames hold what.
func (l *Lazy) place(st *store.Store, info tree.Info) error {
	var base int64
	for e, err := range st.Tree(info.Digest, info.Size) {
		if err != nil {
			return err
		}
		if !e.External() || l.places[e.Digest] != nil {
			continue
		}
		if len(l.places) >= len(l.index.Objects) {
			return fmt.Errorf("%w: it has fewer contents than the tree", repo.ErrIndex)
		}
		p := &lazyPlace{digest: e.Digest, size: e.Size, at: l.index.Objects[len(l.places)], base: base}
		if p.first, p.end, err = l.index.Span(p.at, p.size); err != nil {
			return err
		}
		l.places[e.Digest] = p
		for n := p.first; n < p.end; n++ {
			l.byFrame[n] = append(l.byFrame[n], p)
		}
		base += (e.Size + digest.BlockSize - 1) / digest.BlockSize * digest.BlockSize
	}
	return nil
}

// readSpans fetches the spans of a tree; none if none are published, or wrong ones.
func readSpans(ctx context.Context, from transport.Transport, st *store.Store, info tree.Info) (map[digest.Digest]*digest.Spans, error) {
	res, err := from.Fetch(ctx, transport.Request{Name: repo.SpansName(info.Digest)})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	all, err := repo.ReadSealedSpans(io.LimitReader(res.Body, 2*repo.MaxSpans(info.Bytes)), info.Bytes, st.Tree(info.Digest, info.Size))
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	return all, nil
}

// Close ends all fetching, and readers with it.
func (l *Lazy) Close() error {
	l.cancel()
	l.mu.Lock()
	l.work.Broadcast()
	l.mu.Unlock()
	l.group.Wait()
	l.codec.Close()
	return l.file.Close()
}

// Has tells whether the release has a content.
func (l *Lazy) Has(d digest.Digest) bool { return l.places[d] != nil }

// ReadAt reads from a content what has been checked, and waits for it; an error if it
// does not come within a minute, or cannot be what it should be.
func (l *Lazy) ReadAt(ctx context.Context, d digest.Digest, p []byte, off int64) (int, error) {
	c := l.places[d]
	if c == nil {
		return 0, fmt.Errorf("content %s: %w", d.Short(), fs.ErrNotExist)
	}
	if off < 0 || off >= c.size {
		return 0, io.EOF
	}
	n := min(int64(len(p)), c.size-off)
	first, last := l.framesOf(c, off, n)
	if err := l.wait(ctx, c, first, last); err != nil {
		return 0, fmt.Errorf("content %s: %w", d.Short(), err)
	}
	read, err := l.file.ReadAt(p[:n], c.base+off)
	if err == nil && int64(read) < int64(len(p)) {
		err = io.EOF
	}
	return read, err
}

// framesOf gives the frames that a range needs: all of a content that can only be
// checked as a whole.
func (l *Lazy) framesOf(c *lazyPlace, off, n int64) (first, last int32) {
	if l.spans[c.digest] == nil {
		return c.first, c.end - 1
	}
	return c.first + int32(off/repo.FrameSize), c.first + int32((off+n-1)/repo.FrameSize)
}

// wait has frames fetched, and some behind them if there is nothing better to do.
func (l *Lazy) wait(ctx context.Context, c *lazyPlace, first, last int32) error {
	ctx, cancel := context.WithTimeout(ctx, lazyWait)
	defer cancel()
	for n := last; n >= first; n-- {
		l.want(n, true)
	}
	for n := last + 1; n < min(c.end, last+1+lazyAhead); n++ {
		l.want(n, false)
	}
	for n := first; n <= last; n++ {
		if err := l.await(ctx, n); err != nil {
			return err
		}
	}
	if l.spans[c.digest] != nil || c.end == c.first+1 {
		return nil
	}
	c.check.Lock()
	defer c.check.Unlock()
	if !c.whole {
		if err := digest.Verify(io.NewSectionReader(l.file, c.base, c.size), c.digest, c.size); err != nil {
			return err
		}
		c.whole = true
	}
	return nil
}

// want asks for a frame.
func (l *Lazy) want(n int32, urgent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &l.frames[n]
	if f.there || f.busy || f.waiting && !urgent {
		return
	}
	if !f.waiting {
		f.err = nil
	}
	if f.done == nil {
		f.done = make(chan struct{})
	}
	f.waiting = true
	if urgent {
		l.urgent = append(l.urgent, n)
	} else {
		l.queue = append(l.queue, n)
	}
	l.work.Signal()
}

func (l *Lazy) await(ctx context.Context, n int32) error {
	for {
		l.mu.Lock()
		f := l.frames[n]
		l.mu.Unlock()
		if f.there {
			return nil
		}
		if errors.Is(f.err, digest.ErrMismatch) {
			return f.err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), f.err)
		case <-l.ctx.Done():
			return fs.ErrClosed
		}
	}
}

// Prefetch asks for everything, in the order of these contents and then of packs,
// whenever nobody waits for something else.
func (l *Lazy) Prefetch(order []digest.Digest) {
	for _, d := range order {
		if c := l.places[d]; c != nil {
			for n := c.first; n < c.end; n++ {
				l.want(n, false)
			}
		}
	}
	for n := range l.frames {
		if len(l.byFrame[n]) > 0 {
			l.want(int32(n), false)
		}
	}
}

// Whole waits until everything is there.
func (l *Lazy) Whole(ctx context.Context) error {
	for n := range l.frames {
		if len(l.byFrame[n]) == 0 {
			continue
		}
		l.want(int32(n), false)
		if err := l.await(ctx, int32(n)); err != nil {
			return err
		}
	}
	return nil
}

// Store puts all contents into a batch that the store st does not have, when Whole
// has ended; they are checked again on the way.
func (l *Lazy) Store(ctx context.Context, st *store.Store, to *store.Batch, info tree.Info) error {
	for e, err := range st.Tree(info.Digest, info.Size) {
		if err != nil {
			return err
		}
		o := store.ObjectOf(e)
		if !e.External() || st.Has(o) {
			continue
		}
		if err := l.storeOne(to, o); err != nil {
			return err
		}
	}
	return to.Flush(ctx)
}

func (l *Lazy) storeOne(to *store.Batch, o store.Object) error {
	c := l.places[o.Digest]
	w, err := to.Create(o)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, io.NewSectionReader(l.file, c.base, c.size)); err != nil {
		w.Abort()
		return err
	}
	return w.Commit()
}

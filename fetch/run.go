package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/transport"
)

// parallel is how many requests are under way at most.
const parallel = 8

// run is one pass over a plan.
type run struct {
	plan     *Plan
	from     transport.Transport
	to       *store.Batch
	progress func(int64)
	decoders chan *decoder

	done  []atomic.Bool // jobs
	packs []sync.Mutex  // held while a pack is read whole

	mu    sync.Mutex
	large map[int32]*large
}

// decoder decompresses frames, one at a time.
type decoder struct {
	zstd *zstd.Decoder
	raw  []byte
}

// large is a content that arrives in several frames.
type large struct {
	writers []*store.Writer
	left    atomic.Int32
	failed  atomic.Bool
}

func newRun(p *Plan, t transport.Transport, to *store.Batch, progress func(int64)) (*run, error) {
	r := &run{plan: p, from: t, to: to, progress: progress, large: map[int32]*large{}}
	r.done = make([]atomic.Bool, len(p.jobs))
	r.packs = make([]sync.Mutex, len(p.index.Packs))
	r.decoders = make(chan *decoder, runtime.GOMAXPROCS(0))
	for range cap(r.decoders) {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(repo.FrameSize))
		if err != nil {
			return nil, err
		}
		r.decoders <- &decoder{zstd: z, raw: make([]byte, 0, repo.FrameSize)}
	}
	return r, nil
}

func (r *run) close() {
	for range cap(r.decoders) {
		(<-r.decoders).zstd.Close()
	}
	for _, l := range r.large {
		for _, w := range l.writers {
			w.Abort()
		}
	}
}

// fetch does all segments. A segment that fails does not keep others from what is
// under way; the first error is returned.
func (r *run) fetch(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, s := range r.plan.todo {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return r.segment(ctx, s) })
	}
	return group.Wait()
}

// segment fetches one stretch of a pack.
func (r *run) segment(ctx context.Context, s segment) error {
	if ctx.Err() != nil || r.finished(s) {
		return context.Cause(ctx)
	}
	begin, length := r.plan.jobs[s.first].frame.Offset, r.plan.length(s)
	pack := r.plan.jobs[s.first].frame.Pack
	name := repo.PackName(r.plan.index.Packs[pack].Digest)
	answer, err := r.from.Fetch(ctx, transport.Request{Name: name, Offset: begin, Length: length})
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.Offset == begin {
		return r.read(answer.Body, name, begin, s)
	}
	// The server has no ranges: what comes is the whole pack. Whoever is first
	// takes all that is wanted of it.
	r.packs[pack].Lock()
	defer r.packs[pack].Unlock()
	if r.finished(s) {
		return nil
	}
	whole := segment{s.first, s.end}
	for whole.first > 0 && r.plan.jobs[whole.first-1].frame.Pack == pack {
		whole.first--
	}
	for whole.end < len(r.plan.jobs) && r.plan.jobs[whole.end].frame.Pack == pack {
		whole.end++
	}
	return r.read(answer.Body, name, 0, whole)
}

func (r *run) finished(s segment) bool {
	for i := s.first; i < s.end; i++ {
		if !r.done[i].Load() {
			return false
		}
	}
	return true
}

// read takes the frames of a segment from a body that begins at an offset of the
// pack.
func (r *run) read(body io.Reader, name string, at int64, s segment) error {
	stored := storedBuffers.Get().(*[]byte)
	defer storedBuffers.Put(stored)
	for i := s.first; i < s.end; i++ {
		j := &r.plan.jobs[i]
		if _, err := io.CopyN(io.Discard, body, j.frame.Offset-at); err != nil {
			return fmt.Errorf("reading %s: %w", name, short(err))
		}
		if cap(*stored) < int(j.frame.Length) {
			*stored = make([]byte, j.frame.Length)
		}
		p := (*stored)[:j.frame.Length]
		if _, err := io.ReadFull(body, p); err != nil {
			return fmt.Errorf("reading %s: %w", name, short(err))
		}
		r.progress(j.frame.End() - at)
		at = j.frame.End()
		if r.done[i].Swap(true) {
			continue
		}
		if err := r.unpack(j, p); err != nil {
			return fmt.Errorf("%s, frame at %d: %w", name, j.frame.Offset, err)
		}
	}
	return nil
}

var storedBuffers = sync.Pool{New: func() any { p := make([]byte, 0, 128<<10); return &p }}

// short makes an early end an error of its own.
func short(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// unpack decompresses a frame and stores what is wanted of it.
func (r *run) unpack(j *job, stored []byte) error {
	d := <-r.decoders
	defer func() { r.decoders <- d }()
	data, err := d.zstd.DecodeAll(stored, d.raw[:0:j.frame.Raw])
	if err != nil || len(data) != int(j.frame.Raw) {
		return fmt.Errorf("frame is damaged: %w", digest.ErrMismatch)
	}
	for _, p := range j.pieces {
		if err := r.keep(p, data); err != nil {
			return err
		}
	}
	return nil
}

// keep stores one piece.
func (r *run) keep(p piece, data []byte) error {
	c := &r.plan.need.contents[p.content]
	if int64(p.start)+c.size <= int64(len(data)) {
		return r.keepWhole(c, data[p.start:int64(p.start)+c.size])
	}
	l, err := r.open(p.content)
	if err != nil {
		return err
	}
	offset := int64(p.part) * repo.FrameSize
	data = data[:min(int64(len(data)), c.size-offset)]
	for _, w := range l.writers {
		if _, err := w.WriteAt(data, offset); err != nil {
			return err
		}
	}
	if l.left.Add(-1) > 0 {
		return nil
	}
	return r.commit(c, l.writers)
}

func (r *run) keepWhole(c *content, data []byte) error {
	for _, o := range c.objects(c.lacks) {
		w, err := r.to.Create(o)
		if err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			w.Abort()
			return err
		}
		if err := w.Commit(); err != nil {
			return err
		}
	}
	c.lacks = 0
	return nil
}

func (r *run) commit(c *content, writers []*store.Writer) error {
	for _, w := range writers {
		if err := w.Commit(); err != nil {
			return err
		}
	}
	c.lacks = 0
	return nil
}

// open gives the writers of a large content.
func (r *run) open(n int32) (*large, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.large[n]; l != nil {
		return l, nil
	}
	c := &r.plan.need.contents[n]
	l := &large{}
	l.left.Store(int32((c.size + repo.FrameSize - 1) / repo.FrameSize))
	for _, o := range c.objects(c.lacks) {
		w, err := r.to.Create(o)
		if err != nil {
			return nil, err
		}
		l.writers = append(l.writers, w)
	}
	r.large[n] = l
	return l, nil
}

// Again gives the index anew: of a repository that was repacked meanwhile.
type Again func(context.Context) (*repo.Index, error)

// Run brings what is missing into a batch and flushes it. Whatever goes wrong,
// contents that arrived whole are kept. Wrong bytes, and a pack that is not there
// any more, are tried once more, by the index that again gives. progress is called
// with the number of bytes that came since the last call, from several goroutines.
func (p *Plan) Run(ctx context.Context, t transport.Transport, to *store.Batch, again Again, progress func(int64)) error {
	if err := p.local(ctx, to); err != nil {
		return errors.Join(err, to.Flush(context.WithoutCancel(ctx)))
	}
	err := p.pass(ctx, t, to, progress)
	if err == nil && !p.need.left() {
		return nil
	}
	if err != nil && (ctx.Err() != nil || !errors.Is(err, digest.ErrMismatch) && !errors.Is(err, fs.ErrNotExist)) {
		return err
	}
	ix, indexErr := again(ctx)
	if indexErr != nil {
		return errors.Join(err, indexErr)
	}
	rest, planErr := NewPlan(p.need, ix)
	if planErr != nil {
		return errors.Join(err, planErr)
	}
	return rest.pass(ctx, t, to, func(int64) {})
}

// pass fetches all that the plan has left.
func (p *Plan) pass(ctx context.Context, t transport.Transport, to *store.Batch, progress func(int64)) error {
	if len(p.todo) == 0 {
		return to.Flush(ctx)
	}
	r, err := newRun(p, t, to, progress)
	if err != nil {
		return err
	}
	err = r.fetch(ctx)
	r.close()
	return errors.Join(err, to.Flush(context.WithoutCancel(ctx)))
}

package fetch

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/transport"
)

// Again gives the index anew: of a repository that was repacked meanwhile, or
// where none was needed before.
type Again func(context.Context) (*repo.Index, error)

// Run brings what is missing into a batch and flushes it. It is called once.
//
// What deltas should have brought and did not comes by packs, and is no error either.
// Whatever goes wrong, and when ctx ends, contents that arrived whole are kept. A
// frame that is wrong is fetched once more when the rest is there; a pack that is
// missing has the index read again, once. What remains wrong is a *DamageError.
// A local file or an object that is not what it was is not an error: the content
// is fetched instead, through t, which may be nil if nothing else is.
//
// progress is called with the number of bytes that came since the last call, from
// several goroutines; together they are p.Bytes in the end, and never more.
func (p *Plan) Run(ctx context.Context, t transport.Transport, to *store.Batch, again Again, progress func(int64)) error {
	r, err := newRun(p, t, to, again, progress)
	if err != nil {
		return err
	}
	err = r.all(ctx)
	r.close()
	if flushed := to.Flush(context.WithoutCancel(ctx)); err == nil {
		err = flushed
	}
	if err == nil {
		r.tell(r.expected.Load())
	}
	return err
}

// run is a plan being carried out.
type run struct {
	*Plan
	from     transport.Transport
	to       *store.Batch
	again    Again
	progress func(int64)
	expected atomic.Int64 // bytes that progress has not told yet

	codec  *zstd.Decoder
	spare  sync.Pool // of *frame
	others bool      // there are servers that have not given what was wrong in the last round

	mu    sync.Mutex
	begun map[int32]*partial // contents of several frames that are not complete
}

func newRun(p *Plan, t transport.Transport, to *store.Batch, again Again, progress func(int64)) (*run, error) {
	codec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(unpackers()), zstd.WithDecoderLowmem(true),
		zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(repo.FrameSize))
	if err != nil {
		return nil, err
	}
	r := &run{Plan: p, from: t, to: to, again: again, progress: progress, codec: codec, begun: map[int32]*partial{}}
	r.expected.Store(p.Bytes)
	r.spare.New = func() any { return new(frame) }
	return r, nil
}

func (r *run) close() {
	r.codec.Close()
	r.abandon()
}

// all takes what is on this machine, then what is not.
func (r *run) all(ctx context.Context) error {
	if err := r.local(ctx); err != nil {
		return err
	}
	if r.road != nil {
		if err := r.travel(ctx); err != nil {
			return err
		}
	}
	if r.disappointed() {
		if err := r.relocate(ctx); err != nil {
			return err
		}
	}
	return r.remote(ctx)
}

// local copies twins and seeds.
func (r *run) local(ctx context.Context) error {
	contents := r.need.contents
	return contents.parallel(ctx, func(ctx context.Context, n int32) error {
		m := contents.mark(n)
		twin := m.byTwin()
		if !twin && !m.bySeed() {
			return nil
		}
		for _, o := range contents.lacking(n) {
			if err := r.copy(n, o, twin); err != nil {
				if ctx.Err() != nil || storeFailed(err) {
					return err
				}
				*m |= remote
				return nil
			}
			*m |= haveOf(o.Executable)
		}
		return nil
	})
}

// disappointed tells whether something on this machine, or that deltas brought, was
// not what it should be: packs have it.
func (r *run) disappointed() (is bool) {
	for n := range r.need.contents.count {
		m := r.need.contents.mark(n)
		if m.lacks() == 0 {
			continue
		}
		is = is || *m&(remote|byRoad) != 0
		*m &^= byRoad
	}
	return is
}

func (r *run) copy(n int32, o store.Object, twin bool) error {
	if twin {
		return r.to.AddTwin(o)
	}
	return copySeed(r.need.seeds.path(n), o, r.to)
}

// remote fetches the rest: once, and what failed then once more, and again while there
// are servers that have not given what was wrong.
func (r *run) remote(ctx context.Context) error {
	for repeated, relocated := 0, false; ; {
		err := r.round(ctx)
		var damage *DamageError
		switch {
		case !errors.As(err, &damage):
			return err
		case errors.Is(damage, fs.ErrNotExist) && !relocated:
			relocated = true
			if again := r.relocate(ctx); again != nil {
				return errors.Join(err, again)
			}
		case errors.Is(damage, digest.ErrMismatch) && (repeated == 0 || r.others && repeated < maxRepeats):
			repeated++
			if err := r.repeat(); err != nil {
				return err
			}
		case errors.Is(damage, digest.ErrMismatch) && r.road != nil && !relocated: // a delta may have said where it is
			relocated = true
			if again := r.relocate(ctx); again != nil {
				return errors.Join(err, again)
			}
		default:
			return err
		}
	}
}

// errOffline says that something has to be fetched that the plan had not to.
var errOffline = errors.New("what was to be copied on this machine is damaged or gone; try again")

// relocate plans what is left by a new index.
func (r *run) relocate(ctx context.Context) error {
	if r.from == nil || r.again == nil {
		return errOffline
	}
	ix, err := r.again(ctx)
	if err != nil {
		return err
	}
	r.abandon()
	return r.locate(ix)
}

// repeat plans what is left by the same index.
func (r *run) repeat() error {
	r.pieces = slices.DeleteFunc(r.pieces, r.kept)
	return r.cut()
}

// tell reports progress; what is fetched twice counts once.
func (r *run) tell(n int64) {
	if left := r.expected.Add(-n); left < 0 {
		n += max(left, -n)
	}
	if n > 0 {
		r.progress(n)
	}
}

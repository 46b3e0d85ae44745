package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	// flushBytes and flushFiles are how much may be whole and yet unnamed, and so
	// lost by an interruption: enough that barriers cost little.
	flushBytes = 32 << 20
	flushFiles = 2048
	// reservedFiles is how many open files are left to everything else: 256
	// folders, and as many again.
	reservedFiles = 512
	// linkers is how many goroutines give names.
	linkers = 2
)

// Batch stores any number of objects. Whole contents get their names in groups,
// behind one barrier each, while others are being written. Its methods may be
// called concurrently.
type Batch struct {
	s     *Store
	ctx   context.Context
	limit int           // files
	turn  chan struct{} // held by who gives names
	group sync.WaitGroup

	mu    sync.Mutex
	ready []whole
	bytes int64
	err   error // the first of giving names; nothing is stored after it
}

// whole is verified content that waits for its name.
type whole struct {
	object Object
	file   temp
}

// NewBatch starts a batch; the transaction begins with the first object. When
// ctx ends, no more are taken: what is whole can still be flushed.
func (s *Store) NewBatch(ctx context.Context) *Batch {
	return &Batch{s: s, ctx: ctx, limit: fileLimit(), turn: make(chan struct{}, 1)}
}

// fileLimit is how many files may wait for names: one group fills up while
// another gets its names.
func fileLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 64
	}
	return int(min(max(int64(min(limit.Cur, 1<<20))-reservedFiles, 32)/2, flushFiles))
}

// failed is why nothing more is taken, or nil.
func (b *Batch) failed() error {
	if b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// add takes whole content, and starts to give names when there is enough of it.
func (b *Batch) add(w whole) error {
	b.mu.Lock()
	b.ready = append(b.ready, w)
	b.bytes += w.object.Size
	full := b.full()
	b.mu.Unlock()
	if !full {
		return nil
	}
	b.turn <- struct{}{} // at most one group waits while one is being named
	list := b.take(b.full)
	if list == nil { // somebody else's turn took them
		<-b.turn
		return b.failed()
	}
	b.group.Go(func() {
		defer func() { <-b.turn }()
		b.name(list)
	})
	return nil
}

func (b *Batch) full() bool { return b.bytes >= flushBytes || len(b.ready) >= b.limit }

// take empties the batch if the condition holds.
func (b *Batch) take(condition func() bool) []whole {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !condition() {
		return nil
	}
	list := b.ready
	b.ready, b.bytes = nil, 0
	return list
}

// Flush gives names to all that was committed before. On return without an error
// these objects are whole under their names, after a power cut too if their names
// survive it; [Store.End] or [Store.Sync] makes the names durable.
func (b *Batch) Flush(ctx context.Context) error {
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-b.turn }()
	b.name(b.take(func() bool { return true }))
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// Close gives up what was not flushed, and waits for what is under way. A writer
// that was not committed or aborted must not be used afterwards.
func (b *Batch) Close() error {
	b.group.Wait()
	b.abandon(b.take(func() bool { return true }))
	return nil
}

func (b *Batch) abandon(list []whole) {
	for _, w := range list {
		b.s.discard(w.file)
	}
}

// name makes a group durable and gives its names; only who has the turn calls it.
func (b *Batch) name(list []whole) {
	if len(list) == 0 {
		return
	}
	b.mu.Lock()
	err := b.err
	b.mu.Unlock()
	if err == nil {
		err = b.s.nameAll(list)
	}
	b.abandon(list) // files that have their names lose nothing
	if err != nil {
		b.mu.Lock()
		b.err = fmt.Errorf("storing %d objects: %w", len(list), b.s.explain(err))
		b.mu.Unlock()
	}
}

func (s *Store) nameAll(list []whole) error {
	if err := s.announce(list); err != nil {
		return err
	}
	if err := s.dir.SyncFS(); err != nil { // the barrier: no name before it
		return err
	}
	var group errgroup.Group
	for i := range linkers {
		group.Go(func() error {
			for j := i; j < len(list); j += linkers {
				if err := s.nameOne(&list[j]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// nameOne seals and links an object. A file that has the name already is believed
// only once it was hashed; a wrong one is replaced in one step.
func (s *Store) nameOne(w *whole) error {
	dir, err := s.folder(w.object, true)
	if err != nil {
		return err
	}
	if err := s.seal(w); err != nil {
		return err
	}
	err = s.link(w.file, dir, w.object.base())
	if errors.Is(err, fs.ErrExist) {
		if err = s.restore(w.object); err != nil {
			err = s.replace(w.file, w.object.Name())
		}
	}
	if err == nil {
		s.doubts.settled(w.object, nil)
	}
	return err
}

// AddTwin stores an object whose twin is here, by a copy on this machine that is
// checked as all content is; without a twin it is fs.ErrNotExist.
func (b *Batch) AddTwin(o Object) error {
	from, err := b.s.open(o.Twin())
	if err != nil {
		return err
	}
	defer from.Close()
	w, err := b.Create(o)
	if err != nil {
		return err
	}
	if err := w.CopyFrom(from); err != nil {
		w.Abort()
		return err
	}
	return w.Commit()
}

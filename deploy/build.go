package deploy

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/tree"
)

const (
	// workers is how many goroutines give names: more than two wait for each other
	// in the file system.
	workers = 2
	// chunk is how many entries of one folder they are handed at a time.
	chunk = 64
)

// Maker makes the regular files of a form. Its methods are called concurrently.
type Maker interface {
	// File makes one name of a regular file.
	File(dir *beneath.Dir, e *tree.Entry, name string) error
	// Again tells whether File makes a file's further names too, because they become
	// one file without that. Otherwise they are linked to the first.
	Again(e *tree.Entry) bool
}

// builder makes folders and symlinks of a tree, and has files made. One goroutine
// makes the folders and hands the other entries on; the workers make those.
type builder struct {
	maker   Maker
	dir     *beneath.Dir // that becomes the root
	root    *directory
	open    []*directory // from the root to the folder that is being filled
	jobs    chan job
	pending sync.WaitGroup            // jobs
	linked  map[tree.Path]*tree.Entry // first names of files that have several
}

// job is some entries of one folder.
type job struct {
	dir     *directory
	entries []*tree.Entry
}

// Build fills the empty directory root with a tree, whose regular files are made by
// maker, and closes it. Memory does not depend on the size of the tree.
func Build(ctx context.Context, maker Maker, root *beneath.Dir, entries iter.Seq2[*tree.Entry, error]) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	b := &builder{maker: maker, dir: root, jobs: make(chan job, 2*workers), linked: map[tree.Path]*tree.Entry{}}
	var group sync.WaitGroup
	for range workers {
		group.Go(func() { b.work(ctx, fail) })
	}
	if err := b.walk(ctx, entries); err != nil {
		fail(err)
	}
	close(b.jobs)
	group.Wait()
	for _, f := range b.open { // none if it went well
		f.drop()
	}
	return context.Cause(ctx) // the first error
}

// walk reads the tree.
func (b *builder) walk(ctx context.Context, entries iter.Seq2[*tree.Entry, error]) error {
	for e, err := range entries {
		if err != nil {
			return err
		}
		if err := b.add(ctx, e); err != nil {
			return fmt.Errorf("%s: %w", e.Path.Quoted(), err)
		}
	}
	return b.leave(ctx, 0)
}

// add makes a folder, or hands the entry on.
func (b *builder) add(ctx context.Context, e *tree.Entry) error {
	if len(b.open) == 0 {
		b.root = newDirectory(b.dir, e)
		b.open = append(b.open, b.root)
		return nil
	}
	for len(b.open) > 1 && b.open[len(b.open)-1].entry.Path != e.Path.Parent() {
		if err := b.leave(ctx, len(b.open)-1); err != nil {
			return err
		}
	}
	top := b.open[len(b.open)-1]
	switch {
	case e.Kind == tree.Directory:
		made, err := top.makeDirectory(e)
		if err != nil {
			return err
		}
		b.open = append(b.open, made)
		return nil
	case e.Kind == tree.Hardlink:
		return b.addLink(ctx, top, e)
	case e.Nlink > 1:
		b.linked[e.Path] = e
	}
	return b.queue(ctx, top, e)
}

// addLink gives a file one more name. Unless the maker makes it, the first name has
// to be there. A file that has as many names as the file system allows is copied.
func (b *builder) addLink(ctx context.Context, top *directory, e *tree.Entry) error {
	first := b.linked[tree.Path(e.Target)]
	if first == nil {
		return fmt.Errorf("links to %s, which is not before it", tree.Path(e.Target).Quoted())
	}
	again := *first
	again.Path = e.Path
	if b.maker.Again(first) {
		return b.queue(ctx, top, &again)
	}
	for _, f := range b.open {
		if err := b.send(ctx, f); err != nil {
			return err
		}
	}
	b.pending.Wait()
	if ctx.Err() != nil { // a worker may have ended before it made the file
		return context.Cause(ctx)
	}
	err := top.Link(b.root.Dir, string(first.Path[1:]), e.Path.Base())
	if errors.Is(err, unix.EMLINK) {
		b.linked[tree.Path(e.Target)] = &again // later names are this one's
		return b.queue(ctx, top, &again)
	}
	return err
}

// queue collects entries of a folder.
func (b *builder) queue(ctx context.Context, dir *directory, e *tree.Entry) error {
	dir.queued = append(dir.queued, e)
	if len(dir.queued) < chunk {
		return nil
	}
	return b.send(ctx, dir)
}

// send hands the collected entries to the workers.
func (b *builder) send(ctx context.Context, dir *directory) error {
	if len(dir.queued) == 0 {
		return nil
	}
	j := job{dir.share(), dir.queued}
	dir.queued = nil
	b.pending.Add(1)
	select {
	case b.jobs <- j:
		return nil
	case <-ctx.Done():
		j.dir.drop()
		b.pending.Done()
		return context.Cause(ctx)
	}
}

// leave is done with all open folders but the first n.
func (b *builder) leave(ctx context.Context, n int) error {
	for len(b.open) > n {
		top := b.open[len(b.open)-1]
		if err := b.send(ctx, top); err != nil {
			return err
		}
		b.open = b.open[:len(b.open)-1]
		if err := top.release(); err != nil {
			return fmt.Errorf("%q: %w", top.entry.Path, err)
		}
	}
	return nil
}

// work makes entries until there are no more. After an error it goes on taking
// jobs, so that nobody waits for it.
func (b *builder) work(ctx context.Context, fail context.CancelCauseFunc) {
	for j := range b.jobs {
		if ctx.Err() != nil {
			j.dir.drop()
		} else if err := b.make(j); err != nil {
			fail(err)
		}
		b.pending.Done()
	}
}

func (b *builder) make(j job) error {
	for _, e := range j.entries {
		if err := b.place(j.dir.Dir, e); err != nil {
			j.dir.drop()
			return fmt.Errorf("%s: %w", e.Path.Quoted(), err)
		}
	}
	return j.dir.release()
}

// place makes a file or symlink.
func (b *builder) place(dir *beneath.Dir, e *tree.Entry) error {
	if e.Kind == tree.Symlink {
		return placeSymlink(dir, e, e.Path.Base())
	}
	return b.maker.File(dir, e, e.Path.Base())
}

package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/inode"
)

var (
	errClosed = errors.New("the writer is closed")
	errOrder  = errors.New("a piece was written twice, or in order and out of order")
)

// Writer takes the content of one object: in order through Write, or in pieces
// of any order through WriteAt. Nothing is kept unless Commit finds that it is
// what the digest names.
type Writer struct {
	b      *Batch
	object Object

	mu     sync.Mutex
	file   temp
	err    error // the first; Commit reports it again
	closed bool

	written  int64           // by Write, bytes
	verified bool            // one Write brought it all
	hasher   *digest.Hasher  // of several Writes
	builder  *digest.Builder // of WriteAt
	given    []bool          // of WriteAt: by span, so that none is written after it was hashed
}

// Create starts to store an object. Content that comes in one Write is checked
// before it touches the disk.
func (b *Batch) Create(o Object) (*Writer, error) {
	w := &Writer{b: b, object: o}
	if err := b.failed(); err != nil {
		return nil, w.wrap(err)
	}
	if o.Size < 0 {
		return nil, w.wrap(fmt.Errorf("size %d", o.Size))
	}
	return w, b.s.Begin()
}

// Write implements io.Writer: content in order.
func (w *Writer) Write(p []byte) (int, error) {
	if err := w.hash(p); err != nil {
		return 0, w.fail(err)
	}
	if err := w.change(); err != nil {
		return 0, w.fail(err)
	}
	n, err := w.file.Write(p)
	return n, w.fail(err)
}

// hash takes the next piece of content.
func (w *Writer) hash(p []byte) error {
	w.written += int64(len(p))
	switch {
	case w.builder != nil:
		return errOrder
	case w.written > w.object.Size:
		return w.mismatch(digest.Digest{}, w.written)
	case w.hasher == nil && w.object.Size == int64(len(p)):
		if have := digest.Of(p); have != w.object.Digest {
			return w.mismatch(have, w.object.Size)
		}
		w.verified = true
		return nil
	case w.hasher == nil:
		w.hasher = new(digest.Hasher)
	}
	w.hasher.Write(p)
	return nil
}

// WriteAt stores the piece that begins at off, a multiple of digest.Span, and
// ends at one or at the content's end. Any number of goroutines may do so, each
// piece once. It is hashed as it comes: nothing is read back.
func (w *Writer) WriteAt(p []byte, off int64) (int, error) {
	if err := w.claim(off, int64(len(p))); err != nil {
		return 0, w.fail(err)
	}
	if err := w.change(); err != nil {
		return 0, w.fail(err)
	}
	if err := w.builder.Add(off, p); err != nil {
		return 0, w.fail(err)
	}
	n, err := w.file.WriteAt(p, off)
	return n, w.fail(err)
}

// claim notes the spans that a piece covers; Builder.Add checks its borders.
func (w *Writer) claim(off, n int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.builder == nil {
		w.builder = digest.NewBuilder(w.object.Size)
		w.given = make([]bool, (w.object.Size+digest.Span-1)/digest.Span)
	}
	if off < 0 || n <= 0 || off > w.object.Size-n {
		return w.mismatch(digest.Digest{}, off+n)
	}
	for i := off / digest.Span; i <= (off+n-1)/digest.Span; i++ {
		if w.given[i] || w.written > 0 {
			return errOrder
		}
		w.given[i] = true
	}
	return nil
}

// change makes sure that there is a file, before each change of it.
func (w *Writer) change() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errClosed
	}
	if err := w.open(); err != nil {
		return err
	}
	return w.b.s.tmp.Change("write", "(unnamed)")
}

// open makes the file if there is none.
func (w *Writer) open() (err error) {
	if w.file.File != nil {
		return nil
	}
	if err := w.b.failed(); err != nil {
		return err
	}
	w.file, err = w.b.s.create(w.object.Mode())
	return err
}

// CopyFrom stores the content of an open file on this machine, of which it takes
// no more than the object's size: by sharing blocks where the file system can.
// What was copied is checked, and not what the file says later. Another content
// is digest.ErrMismatch, a shorter one io.ErrUnexpectedEOF.
func (w *Writer) CopyFrom(from *os.File) error {
	if err := w.change(); err != nil {
		return w.fail(err)
	}
	if err := inode.Copy(w.file.File, from, w.object.Size); err != nil {
		return w.fail(err)
	}
	copied := io.NewSectionReader(w.file, 0, w.object.Size)
	w.verified = true
	return w.fail(digest.Verify(copied, w.object.Digest, w.object.Size))
}

// Commit checks that the content is complete and right, and hands it to the
// batch, which gives it its name with a later flush. Other content is a
// *digest.MismatchError. Whatever it returns, the writer is done.
func (w *Writer) Commit() error {
	err := w.err
	switch {
	case w.closed && err == nil:
		err = errClosed
	case err == nil:
		err = w.fail(w.check())
	}
	if err != nil {
		w.Abort()
		return err
	}
	w.closed = true
	return w.wrap(w.b.add(whole{w.object, w.file}))
}

// check tells whether the file is what it should be, and finishes it.
func (w *Writer) check() error {
	if err := w.open(); err != nil { // empty content: nothing was written
		return err
	}
	have, size := w.object.Digest, w.object.Size
	switch {
	case w.verified:
	case w.builder != nil:
		var err error
		if have, err = w.builder.Digest(); err != nil {
			return fmt.Errorf("%w: %w", digest.ErrMismatch, err)
		}
	case w.hasher != nil:
		have, size = w.hasher.Digest(), w.hasher.Size()
	default:
		have, size = digest.Of(nil), 0
	}
	if have != w.object.Digest || size != w.object.Size {
		return w.mismatch(have, size)
	}
	return inode.SetTime(w.file.File, 0, 0)
}

// Abort gives the content up. It may be called after Commit, and does nothing
// then.
func (w *Writer) Abort() {
	if w.closed {
		return
	}
	w.closed = true
	if w.file.File != nil {
		w.b.s.discard(w.file)
	}
}

func (w *Writer) mismatch(have digest.Digest, size int64) error {
	return &digest.MismatchError{Want: w.object.Digest, Have: have, WantSize: w.object.Size, HaveSize: size}
}

// fail notes an error for Commit.
func (w *Writer) fail(err error) error {
	if err == nil {
		return nil
	}
	err = w.wrap(err)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	return err
}

func (w *Writer) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("storing %v: %w", w.object, w.b.s.explain(err))
}

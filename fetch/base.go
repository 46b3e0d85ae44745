package fetch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/store"
)

// errBase means that a content that a group needs is not here any more.
var errBase = errors.New("a base is missing")

// bases are the contents that a group starts from, one behind the other: read at
// random, or kept in memory if they are small.
type bases struct {
	parts []basePart
	data  []byte
	from  *store.Store
	kept  *scratch

	mu   sync.Mutex
	open int // the part that file is of
	file *os.File
}

type basePart struct {
	object store.Object
	start  int64 // in all of them
	stored bool  // in the store; else in scratch
	offset int64 // in scratch
}

// base finds the bases of a group; nil if it has none.
func (t *traveller) base(h *hop, g *repo.Group) (*bases, error) {
	if len(g.Bases) == 0 {
		return nil, nil
	}
	b := &bases{from: t.store, kept: t.scratch, open: -1}
	var total int64
	for _, n := range g.Bases {
		p := basePart{object: h.a.object(n, false), start: total}
		offset, made := t.scratch.find(p.object.Digest)
		p.offset, p.stored = offset, !made
		b.parts = append(b.parts, p)
		total += p.object.Size
	}
	if total > baseMemory {
		return b, nil
	}
	b.data = make([]byte, total)
	_, err := b.readAt(b.data, 0)
	b.closeFile()
	return b, err
}

// total is the size of all of them.
func (b *bases) total() int64 {
	last := b.parts[len(b.parts)-1]
	return last.start + last.object.Size
}

func (b *bases) reader() *io.SectionReader { return io.NewSectionReader(b, 0, b.total()) }

// ReadAt implements io.ReaderAt.
func (b *bases) ReadAt(p []byte, off int64) (int, error) {
	if b.data == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.readAt(p, off)
	}
	if off >= int64(len(b.data)) {
		return 0, io.EOF
	}
	n := copy(p, b.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (b *bases) readAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		at := off + int64(done)
		if at >= b.total() {
			return done, io.EOF
		}
		i, exact := slices.BinarySearchFunc(b.parts, at, func(part basePart, at int64) int {
			switch {
			case part.start < at:
				return -1
			case part.start > at:
				return 1
			}
			return 0
		})
		if !exact {
			i--
		}
		part := &b.parts[i]
		n := min(int64(len(p)-done), part.start+part.object.Size-at)
		if err := b.readPart(i, p[done:done+int(n)], at-part.start); err != nil {
			return done, err
		}
		done += int(n)
	}
	return done, nil
}

// readPart reads within one content.
func (b *bases) readPart(i int, p []byte, off int64) error {
	part := &b.parts[i]
	if !part.stored {
		_, err := b.kept.file.ReadAt(p, part.offset+off)
		return err
	}
	if b.open != i {
		b.closeFile()
		f, err := b.from.Open(part.object)
		if err != nil {
			return fmt.Errorf("%w: %w", errBase, err)
		}
		b.open, b.file = i, f
	}
	if n, err := b.file.ReadAt(p, off); n < len(p) {
		return fmt.Errorf("%w: %s ends too early: %v", errBase, part.object, err)
	}
	return nil
}

func (b *bases) closeFile() {
	if b.file != nil {
		b.file.Close()
	}
	b.open, b.file = -1, nil
}

func (b *bases) close() { b.closeFile() }

// doubt has the bases hashed before they are believed again, after something did not
// come out right: they may have decayed.
func (b *bases) doubt(s *store.Store) {
	for _, p := range b.parts {
		for _, o := range []store.Object{p.object, p.object.Twin()} {
			if p.stored && s.Has(o) {
				s.Doubt(o)
			}
		}
	}
}

// scratch keeps contents that only a later hop needs, in one file without a name.
type scratch struct {
	store *store.Store
	limit int64 // bytes

	mu   sync.Mutex
	file *os.File
	end  int64
	at   map[digest.Digest]int64
}

// scratchWriter writes one content into scratch.
type scratchWriter struct {
	to     *scratch
	name   digest.Digest
	offset int64
	done   int64
	hasher digest.Hasher
}

func (s *scratch) create(d digest.Digest, size int64) (*scratchWriter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end > s.limit-size {
		return nil, fmt.Errorf("%w: more on the way than the release justifies", repo.ErrDelta)
	}
	if s.file == nil {
		f, err := s.store.Scratch()
		if err != nil {
			return nil, err
		}
		s.file, s.at = f, map[digest.Digest]int64{}
	}
	w := &scratchWriter{to: s, name: d, offset: s.end}
	s.end += size
	return w, nil
}

func (w *scratchWriter) write(p []byte) error {
	w.hasher.Write(p)
	n, err := w.to.file.WriteAt(p, w.offset+w.done)
	w.done += int64(n)
	return err
}

// commit makes the content available if it is what it should be.
func (w *scratchWriter) commit() bool {
	if w.hasher.Digest() != w.name {
		return false
	}
	w.to.mu.Lock()
	defer w.to.mu.Unlock()
	w.to.at[w.name] = w.offset
	return true
}

func (s *scratch) find(d digest.Digest) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	offset, there := s.at[d]
	return offset, there
}

func (s *scratch) close() {
	if s.file != nil {
		s.file.Close()
	}
}

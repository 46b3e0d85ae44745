package delta

import (
	"context"
	"fmt"
	"io"
	"math"
)

// codecCopy is operations and corrections, in windows; spec/11-delta.md §11.3.
const codecCopy = 2

const (
	// windowSize is how much of the new content has one list of operations, and
	// baseSize how much of the old content they copy from; bytes.
	windowSize = 64 << 20
	baseSize   = 128 << 20
	// leastWindow is the size of the smallest window that is not the last.
	leastWindow = 16 << 20
	// wholeSize is up to where the new content is looked through for executables.
	wholeSize = 256 << 20

	maxOperations = 1 << 18
	maxSegments   = 256
	maxParts      = 1 << 19
)

// window is a part of the new content, and the part of the old that it is made of.
type window struct {
	at, size    int64 // of the new content
	from, bases int64 // of the old content
}

// windows cuts contents; the parts of the old content overlap.
func windows(old, new, most int64) (list []window) {
	for at := int64(0); at < new; at += most {
		w := window{at: at, size: min(most, new-at), bases: min(old, baseSize)}
		if old > baseSize {
			middle := int64(float64(at+w.size/2) / float64(new) * float64(old))
			w.from = min(max(middle-baseSize/2, 0), old-baseSize)
		}
		list = append(list, w)
	}
	return list
}

func encodeCopy(ctx context.Context, old, new *io.SectionReader) ([]byte, error) {
	return encodeWindows(ctx, old, new, windowSize)
}

func encodeWindows(ctx context.Context, old, new *io.SectionReader, most int64) ([]byte, error) {
	e := &copier{ctx: ctx, old: old, new: new, c: newEncoder()}
	if new.Size() <= wholeSize {
		p, err := readAll(new, "new")
		if err != nil {
			return nil, err
		}
		e.images, e.whole = findImages(p), p
	}
	for _, w := range windows(old.Size(), new.Size(), most) {
		if err := e.window(w); err != nil {
			return nil, err
		}
	}
	return append([]byte{codecCopy}, e.c.finish()...), nil
}

// copier encodes windows, one after the other, with one coder.
type copier struct {
	ctx      context.Context
	old, new *io.SectionReader
	c        *coder
	whole    []byte    // the new content, unless it is too large
	images   []segment // of it
	base     []byte    // of the last window
	from     int64     // where that begins
}

func (e *copier) window(w window) error {
	if e.base == nil || e.from != w.from {
		e.base = make([]byte, w.bases)
		if err := readAt(e.old, e.base, w.from); err != nil {
			return fmt.Errorf("reading old content: %w", err)
		}
		e.from = w.from
	}
	n := []byte(nil)
	if e.whole != nil {
		n = e.whole[w.at : w.at+w.size]
	} else {
		n = make([]byte, w.size)
		if err := readAt(e.new, n, w.at); err != nil {
			return fmt.Errorf("reading new content: %w", err)
		}
	}
	olds, news := findImages(e.base), clip(e.images, w.at, w.size)
	ops, err := match(e.ctx, e.base, n)
	if err != nil {
		return err
	}
	var tables map[uint64]bool
	if len(olds) > 0 && len(news) > 0 {
		moves := newMoves(images{segments: olds}, images{segments: news}, ops)
		var to []byte
		to, tables = rewrite(e.base, moves)
		if ops, err = match(e.ctx, to, n); err != nil {
			return err
		}
	}
	codeWindow(e.c, &w)
	m := newMachine(e.ctx, e.c, &history{}, newPages(io.NewSectionReader(e.old, w.from, w.bases), w.bases))
	m.new, m.tables = n, tables
	m.olds.segments, m.news.segments = olds, news
	ops = fewer(ops)
	m.bases = findBases(m, e.base, n, ops)
	return m.run(w, ops)
}

// codeWindow codes which parts of the contents a window is of.
func codeWindow(c *coder, w *window) {
	num := newNumber()
	w.size = int64(num.code(c, uint64(w.size)))
	w.from = int64(num.code(c, uint64(w.from)))
	w.bases = int64(num.code(c, uint64(w.bases)))
}

// fewer leaves out the shortest copies if there are more than a decoder takes.
func fewer(ops []operation) []operation {
	for least := uint32(16); len(ops) > maxOperations; least *= 2 {
		var kept []operation
		literals := uint32(0)
		for _, op := range ops {
			if literals += op.literals; op.length < least {
				literals += op.length
				continue
			}
			kept = append(kept, operation{literals, op.length, op.old})
			literals = 0
		}
		if literals > 0 {
			kept = append(kept, operation{literals, 0, 0})
		}
		ops = kept
	}
	return ops
}

// run codes one window: where executables are, all operations, and then what they
// make, corrected.
func (m *machine) run(w window, ops []operation) error {
	num := newNumber()
	if err := codeSegments(m.c, num, &m.olds.segments, nil, w.bases); err != nil {
		return err
	}
	if err := codeSegments(m.c, num, &m.news.segments, m.olds.segments, w.size); err != nil {
		return err
	}
	if err := codeBases(m.c, &m.bases); err != nil {
		return err
	}
	ops, literals, err := codeOperations(m.c, num, ops, w)
	if err != nil {
		return err
	}
	m.lits.light = literals > heavy
	if m.moves = newMoves(m.olds, m.news, ops); m.moves == nil {
		return fmt.Errorf("%w: copies in too many parts", ErrFormat)
	}
	end := int64(0)
	for i := range ops {
		m.literalRun(ops[i].literals, end)
		m.copy(ops[i].old, int64(ops[i].length))
		end = ops[i].old + int64(ops[i].length)
		if err := m.failed(); err != nil {
			return err
		}
		if i&1023 == 0 && m.ctx.Err() != nil {
			return context.Cause(m.ctx)
		}
	}
	m.h.send()
	return m.failed()
}

// failed gives the first error of what is read and written.
func (m *machine) failed() error {
	switch {
	case m.old.err != nil:
		return fmt.Errorf("reading old content: %w", m.old.err)
	case m.c.err != nil:
		return m.c.err
	}
	return m.h.err
}

// codeOperations codes the list of a window, and counts the bytes that it adds.
func codeOperations(c *coder, num *number, ops []operation, w window) (all []operation, literals int64, err error) {
	count := num.code(c, uint64(len(ops)))
	if count > maxOperations {
		return nil, 0, fmt.Errorf("%w: %d operations in a window", ErrFormat, count)
	}
	list := newOperations()
	left := w.size
	for i := range int(count) {
		if !c.encoding {
			ops = append(ops, operation{})
		}
		op := &ops[i]
		list.code(c, op, w.size-left)
		if c.err != nil {
			return nil, 0, c.err
		}
		if err := checkOperation(op, left, w.bases); err != nil {
			return nil, 0, err
		}
		left -= int64(op.literals) + int64(op.length)
		literals += int64(op.literals)
	}
	if left != 0 {
		return nil, 0, fmt.Errorf("%w: operations leave %d bytes out", ErrFormat, left)
	}
	return ops, literals, nil
}

// codeSegments codes a list of segments, each field as its difference to what the
// segment before and, of the new content, the same one of the old make likely. They
// are in order, apart from each other, and within the content.
func codeSegments(c *coder, num *number, s *[]segment, like []segment, size int64) error {
	n := num.code(c, uint64(len(*s)))
	if n > maxSegments {
		return fmt.Errorf("%w: %d segments", ErrFormat, n)
	}
	var last segment
	for i := range int(n) {
		if !c.encoding {
			*s = append(*s, segment{})
		}
		x := &(*s)[i]
		guess := segment{image: last.image, kind: kindData, offset: last.offset + last.size}
		if i < len(like) {
			guess.image, guess.kind, guess.size = like[i].image, like[i].kind, like[i].size
		}
		x.image = guess.image + int(num.signed(c, int64(x.image-guess.image)))
		x.kind = guess.kind + int(num.signed(c, int64(x.kind-guess.kind)))
		x.offset = guess.offset + num.signed(c, x.offset-guess.offset)
		x.size = guess.size + num.signed(c, x.size-guess.size)
		guess.start = last.start + uint64(x.offset-last.offset)
		x.start = guess.start + uint64(num.signed(c, int64(x.start-guess.start)))
		guess.extent = uint64(x.size)
		if i < len(like) {
			guess.extent += like[i].extent - uint64(like[i].size)
		}
		x.extent = guess.extent + uint64(num.signed(c, int64(x.extent-guess.extent)))
		if !x.fits(last.offset+last.size, size) {
			return fmt.Errorf("%w: a segment outside of its content", ErrFormat)
		}
		last = *x
	}
	return c.err
}

// fits tells whether a segment is one of a content of a size, behind end.
func (s *segment) fits(end, size int64) bool {
	return s.image >= 0 && s.image < maxSegments && s.kind >= kindData && s.kind <= kindARM && s.offset >= end && s.size > 0 &&
		s.offset <= size && s.size <= size-s.offset && s.extent >= uint64(s.size)
}

// codeBases codes where tables are counted from.
func codeBases(c *coder, s *[]base) error {
	num := newNumber()
	n := num.code(c, uint64(len(*s)))
	if n > maxBases {
		return fmt.Errorf("%w: %d bases", ErrFormat, n)
	}
	for i := range int(n) {
		if !c.encoding {
			*s = append(*s, base{})
		}
		x := &(*s)[i]
		x.old = num.code(c, x.old)
		x.new = uint64(num.signed(c, int64(x.new-x.old))) + x.old
	}
	return c.err
}

func decodeCopy(out *output, old *io.SectionReader, in *input) error {
	c := newDecoder(in)
	for out.left > 0 {
		var w window
		codeWindow(c, &w)
		switch {
		case c.err != nil:
			return c.err
		case w.size > min(out.left, math.MaxInt32) || w.size < min(out.left, leastWindow),
			w.from < 0 || w.bases < 0 || w.from > old.Size() || w.bases > min(old.Size()-w.from, math.MaxInt32):
			return fmt.Errorf("%w: a window outside of the contents", ErrFormat)
		}
		m := newMachine(out.ctx, c, &history{w: out}, newPages(io.NewSectionReader(old, w.from, w.bases), w.bases))
		if err := m.run(w, nil); err != nil {
			return err
		}
	}
	return c.err
}

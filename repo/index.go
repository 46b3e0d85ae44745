package repo

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/sealed"
)

// Sizes that the format fixes, in bytes before compression unless said otherwise.
const (
	// FrameSize is the content of a frame: large content is cut at its
	// multiples, and small contents share a frame until it holds so much.
	FrameSize = 1 << 20
	// SharedSize is where a frame that contents share is closed.
	SharedSize = 256 << 10
	// MaxPack is the size of a pack, compressed.
	MaxPack = 64 << 20

	maxFrameStored = FrameSize + FrameSize/64 // a frame that did not compress
	maxPacks       = 1 << 16
	maxFrames      = 1 << 22 // of one release: 4 TiB of large content
	indexMagic     = "larch index 1\n"
)

// ErrIndex is matched by every error about the form of an index.
var ErrIndex = errors.New("not an index of this release")

// Index tells where the contents of one release are: in which frame of which
// pack. It says nothing about what they are, since the tree does, and nothing
// needs to trust it: whatever is read through it is checked by digest.
type Index struct {
	Packs   []Pack
	Frames  []Frame
	Objects []Location // of the tree's distinct contents above 64 bytes, in the order in which they first appear
}

// Pack is one file of frames.
type Pack struct {
	Digest digest.Digest
	Size   int64 // bytes
}

// Frame is one Zstandard frame in a pack.
type Frame struct {
	Pack   int32 // number in Packs
	Length int32 // bytes in the pack
	Raw    int32 // bytes before compression, at most FrameSize
	Offset int64 // in the pack
}

// End is where the frame ends in its pack.
func (f Frame) End() int64 { return f.Offset + int64(f.Length) }

// Location is where a content begins. Content that is longer than what is left of
// its frame fills the following frames, all but the last to FrameSize.
type Location struct {
	Frame  int32
	Offset int32 // in the frame, before compression
}

// Encode writes the index in columns; spec/5-repository.md §4.
func (ix *Index) Encode(w io.Writer) error {
	out := columns{w: bufio.NewWriter(w)}
	out.text(indexMagic)
	out.number(uint64(len(ix.Packs)))
	out.number(uint64(len(ix.Frames)))
	out.number(uint64(len(ix.Objects)))
	out.index(ix)
	if out.err != nil {
		return out.err
	}
	return out.w.Flush()
}

// columns writes numbers as varints and keeps the first error.
type columns struct {
	w   *bufio.Writer
	buf [binary.MaxVarintLen64]byte
	err error
}

func (c *columns) text(s string) {
	if c.err == nil {
		_, c.err = c.w.WriteString(s)
	}
}

func (c *columns) number(n uint64) { c.text(string(c.buf[:binary.PutUvarint(c.buf[:], n)])) }

func (c *columns) signed(n int64) { c.text(string(c.buf[:binary.PutVarint(c.buf[:], n)])) }

// index writes all columns of an index.
func (c *columns) index(ix *Index) {
	for _, p := range ix.Packs {
		c.text(string(p.Digest[:]))
	}
	for _, p := range ix.Packs {
		c.number(uint64(p.Size))
	}
	c.frames(ix.Frames)
	c.objects(ix.Objects)
}

// frames writes a column each for pack, offset, length and raw size. A frame that
// follows its predecessor costs a zero in the first two.
func (c *columns) frames(frames []Frame) {
	last := Frame{}
	for _, f := range frames {
		c.signed(int64(f.Pack) - int64(last.Pack))
		last = f
	}
	last = Frame{}
	for _, f := range frames {
		c.signed(f.Offset - expectedOffset(f, last))
		last = f
	}
	for _, f := range frames {
		c.number(uint64(f.Length))
	}
	for _, f := range frames {
		c.number(uint64(f.Raw))
	}
}

func expectedOffset(f, last Frame) int64 {
	if f.Pack != last.Pack {
		return 0
	}
	return last.End()
}

func (c *columns) objects(objects []Location) {
	last := Location{}
	for _, o := range objects {
		c.signed(int64(o.Frame) - int64(last.Frame))
		last = o
	}
	last = Location{}
	for _, o := range objects {
		c.signed(int64(o.Offset) - int64(expectedStart(o, last)))
		last = o
	}
}

func expectedStart(o, last Location) int32 {
	if o.Frame != last.Frame {
		return 0
	}
	return last.Offset
}

// ReadIndex reads the index of a release with at most so many distinct contents and
// frames; the caller checks that the tree has just as many as Objects. Input untrusted:
// memory is bounded by these; numbers that do not fit together, and anything
// behind the end, are errors that match ErrIndex.
func ReadIndex(r io.Reader, limit, frames int64) (*Index, error) {
	in := columnReader{r: bufio.NewReader(r)}
	ix, err := in.index(limit, min(frames, maxFrames))
	if err != nil && !errors.Is(err, ErrIndex) {
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			err = fmt.Errorf("%w: it ends too early", ErrIndex)
		case errors.Is(err, sealed.ErrBroken):
			err = fmt.Errorf("%w: %w", ErrIndex, err)
		}
		return nil, fmt.Errorf("reading the index: %w", err)
	}
	return ix, err
}

// ReadSealedIndex is ReadIndex for the form in which an index is published, of a
// tree with so many files and installed bytes.
func ReadSealedIndex(r io.Reader, files, bytes int64) (*Index, error) {
	doc, err := sealed.NewReader(r, MaxIndexSize(files, bytes))
	if err != nil {
		return nil, err
	}
	defer doc.Close()
	return ReadIndex(doc, files, framesOf(files, bytes))
}

// framesOf bounds the frames of a release with so many files and installed bytes.
func framesOf(files, bytes int64) int64 { return min(files+bytes/FrameSize+1, maxFrames) }

// MaxIndexSize bounds the index of a release with so many files and installed
// bytes, in bytes before compression.
func MaxIndexSize(files, bytes int64) int64 {
	frames := framesOf(files, bytes)
	return 1<<20 + 10*files + 25*frames + maxPacks*(digest.Size+5)
}

// columnReader reads what columns wrote; the first error stays.
type columnReader struct {
	r   *bufio.Reader
	err error
}

func (c *columnReader) number(limit int64) int64 {
	if c.err != nil {
		return 0
	}
	n, err := readUvarint(c.r)
	if err != nil {
		c.err = err
	} else if n > uint64(limit) {
		c.err = fmt.Errorf("%w: %d where at most %d can be", ErrIndex, n, limit)
	}
	if c.err != nil {
		return 0
	}
	return int64(n)
}

// step reads a difference and adds it to base; the sum is 0 to limit.
func (c *columnReader) step(base, limit int64) int64 {
	if c.err != nil {
		return 0
	}
	n, err := readVarint(c.r)
	if err != nil {
		c.err = err
		return 0
	}
	if n > math.MaxInt64/2 || n < math.MinInt64/2 || base+n < 0 || base+n > limit {
		c.err = fmt.Errorf("%w: %d%+d where 0 to %d can be", ErrIndex, base, n, limit)
		return 0
	}
	return base + n
}

func (c *columnReader) index(limit, maxFrames int64) (*Index, error) {
	magic := make([]byte, len(indexMagic))
	if _, err := io.ReadFull(c.r, magic); err != nil {
		return nil, err
	}
	if string(magic) != indexMagic {
		return nil, fmt.Errorf("%w: it begins with %.40q", ErrIndex, magic)
	}
	packs := c.number(maxPacks)
	frames := c.number(maxFrames)
	objects := c.number(min(limit, math.MaxInt32))
	ix := &Index{}
	c.tables(ix, packs, frames, objects)
	if c.err != nil {
		return nil, c.err
	}
	if _, err := c.r.ReadByte(); err != io.EOF {
		if err == nil {
			err = fmt.Errorf("%w: something follows its end", ErrIndex)
		}
		return nil, err
	}
	return ix, nil
}

// tables reads all columns of an index.
func (c *columnReader) tables(ix *Index, packs, frames, objects int64) {
	c.packs(ix, packs)
	c.frames(ix, frames)
	c.objects(ix, objects)
}

func (c *columnReader) packs(ix *Index, n int64) {
	for i := int64(0); i < n && c.err == nil; i++ {
		var p Pack
		_, c.err = io.ReadFull(c.r, p.Digest[:])
		ix.Packs = append(ix.Packs, p)
	}
	for i := range ix.Packs {
		ix.Packs[i].Size = c.number(math.MaxInt64 / 2)
	}
}

func (c *columnReader) frames(ix *Index, n int64) {
	pack := int64(0)
	for i := int64(0); i < n && c.err == nil; i++ {
		pack = c.step(pack, int64(len(ix.Packs))-1)
		ix.Frames = append(ix.Frames, Frame{Pack: int32(pack)})
	}
	// A frame's offset is relative to the end of the one before it, and lengths
	// come later: differences are kept first and summed up when both are known.
	steps := make([]int64, len(ix.Frames))
	for i := range steps {
		if c.err == nil {
			steps[i], c.err = readVarint(c.r)
		}
	}
	for i := range ix.Frames {
		ix.Frames[i].Length = int32(c.number(maxFrameStored))
	}
	for i := range ix.Frames {
		ix.Frames[i].Raw = int32(c.number(FrameSize))
	}
	last := Frame{}
	for i := range ix.Frames {
		if c.err == nil {
			last, c.err = place(ix.Frames[i], last, steps[i], ix.Packs)
			ix.Frames[i] = last
		}
	}
}

// place gives a frame its offset, and refuses one that is not within its pack.
func place(f, last Frame, step int64, packs []Pack) (Frame, error) {
	base := expectedOffset(f, last)
	f.Offset = base + step
	switch {
	case f.Length == 0 || f.Raw == 0:
		return f, fmt.Errorf("%w: an empty frame", ErrIndex)
	case (step > 0) == (f.Offset < base) && step != 0, f.Offset < 0, f.End() > packs[f.Pack].Size || f.End() < 0:
		return f, fmt.Errorf("%w: a frame outside of its pack", ErrIndex)
	}
	return f, nil
}

func (c *columnReader) objects(ix *Index, n int64) {
	frame := int64(0)
	for i := int64(0); i < n && c.err == nil; i++ {
		frame = c.step(frame, int64(len(ix.Frames))-1)
		ix.Objects = append(ix.Objects, Location{Frame: int32(frame)})
	}
	last := Location{}
	for i := range ix.Objects {
		o := &ix.Objects[i]
		o.Offset = int32(c.step(int64(expectedStart(*o, last)), FrameSize-1))
		last = *o
	}
}

// Span gives the frames of a content of size bytes at loc: the numbers of the
// first and the one behind the last. It is an error if they do not hold it.
func (ix *Index) Span(loc Location, size int64) (first, end int32, err error) {
	end = loc.Frame
	for left := size + int64(loc.Offset); left > 0; end++ {
		if int(end) >= len(ix.Frames) {
			return 0, 0, fmt.Errorf("%w: content beyond the last frame", ErrIndex)
		}
		raw := int64(ix.Frames[end].Raw)
		if left > raw && raw != FrameSize {
			return 0, 0, fmt.Errorf("%w: content beyond the end of its frame", ErrIndex)
		}
		left -= raw
	}
	if end > loc.Frame+1 && loc.Offset != 0 {
		return 0, 0, fmt.Errorf("%w: content of several frames that does not begin with one", ErrIndex)
	}
	return loc.Frame, end, nil
}

// Cost is what a content takes in packs, in bytes; of a frame that several share,
// its part.
func (ix *Index) Cost(at Location, size int64) (bytes int64) {
	for n, left := at.Frame, size; left > 0 && int(n) < len(ix.Frames); n++ {
		f := ix.Frames[n]
		part := min(left, int64(f.Raw))
		bytes += (int64(f.Length)*part + int64(f.Raw) - 1) / int64(f.Raw)
		left -= part
	}
	return bytes
}

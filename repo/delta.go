package repo

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/bounded"
)

// Limits of deltas; spec/5-repository.md §5.6.
const (
	// StreamWindow is the window of the streams that need no base, in bytes: the
	// memory that reading one takes.
	StreamWindow = 32 << 20
	// MaxGroup is how many contents a group makes, and how many it needs.
	MaxGroup = 1 << 22

	maxGroups  = 1 << 22
	deltaMagic = "larch delta 1\n"
	planWindow = 8 << 20
)

// ErrDelta is matched by every error about the form of a delta.
var ErrDelta = errors.New("not a delta")

// Delta is the plan of one file deltas/TO/FROM: what leads from the contents of one
// release to those of another. Contents are numbered as they first appear in the
// tree, those of up to 64 bytes left out: what they are, the trees say. Nothing
// needs to trust it: whatever is made by it is checked by digest.
type Delta struct {
	Tree   digest.Digest // of the text of the tree that it leads to
	Size   int64         // of that text, bytes
	Groups []Group       // in the order of the file
	Index  *Index        // where contents that only the new tree has are in packs, in their order

	Head  int64 // bytes of the file before the first group: plan, and the frame of the tree
	tree  int64 // bytes of the frame of the tree, the last of them
	plain int64 // bytes of the plan before compression
}

// Group is contents that are made together, by one frame.
type Group struct {
	Bases  []int32 // contents of the old tree, whose bytes one behind the other are the base
	News   []int32 // contents of the new tree, which come out one behind the other
	Offset int64   // of the frame in the file
	Length int64   // of the frame, bytes
}

// End is where the frame ends in its file.
func (g *Group) End() int64 { return g.Offset + g.Length }

// End is the length of the file.
func (d *Delta) End() int64 {
	if len(d.Groups) == 0 {
		return d.Head
	}
	return d.Groups[len(d.Groups)-1].End()
}

// encode gives what stands before the frames. It fills in Head and the offsets.
func (d *Delta) encode() ([]byte, error) {
	var plain, text bytes.Buffer
	if err := d.encodePlan(&plain); err != nil {
		return nil, err
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithWindowSize(planWindow), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, err
	}
	packed := w.EncodeAll(plain.Bytes(), nil)
	text.WriteString(deltaMagic)
	text.Write(binary.AppendUvarint(nil, uint64(len(packed))))
	text.Write(packed)
	d.place(int64(text.Len()))
	return text.Bytes(), nil
}

// place fills in where the frames are, behind a plan of this length.
func (d *Delta) place(plan int64) {
	d.Head = plan + d.tree
	at := d.Head
	for i := range d.Groups {
		d.Groups[i].Offset = at
		at += d.Groups[i].Length
	}
}

// encodePlan writes the plan in columns.
func (d *Delta) encodePlan(w io.Writer) error {
	out := columns{w: bufio.NewWriter(w)}
	out.text(string(d.Tree[:]))
	out.number(uint64(d.Size))
	out.number(uint64(d.tree))
	out.number(uint64(len(d.Groups)))
	for _, g := range d.Groups {
		out.number(uint64(g.Length))
	}
	out.lists(d.Groups, func(g *Group) []int32 { return g.Bases })
	out.lists(d.Groups, func(g *Group) []int32 { return g.News })
	out.number(uint64(len(d.Index.Packs)))
	out.number(uint64(len(d.Index.Frames)))
	out.number(uint64(len(d.Index.Objects)))
	out.index(d.Index)
	if out.err != nil {
		return out.err
	}
	return out.w.Flush()
}

// lists writes one list of each group: how long they are, then the numbers, as
// differences to the one behind the number before.
func (c *columns) lists(groups []Group, of func(*Group) []int32) {
	for i := range groups {
		c.number(uint64(len(of(&groups[i]))))
	}
	next := int64(0)
	for i := range groups {
		for _, n := range of(&groups[i]) {
			c.signed(int64(n) - next)
			next = int64(n) + 1
		}
	}
}

// ReadDelta reads the plan of a delta, and leaves r behind it: at the frame of the
// tree. Input untrusted: it has at most limit bytes before compression, and takes
// some times as much.
func ReadDelta(r *bufio.Reader, limit int64) (*Delta, error) {
	d, err := readDelta(r, limit)
	if err != nil && !errors.Is(err, ErrDelta) {
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			err = fmt.Errorf("%w: it ends too early", ErrDelta)
		case errors.Is(err, ErrIndex), errors.Is(err, bounded.ErrTooLarge):
			err = fmt.Errorf("%w: %v", ErrDelta, err)
		}
	}
	return d, err
}

func readDelta(r *bufio.Reader, limit int64) (*Delta, error) {
	magic := make([]byte, len(deltaMagic))
	if _, err := io.ReadFull(r, magic); err != nil {
		return nil, err
	}
	if string(magic) != deltaMagic {
		return nil, fmt.Errorf("%w: it begins with %.40q", ErrDelta, magic)
	}
	length, err := readUvarint(r)
	if err != nil {
		return nil, err
	}
	if length > uint64(limit) {
		return nil, fmt.Errorf("%w: a plan of %d bytes, limit %d", ErrDelta, length, limit)
	}
	packed, err := bounded.ReadAll(io.LimitReader(r, int64(length)), limit)
	if err != nil {
		return nil, err
	}
	if len(packed) < int(length) {
		return nil, io.ErrUnexpectedEOF
	}
	plain, err := unpackPlan(packed, limit)
	if err != nil {
		return nil, err
	}
	in := columnReader{r: bufio.NewReader(bytes.NewReader(plain))}
	d := in.delta(min(maxGroups, limit/planFile))
	if in.err != nil {
		return nil, in.err
	}
	if _, err := in.r.ReadByte(); err != io.EOF {
		return nil, fmt.Errorf("%w: something follows the plan", ErrDelta)
	}
	d.plain = int64(len(plain))
	d.place(int64(len(deltaMagic)+len(binary.AppendUvarint(nil, length))) + int64(length))
	return d, nil
}

func unpackPlan(packed []byte, limit int64) ([]byte, error) {
	z, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(planWindow))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	plain, err := bounded.ReadAll(z, limit)
	if err != nil && !errors.Is(err, bounded.ErrTooLarge) {
		err = fmt.Errorf("%w: %v", ErrDelta, err)
	}
	return plain, err
}

func (c *columnReader) delta(maxGroups int64) *Delta {
	d := &Delta{Index: &Index{}}
	if c.err == nil {
		_, c.err = io.ReadFull(c.r, d.Tree[:])
	}
	d.Size = c.number(maxDelta)
	d.tree = c.number(maxDelta)
	groups := c.number(maxGroups)
	total := d.tree
	for i := int64(0); i < groups && c.err == nil; i++ {
		length := c.number(maxDelta)
		if total += length; total > maxDelta || length == 0 {
			c.fail(fmt.Errorf("%w: a frame of %d bytes", ErrDelta, length))
		}
		d.Groups = append(d.Groups, Group{Length: length})
	}
	c.lists(d.Groups, func(g *Group) *[]int32 { return &g.Bases })
	c.lists(d.Groups, func(g *Group) *[]int32 { return &g.News })
	packs, frames := c.number(maxPacks), c.number(maxFrames)
	objects := c.number(math.MaxInt32)
	c.tables(d.Index, packs, frames, objects)
	return d
}

// lists reads one list of each group. Each number was a byte at least, so what this
// takes is bounded by what was read.
func (c *columnReader) lists(groups []Group, of func(*Group) *[]int32) {
	counts := make([]int64, len(groups))
	for i := range counts {
		counts[i] = c.number(MaxGroup)
	}
	next := int64(0)
	for i := range groups {
		for range counts[i] {
			if c.err != nil {
				return
			}
			n := c.step(next, math.MaxInt32-1)
			*of(&groups[i]) = append(*of(&groups[i]), int32(n))
			next = n + 1
		}
	}
}

// fail keeps the first error.
func (c *columnReader) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// PlanSize is what was read of a plan, in bytes before compression.
func (d *Delta) PlanSize() int64 { return d.plain }

// TreeFrame is how many bytes of Head are the frame that makes the tree's text.
func (d *Delta) TreeFrame() int64 { return d.tree }

// planFile is what a plan may have for a file, in bytes: numbers of a content, of a
// base, and of a group.
const planFile = 32

// MaxDeltaPlan bounds the plan of a delta to a release with so many files and
// installed bytes, before compression: it has numbers of contents that the release
// has, and of as many bases again, and something for the release before.
func MaxDeltaPlan(files, bytes int64) int64 {
	return MaxIndexSize(files, bytes) + 1<<20 + planFile*files
}

// DeltaName is where the delta is that leads to a release from another one; the
// zero digest stands for nothing: a fresh install.
func DeltaName(to, from digest.Digest) string {
	name := "empty"
	if !from.IsZero() {
		name = from.String()
	}
	return deltaFolder(to) + "/" + name
}

func deltaFolder(to digest.Digest) string { return deltasFolder + "/" + to.String() }

const deltasFolder = "deltas"

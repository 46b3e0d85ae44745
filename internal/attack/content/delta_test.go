package content

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/larch-project/larch/delta"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/repo"
)

// rawDelta is a delta with every number of its plan free; spec/5-repository.md §5.6.
type rawDelta struct {
	tree     digest.Digest
	size     int64
	frame    []byte // that makes the tree
	length   int64  // that the plan says the frame has; 0 is its length
	groups   []rawGroup
	index    *repo.Index
	columns  func([]byte) []byte // changes the plan before compression
	packed   func([]byte) []byte // changes the plan as it stands in the file
	file     func([]byte) []byte // changes the whole file
	declared func(*repo.Edge)    // changes what the list says of it
	only     bool                // there is neither tree nor index beside it
}

// rawGroup is a group; counts say how many numbers there are if they are not -1.
type rawGroup struct {
	bases, news []int64
	frame       []byte
	length      int64 // that the plan says; 0 is the frame's
}

const zeroWindow = 8 << 20

// encode gives the file, and the bytes before its first group.
func (d *rawDelta) encode(t testing.TB) (data []byte, head int64) {
	t.Helper()
	plan := d.plan(t)
	if d.columns != nil {
		plan = d.columns(plan)
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zeroWindow), zstd.WithEncoderCRC(true))
	if err != nil {
		t.Fatal(err)
	}
	packed := w.EncodeAll(plan, nil)
	if d.packed != nil {
		packed = d.packed(packed)
	}
	data = append([]byte("larch delta 1\n"), binary.AppendUvarint(nil, uint64(len(packed)))...)
	data = append(append(data, packed...), d.frame...)
	head = int64(len(data))
	for _, g := range d.groups {
		data = append(data, g.frame...)
	}
	if d.file != nil {
		data = d.file(data)
	}
	return data, head
}

// plan gives the columns.
func (d *rawDelta) plan(t testing.TB) []byte {
	length := func(given int64, frame []byte) uint64 {
		if given != 0 {
			return uint64(given)
		}
		return uint64(len(frame))
	}
	b := bytes.Clone(d.tree[:])
	b = binary.AppendUvarint(b, uint64(d.size))
	b = binary.AppendUvarint(b, length(d.length, d.frame))
	b = binary.AppendUvarint(b, uint64(len(d.groups)))
	for _, g := range d.groups {
		b = binary.AppendUvarint(b, length(g.length, g.frame))
	}
	b = appendLists(b, d.groups, func(g rawGroup) []int64 { return g.bases })
	b = appendLists(b, d.groups, func(g rawGroup) []int64 { return g.news })
	return append(b, encodeIndex(t, d.index)[len("larch index 1\n"):]...)
}

func appendLists(b []byte, groups []rawGroup, of func(rawGroup) []int64) []byte {
	for _, g := range groups {
		b = binary.AppendUvarint(b, uint64(len(of(g))))
	}
	next := int64(0)
	for _, g := range groups {
		for _, n := range of(g) {
			b = binary.AppendVarint(b, n-next)
			next = n + 1
		}
	}
	return b
}

// stream compresses what needs no base.
func stream(p []byte) []byte { return encoder.EncodeAll(p, nil) }

// patch makes one content out of another.
func patch(t testing.TB, old, new []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := delta.Encode(t.Context(), &b, section(old), section(new)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func section(p []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(p), 0, int64(len(p)))
}

// writeDelta writes the delta by which a lie comes, if that is its road: from the
// first release, or from nothing with the list that leads to it.
func (p *publisher) writeDelta(t testing.TB, l *lie, made *told, by road, ix *repo.Index) {
	t.Helper()
	if by == byFiles {
		return
	}
	d := &rawDelta{tree: made.tree.Digest, size: made.tree.Size, frame: stream(l.text), index: ix}
	var from digest.Digest
	if by == byDelta {
		from = p.first.Release
		d.frame = patch(t, p.old, l.text)
		d.index = p.newTo(l, ix)
	}
	if l.delta != nil {
		l.delta(d)
	}
	data, head := d.encode(t)
	p.write(t, repo.DeltaName(made.release, from), data)
	edge := repo.Edge{From: from, To: made.release, Head: head, Size: int64(len(data))}
	if d.declared != nil {
		d.declared(&edge)
	}
	list, err := repo.EncodeDeltaMap([]repo.Edge{edge})
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, repo.DeltaMapName(made.release), list)
	if d.only {
		p.remove(t, repo.TreeName(made.tree.Digest), repo.IndexName(made.release))
	}
}

// newTo gives the index of those contents of a lie that the first release has not.
func (p *publisher) newTo(l *lie, ix *repo.Index) *repo.Index {
	old := map[string]bool{}
	for _, data := range p.contentsOf(p.old) {
		old[string(data)] = true
	}
	part := &repo.Index{Packs: ix.Packs, Frames: ix.Frames}
	contents := l.contents
	if contents == nil {
		contents = p.contentsOf(l.text)
	}
	for i, data := range contents {
		if i < len(ix.Objects) && !old[string(data)] {
			part.Objects = append(part.Objects, ix.Objects[i])
		}
	}
	return part
}

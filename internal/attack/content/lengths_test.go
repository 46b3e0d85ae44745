package content

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math"
	"runtime"
	"testing"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/repo"
)

// boundaries are what lengths and counts are replaced with.
var boundaries = []uint64{0, 1, 2, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<62 + 1, math.MaxInt64, 1 << 63, math.MaxUint64 - 1, math.MaxUint64}

// allocated gives the bytes that a call allocates.
func allocated(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestLengths puts boundary values into every number of the binary documents, and into
// pairs of them, so that sums wrap.
func TestLengths(t *testing.T) {
	d := digest.Of([]byte("pack"))
	index := numbers{"larch index 1\n", []any{uint64(1), uint64(1), uint64(1), d, uint64(1000), int64(0), int64(10), uint64(500), uint64(600), int64(0), int64(100)}}
	list := numbers{"larch deltas 1\n", []any{uint64(2), uint64(1), digest.Digest{}, d, uint64(1), uint64(0), uint64(100), uint64(1000)}}
	plan := numbers{"", append([]any{d, uint64(1000), uint64(10), uint64(1), uint64(10), uint64(1), int64(0), uint64(1), int64(0)}, index.fields...)}
	readers := map[string]struct {
		numbers numbers
		read    func([]byte) error
		want    error
	}{
		"index": {index, func(b []byte) error { _, err := repo.ReadIndex(bytes.NewReader(b), 10, 10); return err }, repo.ErrIndex},
		"list":  {list, func(b []byte) error { _, err := repo.ReadDeltaMap(bytes.NewReader(seal(t, b))); return err }, repo.ErrDelta},
		"plan": {plan, func(b []byte) error {
			raw := rawDelta{index: &repo.Index{}, columns: func([]byte) []byte { return b }}
			data, _ := raw.encode(t)
			_, err := repo.ReadDelta(bufio.NewReader(bytes.NewReader(data)), 1<<20)
			return err
		}, repo.ErrDelta},
	}
	try := func(t *testing.T, what string, b []byte, read func([]byte) error, want error) {
		var err error
		if n := allocated(func() { err = read(b) }); n > 48<<20 {
			t.Errorf("%s: %d bytes allocated for %d", what, n, len(b))
		}
		if err != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	t.Run("E-03 counts and lengths that no memory holds", func(t *testing.T) {
		for what, r := range readers {
			if err := r.read(r.numbers.bytes(nil)); err != nil {
				t.Fatalf("%s: the good one: %v", what, err)
			}
			for i := range r.numbers.fields {
				for _, v := range boundaries {
					try(t, fmt.Sprintf("%s, field %d = %d", what, i, v), r.numbers.bytes(map[int]uint64{i: v}), r.read, r.want)
				}
			}
		}
	})
	t.Run("E-04 sums that wrap, at 32 and 64 bits", func(t *testing.T) {
		large := []uint64{1<<31 - 1, 1 << 31, 1<<32 - 1, 1<<62 - 1, math.MaxInt64, math.MaxUint64}
		for what, r := range readers {
			for i := range r.numbers.fields {
				for k := range i {
					for _, v := range large {
						try(t, fmt.Sprintf("%s, fields %d and %d = %d", what, k, i, v), r.numbers.bytes(map[int]uint64{i: v, k: v}), r.read, r.want)
					}
				}
			}
		}
	})
	t.Run("E-06 numbers of ten bytes and more, or more than they need", func(t *testing.T) {
		for what, r := range readers {
			for i := range r.numbers.fields {
				for form, bad := range map[string][]byte{"eleven bytes": append(bytes.Repeat([]byte{0x80}, 10), 1), "65 bits": append(bytes.Repeat([]byte{0xff}, 9), 2), "without end": bytes.Repeat([]byte{0xff}, 64), "a zero more": nil} {
					b, ok := r.numbers.spelled(i, bad)
					if err := r.read(b); ok && !errors.Is(err, r.want) {
						t.Errorf("%s, field %d of %s: %v", what, i, form, err)
					}
				}
			}
		}
	})
	t.Run("E-05 lengths that are said twice and differ", func(t *testing.T) {
		w := newWorld(t)
		good := application(file("/files/a", program("2")["files/share/same"]), file("/files/b", noise(9, 5000)))
		w.p.keep([]byte(noise(9, 5000)))
		w.refuse(t, "a pack's in the index, too short", &lie{text: good, index: func(ix *repo.Index) { ix.Packs[0].Size -= 10 }}, []error{anyOf{repo.ErrIndex, repo.ErrDelta}}, byFiles)
		w.accept(t, "a pack's in the index, too long", &lie{text: good, index: func(ix *repo.Index) { ix.Packs[0].Size += 10 }})
		w.refuse(t, "a frame's", &lie{text: good, index: func(ix *repo.Index) { ix.Frames[len(ix.Frames)-1].Length -= 8 }}, []error{digest.ErrMismatch})
		w.refuse(t, "a content's", &lie{text: good, index: func(ix *repo.Index) { ix.Frames[len(ix.Frames)-1].Raw++ }}, []error{anyOf{digest.ErrMismatch, repo.ErrIndex}})
		w.accept(t, "a delta's in the list", &lie{text: good, delta: func(d *rawDelta) { d.declared = func(e *repo.Edge) { e.Size *= 10 } }}, byStream)
		w.falls(t, "a delta's plan", &lie{text: good, delta: func(d *rawDelta) { d.length = int64(len(d.frame)) + 1 }}, byDelta, byStream)
		w.falls(t, "the tree's size in a delta", &lie{text: good, delta: func(d *rawDelta) { d.size++ }}, byDelta, byStream)
		w.heal(t)
	})
}

// numbers is a binary document with its fields apart: uint64 and int64 are varints,
// digests are themselves.
type numbers struct {
	magic  string
	fields []any
}

// bytes writes it, with some fields replaced.
func (n numbers) bytes(with map[int]uint64) []byte {
	b := []byte(n.magic)
	for i := range n.fields {
		v, replaced := with[i]
		b = n.append(b, i, v, replaced)
	}
	return b
}

func (n numbers) append(b []byte, i int, v uint64, replaced bool) []byte {
	switch f := n.fields[i].(type) {
	case digest.Digest:
		return append(b, f[:]...)
	case uint64:
		if !replaced {
			v = f
		}
		return appendUvarint(b, v)
	case int64:
		if !replaced {
			return appendUvarint(b, uint64(f)<<1^uint64(f>>63))
		}
		return appendUvarint(b, v) // whatever it means
	}
	panic("no field")
}

// spelled writes one number in other bytes; nil is a byte more than it needs.
func (n numbers) spelled(at int, as []byte) (b []byte, ok bool) {
	b = []byte(n.magic)
	for i, f := range n.fields {
		_, digest := f.(digest.Digest)
		if i != at || digest {
			b = n.append(b, i, 0, false)
			continue
		}
		ok = true
		if as != nil {
			b = append(b, as...)
			continue
		}
		b = n.append(b, i, 0, false)
		b[len(b)-1] |= 0x80
		b = append(b, 0)
	}
	return b, ok
}

func appendUvarint(b []byte, v uint64) []byte {
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

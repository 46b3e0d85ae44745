package repo

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/digest"
)

// sampleIndex has shared frames, a large content over three frames, two packs and
// a gap between frames.
func sampleIndex() *Index {
	return &Index{
		Packs: []Pack{{digest.Of([]byte("a")), 5000}, {digest.Of([]byte("b")), 3 << 20}},
		Frames: []Frame{
			{Pack: 0, Offset: 0, Length: 1000, Raw: 4000},
			{Pack: 1, Offset: 10, Length: 1 << 20, Raw: FrameSize},
			{Pack: 1, Offset: 10 + 1<<20, Length: 1 << 19, Raw: FrameSize},
			{Pack: 1, Offset: 10 + 1<<20 + 1<<19, Length: 7, Raw: 500},
			{Pack: 0, Offset: 2000, Length: 3000, Raw: 9000},
		},
		Objects: []Location{{0, 0}, {0, 100}, {1, 0}, {4, 8000}, {4, 0}, {0, 3000}},
	}
}

func encodeIndex(t *testing.T, ix *Index) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := ix.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestIndexRoundTrip(t *testing.T) {
	for name, want := range map[string]*Index{"sample": sampleIndex(), "empty": {}} {
		have, err := ReadIndex(bytes.NewReader(encodeIndex(t, want)), 100, 1000)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(want, have); diff != "" && name != "empty" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestIndexDamage(t *testing.T) {
	doc := encodeIndex(t, sampleIndex())
	for n := range doc {
		if _, err := ReadIndex(bytes.NewReader(doc[:n]), 100, 1000); !errors.Is(err, ErrIndex) {
			t.Errorf("cut to %d bytes: error %v", n, err)
		}
	}
	if _, err := ReadIndex(bytes.NewReader(append(bytes.Clone(doc), 0)), 100, 1000); !errors.Is(err, ErrIndex) {
		t.Errorf("a byte more: error %v", err)
	}
	if _, err := ReadIndex(bytes.NewReader(doc), 5, 1000); !errors.Is(err, ErrIndex) {
		t.Errorf("more contents than the tree can have: error %v", err)
	}
	for i := range 8 * len(doc) {
		bad := bytes.Clone(doc)
		bad[i/8] ^= 1 << (i % 8)
		ix, err := ReadIndex(bytes.NewReader(bad), 100, 1000)
		if err != nil {
			continue
		}
		checkWithin(t, ix)
	}
}

// checkWithin tells whether all of an accepted index lies within what it names.
func checkWithin(t *testing.T, ix *Index) {
	t.Helper()
	for _, f := range ix.Frames {
		if f.Offset < 0 || f.Length <= 0 || f.End() > ix.Packs[f.Pack].Size || f.Raw <= 0 || f.Raw > FrameSize {
			t.Errorf("accepted a frame %+v", f)
		}
	}
	for _, o := range ix.Objects {
		if int(o.Frame) >= len(ix.Frames) || o.Frame < 0 || o.Offset < 0 || o.Offset >= FrameSize {
			t.Errorf("accepted a location %+v", o)
		}
	}
}

func FuzzReadIndex(f *testing.F) {
	var b bytes.Buffer
	sampleIndex().Encode(&b)
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, doc []byte) {
		ix, err := ReadIndex(bytes.NewReader(doc), 1000, 1000)
		if err != nil {
			return
		}
		checkWithin(t, ix)
		again, err := ReadIndex(bytes.NewReader(encodeIndex(t, ix)), 1000, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(ix, again); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSpan(t *testing.T) {
	ix := sampleIndex()
	for _, c := range []struct {
		at         Location
		size       int64
		first, end int32
		ok         bool
	}{
		{Location{0, 100}, 3900, 0, 1, true},
		{Location{0, 100}, 3901, 0, 0, false},
		{Location{1, 0}, 2*FrameSize + 500, 1, 4, true},
		{Location{1, 0}, 2*FrameSize + 501, 0, 0, false},
		{Location{1, 5}, 2 * FrameSize, 0, 0, false},
		{Location{4, 0}, 9001, 0, 0, false},
	} {
		first, end, err := ix.Span(c.at, c.size)
		if (err == nil) != c.ok || first != c.first || end != c.end {
			t.Errorf("Span(%v, %d) = %d, %d, %v", c.at, c.size, first, end, err)
		}
	}
}

func TestChoosePacks(t *testing.T) {
	pack := func(size, touched, useful int64) packUsage { return packUsage{size, touched, touched, useful} }
	for _, c := range []struct {
		name string
		in   packUsages
		want []bool
	}{
		{"one", packUsages{pack(1<<20, 10, 10)}, []bool{false}},
		{"a progression", packUsages{pack(1<<20, 1, 1), pack(3<<20, 1, 1), pack(9<<20, 1, 1)}, []bool{false, false, false}},
		{"three alike", packUsages{pack(1<<20, 1, 1), pack(1<<20, 1, 1), pack(1<<20, 1, 1)}, []bool{true, true, true}},
		{"small ones below a large one", packUsages{pack(30<<20, 1, 1), pack(1<<20, 1, 1), pack(1<<20, 1, 1)}, []bool{false, true, true}},
		{"full ones stay", packUsages{pack(60<<20, 1, 1), pack(60<<20, 1, 1)}, []bool{false, false}},
		{"half dead", packUsages{pack(60<<20, 100, 40), pack(60<<20, 100, 60)}, []bool{true, false}},
	} {
		if diff := cmp.Diff(c.want, choosePacks(c.in)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestPlaceRefusesWhatIsOutside(t *testing.T) {
	packs := []Pack{{Size: 100}}
	for range 1000 {
		f := Frame{Length: int32(rand.IntN(120)), Raw: 1}
		step := rand.Int64() - rand.Int64()
		if placed, err := place(f, Frame{Offset: 50, Length: 10}, step, packs); err == nil && (placed.Offset < 0 || placed.End() > 100) {
			t.Errorf("step %d, length %d: placed at %d", step, f.Length, placed.Offset)
		}
	}
}

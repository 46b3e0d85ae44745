package delta

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

func section(p []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(p), 0, int64(len(p)))
}

func encode(t testing.TB, old, new []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Encode(context.Background(), &b, section(old), section(new)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func apply(old, patch []byte, size int64) ([]byte, error) {
	var b bytes.Buffer
	err := Decode(context.Background(), &b, section(old), bytes.NewReader(patch), size)
	return b.Bytes(), err
}

func noise(seed uint64, n int) []byte {
	p := make([]byte, n)
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	source.Read(p)
	return p
}

func text(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	words := strings.Fields("the of and a to in is was he for it with as his on be at by had not are but from or have an they which one you")
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString(words[r.IntN(len(words))])
		b.WriteByte(" \n"[min(r.IntN(12), 1)/1&1])
	}
	return b.Bytes()[:n]
}

// checkTrip encodes and decodes, and wants every byte of the patch to be used.
func checkTrip(t *testing.T, old, new []byte) []byte {
	t.Helper()
	patch := encode(t, old, new)
	got, err := apply(old, patch, int64(len(new)))
	if err != nil || !bytes.Equal(got, new) {
		t.Fatalf("%d from %d bytes: patch of %d, error %v", len(new), len(old), len(patch), err)
	}
	if _, err := apply(old, append(bytes.Clone(patch), 0), int64(len(new))); !errors.Is(err, ErrFormat) {
		t.Fatalf("%d from %d bytes: with a byte more: error %v", len(new), len(old), err)
	}
	return patch
}

func TestRoundTrips(t *testing.T) {
	for _, n := range []int{0, 1, 64, 5000, 300000} {
		for _, m := range []int{0, 1, 64, 5000, 300000} {
			old, new := noise(1, n), noise(2, m)
			copy(new[m/3:], old)
			checkTrip(t, old, new)
		}
	}
	long := text(1, 400_000)
	edited := append(append(bytes.Clone(long[:100_000]), "something new"...), long[90_000:]...)
	if patch := checkTrip(t, long, edited); len(patch) > 60 {
		t.Errorf("a patch of %d bytes for an edited text", len(patch))
	}
	if patch := checkTrip(t, long, long); len(patch) > 24 {
		t.Errorf("a patch of %d bytes for the same text", len(patch))
	}
	checkTrip(t, bytes.Repeat([]byte{0}, 200_000), bytes.Repeat([]byte{0, 1}, 100_000))
	checkTrip(t, text(3, 3_000_000), text(4, 700_000)) // nothing in common: many literals
}

// program makes an executable of calls and a table of pointers to what it calls. With
// another seed of the same length something is inserted, and everything behind it
// moves.
func program(inserted int) []byte {
	const base, header, code = 0x400000, 0x1000, 0x40000
	r := rand.New(rand.NewPCG(5, 5))
	body := make([]byte, 0, code+inserted)
	var calls []int
	for more := 0; len(body) < code+more; {
		if len(body) > code/3 && inserted > more {
			body = append(body, noise(9, inserted)...)
			more = inserted
		}
		for range 3 + r.IntN(9) {
			body = append(body, byte(r.IntN(64))|0x40)
		}
		calls = append(calls, len(body)+1)
		body = append(body, 0xe8, 0, 0, 0, 0)
	}
	for i, at := range calls {
		target := calls[(i*7919+13)%len(calls)]
		binary.LittleEndian.PutUint32(body[at:], uint32(target-(at+4)))
	}
	var table []byte
	for i := range calls {
		table = binary.LittleEndian.AppendUint64(table, uint64(base+header+calls[(i*31)%len(calls)]))
	}
	le := binary.LittleEndian
	p := make([]byte, header)
	copy(p, "\x7fELF\x02\x01\x01")
	le.PutUint16(p[18:], 62)
	le.PutUint64(p[32:], 64)
	le.PutUint16(p[54:], 56)
	le.PutUint16(p[56:], 2)
	segment := func(i int, flags uint32, offset, address, size uint64) {
		h := p[64+56*i:]
		le.PutUint32(h, 1)
		le.PutUint32(h[4:], flags)
		le.PutUint64(h[8:], offset)
		le.PutUint64(h[16:], address)
		le.PutUint64(h[32:], size)
		le.PutUint64(h[40:], size)
	}
	whole := header + len(body)
	padded := (whole + 15) &^ 15
	segment(0, 5, header, base+header, uint64(len(body)))
	segment(1, 6, uint64(padded), base+0x200000+uint64(padded), uint64(len(table)))
	p = append(p, body...)
	p = append(p, make([]byte, padded-whole)...)
	return append(p, table...)
}

func TestMovedCodeIsPredicted(t *testing.T) {
	old, new := program(0), program(200)
	patch := checkTrip(t, old, new)
	if len(patch) > 1500 {
		t.Errorf("%d bytes for code that moved by 200", len(patch))
	}
	checkTrip(t, new, old)
	both := append(append(text(1, 1000), old...), old...)
	moved := append(append(text(2, 1017), new...), new...)
	if patch := checkTrip(t, both, moved); len(patch) > 4500 {
		t.Errorf("%d bytes for two programs in one content", len(patch))
	}
}

func TestRealPrograms(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	p = p[:min(len(p), 3<<20)]
	q := append(bytes.Clone(p[:1_000_000]), p[1_000_100:]...)
	checkTrip(t, p, q)
}

func TestWindows(t *testing.T) {
	part := noise(1, 1<<20)
	new := bytes.Repeat(append(bytes.Clone(part), text(2, 3333)...), 36)
	for i := 0; i < len(new); i += 700_001 {
		new[i]++
	}
	patch, err := encodeWindows(t.Context(), section(part), section(new), leastWindow)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := apply(part, patch, int64(len(new))); err != nil || !bytes.Equal(got, new) {
		t.Errorf("three windows: %v", err)
	}
	for _, w := range windows(1<<30, 1<<29, windowSize) {
		if w.from < 0 || w.from+w.bases > 1<<30 || w.bases != baseSize {
			t.Errorf("%+v", w)
		}
	}
}

// samples are patches of each codec, with what they are made of.
func samples(t testing.TB) (list []sample) {
	add := func(name string, old, new, patch []byte) {
		list = append(list, sample{name, old, new, patch})
	}
	old, new := text(1, 3000), append(text(1, 2900), noise(3, 40)...)
	for _, codec := range []struct {
		name string
		make func(context.Context, *io.SectionReader, *io.SectionReader) ([]byte, error)
	}{{"plain", encodePlain}, {"prefix", encodePrefix}, {"copy", encodeCopy}} {
		patch, err := codec.make(context.Background(), section(old), section(new))
		if err != nil {
			t.Fatal(err)
		}
		add(codec.name, old, new, patch)
	}
	small, moved := program(0), program(60)
	patch, err := encodeCopy(context.Background(), section(small), section(moved))
	if err != nil {
		t.Fatal(err)
	}
	add("program", small, moved, patch)
	return list
}

type sample struct {
	name            string
	old, new, patch []byte
}

func TestDamageIsNoticed(t *testing.T) {
	for _, s := range samples(t) {
		want := sha256.Sum256(s.new)
		step := max(1, len(s.patch)/60)
		for i := 0; i < len(s.patch); i += step {
			if _, err := apply(s.old, s.patch[:i], int64(len(s.new))); !errors.Is(err, ErrFormat) {
				t.Errorf("%s: cut at %d: %v", s.name, i, err)
			}
			bad := bytes.Clone(s.patch)
			bad[i] ^= 1 << (i % 8)
			got, err := apply(s.old, bad, int64(len(s.new)))
			if len(got) > len(s.new) {
				t.Errorf("%s: byte %d flipped: %d bytes of %d", s.name, i, len(got), len(s.new))
			}
			if err != nil && !errors.Is(err, ErrFormat) {
				t.Errorf("%s: byte %d flipped: %v", s.name, i, err)
			}
			if s.patch[0] == codecCopy && err == nil && sha256.Sum256(got) == want && i < len(s.patch)-4 { // the coder's last bytes say nothing
				t.Errorf("%s: byte %d flipped: the same content", s.name, i)
			}
		}
		for _, size := range []int64{0, 1, int64(len(s.new)) - 1, int64(len(s.new)) + 1, 1 << 40, math.MaxInt64} {
			if got, err := apply(s.old, s.patch, size); !errors.Is(err, ErrFormat) || int64(len(got)) > size {
				t.Errorf("%s: of size %d: %d bytes, %v", s.name, size, len(got), err)
			}
		}
		for _, old := range [][]byte{nil, s.old[:len(s.old)/2], noise(8, len(s.old)), append(bytes.Clone(s.old), 1)} {
			if got, err := apply(old, s.patch, int64(len(s.new))); err != nil && !errors.Is(err, ErrFormat) || len(got) > len(s.new) {
				t.Errorf("%s: of another base: %d bytes, %v", s.name, len(got), err)
			}
		}
	}
}

// hostile writes a patch with the coder of the encoder.
func hostile(write func(c *coder, num *number)) []byte {
	c := newEncoder()
	write(c, newNumber())
	return append([]byte{codecCopy}, c.finish()...)
}

func TestHostilePatches(t *testing.T) {
	old := noise(1, 1000)
	header := func(c *coder, size, from, bases int64) { codeWindow(c, &window{size: size, from: from, bases: bases}) }
	none := func(c *coder, num *number) { // no segments, no bases
		num.code(c, 0)
		num.code(c, 0)
		newNumber().code(c, 0)
	}
	ops := func(list ...operation) []byte {
		return hostile(func(c *coder, num *number) {
			header(c, 1000, 0, 1000)
			none(c, num)
			num.code(c, uint64(len(list)))
			o, at := newOperations(), int64(0)
			for _, op := range list {
				o.code(c, &op, at)
				at += int64(op.literals) + int64(op.length)
			}
		})
	}
	for name, patch := range map[string][]byte{
		"empty":                      {},
		"another codec":              {9},
		"a window that is too long":  hostile(func(c *coder, _ *number) { header(c, 1001, 0, 1000) }),
		"an empty window":            hostile(func(c *coder, _ *number) { header(c, 0, 0, 1000) }),
		"a window that is too short": hostile(func(c *coder, _ *number) { header(c, 10, 0, 1000) }),
		"a base beyond the content":  hostile(func(c *coder, _ *number) { header(c, 1000, 10, 1000) }),
		"a base that overflows":      hostile(func(c *coder, _ *number) { header(c, 1000, math.MaxInt64/2, math.MaxInt64/2) }),
		"many segments": hostile(func(c *coder, num *number) {
			header(c, 1000, 0, 1000)
			num.code(c, maxSegments+1)
		}),
		"many bases": hostile(func(c *coder, num *number) {
			header(c, 1000, 0, 1000)
			num.code(c, 0)
			num.code(c, 0)
			newNumber().code(c, 1000)
		}),
		"many operations": hostile(func(c *coder, num *number) {
			header(c, 1000, 0, 1000)
			none(c, num)
			num.code(c, maxOperations+1)
		}),
		"a copy outside":         ops(operation{0, 1000, 1}),
		"a copy before the base": ops(operation{0, 1000, -1}),
		"more than the window":   ops(operation{2000, 0, 0}),
		"less than the window":   ops(operation{0, 999, 0}),
		"an endless copy":        ops(operation{0, math.MaxUint32, 0}),
	} {
		if got, err := apply(old, patch, 1000); !errors.Is(err, ErrFormat) || len(got) > 1000 {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	for _, s := range []segment{
		{kind: kindX86, offset: 0, size: -1}, {kind: kindX86, offset: 0, size: 0}, {kind: kindX86, offset: 0, size: 1001},
		{kind: kindX86, offset: 999, size: 2}, {kind: 7, size: 10}, {kind: -1, size: 10}, {image: -1, size: 10}, {image: 1 << 30, size: 10},
		{offset: -5, size: 10}, {offset: 1 << 40, size: 10}, {size: 10, extent: 3},
	} {
		if s.size > 0 && s.extent == 0 {
			s.extent = uint64(s.size)
		}
		patch := hostile(func(c *coder, num *number) {
			header(c, 1000, 0, 1000)
			codeSegments(c, num, &[]segment{s}, nil, math.MaxInt64)
		})
		if _, err := apply(old, patch, 1000); !errors.Is(err, ErrFormat) {
			t.Errorf("segment %+v: %v", s, err)
		}
	}
}

func TestErrorsOfOthersAreNotThePatchs(t *testing.T) {
	dead := errors.New("dead")
	for _, s := range samples(t) {
		size := int64(len(s.new))
		cut := io.MultiReader(bytes.NewReader(s.patch[:len(s.patch)/2]), iotest.ErrReader(dead))
		err := Decode(t.Context(), io.Discard, section(s.old), cut, size)
		if !errors.Is(err, dead) || errors.Is(err, ErrFormat) {
			t.Errorf("%s: reading the patch: %v", s.name, err)
		}
		err = Decode(t.Context(), badWriter{dead}, section(s.old), bytes.NewReader(s.patch), size)
		if !errors.Is(err, dead) || errors.Is(err, ErrFormat) {
			t.Errorf("%s: writing: %v", s.name, err)
		}
		if s.name != "plain" {
			bad := io.NewSectionReader(badReaderAt{dead}, 0, int64(len(s.old)))
			err = Decode(t.Context(), io.Discard, bad, bytes.NewReader(s.patch), size)
			if !errors.Is(err, dead) || errors.Is(err, ErrFormat) {
				t.Errorf("%s: reading the old content: %v", s.name, err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := Decode(ctx, io.Discard, section(s.old), bytes.NewReader(s.patch), size); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: cancelled: %v", s.name, err)
		}
		if err := Encode(ctx, io.Discard, section(s.old), section(s.new)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: cancelled while encoding: %v", s.name, err)
		}
	}
	if err := Encode(t.Context(), badWriter{dead}, section(nil), section([]byte("x"))); !errors.Is(err, dead) {
		t.Error(err)
	}
}

type badWriter struct{ err error }

func (w badWriter) Write([]byte) (int, error) { return 0, w.err }

type badReaderAt struct{ err error }

func (r badReaderAt) ReadAt([]byte, int64) (int, error) { return 0, r.err }

func TestTheSameContentsGiveTheSamePatch(t *testing.T) {
	old, new := program(0), program(100)
	if !bytes.Equal(encode(t, old, new), encode(t, old, new)) {
		t.Error("two patches")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	old := noise(1, 24<<20)
	new := append(bytes.Clone(old[:12<<20]), append(noise(2, 1000), old[13<<20:]...)...)
	patch := encode(t, old, new)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := Decode(t.Context(), io.Discard, section(old), bytes.NewReader(patch), int64(len(new))); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > Memory {
		t.Errorf("%d bytes, limit %d", used, Memory)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.old[:min(len(s.old), 4000)], s.patch, uint32(len(s.new)))
		f.Add(s.old, s.patch, uint32(len(s.new)))
	}
	f.Fuzz(func(t *testing.T, old, patch []byte, size uint32) {
		size %= 1 << 20
		got, err := apply(old, patch, int64(size))
		if len(got) > int(size) || err == nil && len(got) != int(size) {
			t.Errorf("%d bytes of %d, %v", len(got), size, err)
		}
		if err != nil && !errors.Is(err, ErrFormat) {
			t.Error(err)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("old content"), []byte("new content"))
	f.Add(program(0)[:6000], program(30)[:6000])
	f.Fuzz(func(t *testing.T, old, new []byte) {
		patch, err := encodeCopy(context.Background(), section(old), section(new))
		if err != nil {
			t.Fatal(err)
		}
		got, err := apply(old, patch, int64(len(new)))
		if err != nil || !bytes.Equal(got, new) {
			t.Errorf("%d bytes of %d, %v", len(got), len(new), err)
		}
	})
}

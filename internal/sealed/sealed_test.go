package sealed

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/larch-project/larch/digest"
)

func read(doc []byte, limit int64, wrap func(io.Reader) io.Reader) ([]byte, error) {
	r, err := NewReader(wrap(bytes.NewReader(doc)), limit)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func plain(r io.Reader) io.Reader { return r }

func TestRoundTrip(t *testing.T) {
	for _, size := range []int{0, 1, 39, 40, 41, 4096, 3 << 20} {
		want := []byte(strings.Repeat("larch ", size/6+1)[:size])
		doc, err := Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		for name, wrap := range map[string]func(io.Reader) io.Reader{"plain": plain, "half": iotest.HalfReader, "data with error": iotest.DataErrReader} {
			have, err := read(doc, int64(size), wrap)
			if err != nil || !bytes.Equal(have, want) {
				t.Errorf("%d bytes, %s: %d bytes back, error %v", size, name, len(have), err)
			}
		}
		if size > 0 {
			if _, err := read(doc, int64(size)-1, plain); !errors.Is(err, ErrBroken) {
				t.Errorf("%d bytes read with a limit of one less: error %v", size, err)
			}
		}
	}
}

func TestEveryFlippedBitAndEveryTruncationIsFound(t *testing.T) {
	want := []byte("one line\nanother line\none line\n")
	doc, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 * len(doc) {
		bad := bytes.Clone(doc)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := read(bad, 1<<20, plain); !errors.Is(err, ErrBroken) {
			t.Errorf("bit %d flipped: error %v", i, err)
		}
	}
	for n := range doc {
		if _, err := read(doc[:n], 1<<20, plain); !errors.Is(err, ErrBroken) {
			t.Errorf("cut to %d bytes: error %v", n, err)
		}
	}
	if _, err := read(append(doc, 0), 1<<20, plain); !errors.Is(err, ErrBroken) {
		t.Errorf("a byte more: error %v", err)
	}
}

func TestReadErrorIsNotDamage(t *testing.T) {
	doc, _ := Encode([]byte("text"))
	boom := errors.New("boom")
	_, err := read(doc, 4, func(r io.Reader) io.Reader {
		return io.MultiReader(io.LimitReader(r, 10), iotest.ErrReader(boom))
	})
	if !errors.Is(err, boom) || errors.Is(err, ErrBroken) {
		t.Errorf("error %v", err)
	}
}

// TestDamageIsWrongBytes: callers that know nothing of seals see that bytes are wrong.
func TestDamageIsWrongBytes(t *testing.T) {
	doc, err := Encode([]byte("some text"))
	if err != nil {
		t.Fatal(err)
	}
	for what, p := range map[string][]byte{"cut": doc[:len(doc)-1], "more": append(bytes.Clone(doc), 0), "nothing": nil, "other": []byte("<html>")} {
		r, err := NewReader(bytes.NewReader(p), 1000)
		if err == nil {
			_, err = io.ReadAll(r)
		}
		if !errors.Is(err, ErrBroken) || !errors.Is(err, digest.ErrMismatch) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	doc, _ := Encode([]byte("one line\nanother line\n"))
	f.Add(doc)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, doc []byte) {
		have, err := read(doc, 1<<16, plain)
		if len(have) > 1<<16 {
			t.Fatalf("%d bytes, error %v", len(have), err)
		}
	})
}

package digest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

func TestSpans(t *testing.T) {
	for _, size := range []int{0, 1, BlockSize, BlockSize + 1, Span - 1, Span, Span + 1, 3*Span + 5} {
		data := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(size)}).Read(data)
		d, spans, err := SumSpans(bytes.NewReader(data))
		if err != nil || d != Of(data) || spans.Size() != int64(size) {
			t.Fatalf("%d bytes: %v, size %d, error %v", size, d, spans.Size(), err)
		}
		var text bytes.Buffer
		if n, err := spans.WriteTo(&text); n != SpansOf(int64(size))*Size || err != nil {
			t.Errorf("%d bytes: wrote %d, error %v", size, n, err)
		}
		again, err := ReadSpans(bytes.NewReader(text.Bytes()), d, int64(size))
		if err != nil {
			t.Fatal(err)
		}
		for offset := 0; offset < size; offset += Span {
			piece := bytes.Clone(data[offset:min(size, offset+Span)])
			if err := again.Verify(int64(offset), piece); err != nil {
				t.Errorf("%d bytes, at %d: %v", size, offset, err)
			}
			piece[len(piece)/2] ^= 1
			if err := again.Verify(int64(offset), piece); !errors.Is(err, ErrMismatch) {
				t.Errorf("%d bytes, flipped at %d: error %v", size, offset, err)
			}
		}
		for i := range text.Len() {
			wrong := bytes.Clone(text.Bytes())
			wrong[i] ^= 1
			if _, err := ReadSpans(bytes.NewReader(wrong), d, int64(size)); !errors.Is(err, ErrMismatch) {
				t.Errorf("%d bytes, hash flipped at %d: error %v", size, i, err)
			}
		}
		if _, err := ReadSpans(bytes.NewReader(nil), d, int64(size)); (err == nil) != (size == 0) {
			t.Errorf("%d bytes: hashes that are missing: error %v", size, err)
		}
	}
	spans := &Spans{size: 2 * Span, sums: make([]Digest, 2)}
	for _, r := range [][2]int64{{-1, 1}, {1, Span}, {0, Span - 1}, {Span, Span + 1}, {2 * Span, 1}} {
		if err := spans.Verify(r[0], make([]byte, r[1])); err == nil || errors.Is(err, ErrMismatch) {
			t.Errorf("range %v: error %v", r, err)
		}
	}
}

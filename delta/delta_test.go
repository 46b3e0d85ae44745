package delta

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
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

func TestRoundTrips(t *testing.T) {
	for _, n := range []int{0, 1, 64, 5000, 300000} {
		for _, m := range []int{0, 1, 64, 5000, 300000} {
			old, new := noise(1, n), noise(2, m)
			copy(new[m/3:], old)
			checkTrip(t, old, new)
		}
	}
}

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

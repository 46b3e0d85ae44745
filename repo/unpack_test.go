package repo_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/larch-project/larch/repo"
)

// packed compresses with a window.
func packed(t testing.TB, text string, window int) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithWindowSize(window), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestUnpackRefusesStreams(t *testing.T) {
	text := strings.Repeat("some text, ", 30_000)
	good := packed(t, text, 1<<20)
	var out bytes.Buffer
	if err := repo.Unpack(t.Context(), &out, nil, bytes.NewReader(good), int64(len(text))); err != nil || out.String() != text {
		t.Fatalf("%d bytes, %v", out.Len(), err)
	}
	bomb := packed(t, strings.Repeat("\x00", 64<<20), 1<<20)
	for name, test := range map[string]struct {
		frame []byte
		size  int
	}{
		"cut":                     {good[:len(good)/2], len(text)},
		"empty":                   {nil, len(text)},
		"longer than it should":   {good, len(text) - 1},
		"shorter than it should":  {good, len(text) + 1},
		"a bomb":                  {bomb, 1000},
		"a window of 64 MiB":      {packed(t, strings.Repeat(noise(1, 1<<20), 65), 64<<20), 65 << 20},
		"something behind":        {append(bytes.Clone(good), packed(t, "more", 1<<20)...), len(text)},
		"not even a frame":        {[]byte("nonsense, from the first byte to the last"), len(text)},
		"a frame with a checksum": {append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1), len(text)},
	} {
		var n counter
		err := repo.Unpack(t.Context(), &n, nil, bytes.NewReader(test.frame), int64(test.size))
		if !errors.Is(err, repo.ErrDelta) {
			t.Errorf("%s: %v", name, err)
		}
		if int(n) > test.size {
			t.Errorf("%s: it wrote %d bytes of %d", name, n, test.size)
		}
	}
}

type counter int

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

func TestUnpackTellsWhoseFaultItIs(t *testing.T) {
	text := strings.Repeat("some text, ", 30_000)
	good := packed(t, text, 1<<20)
	dead := errors.New("the line is dead")
	cut := io.MultiReader(bytes.NewReader(good[:20]), iotest.ErrReader(dead))
	if err := repo.Unpack(t.Context(), io.Discard, nil, cut, int64(len(text))); !errors.Is(err, dead) || errors.Is(err, repo.ErrDelta) {
		t.Errorf("a dead line: %v", err)
	}
	full := errors.New("the disk is full")
	if err := repo.Unpack(t.Context(), failingWriter{full}, nil, bytes.NewReader(good), int64(len(text))); !errors.Is(err, full) || errors.Is(err, repo.ErrDelta) {
		t.Errorf("a full disk: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := repo.Unpack(ctx, io.Discard, nil, bytes.NewReader(good), int64(len(text))); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// FuzzUnpack: a stream gives at most what it should, and no panic.
func FuzzUnpack(f *testing.F) {
	f.Add(packed(f, strings.Repeat("some text, ", 300), 1<<20), uint16(3300))
	f.Add([]byte{}, uint16(10))
	f.Fuzz(func(t *testing.T, frame []byte, size uint16) {
		var n counter
		err := repo.Unpack(context.Background(), &n, nil, bytes.NewReader(frame), int64(size))
		if int(n) > int(size) || err == nil && int(n) != int(size) {
			t.Errorf("%d bytes of %d, %v", n, size, err)
		}
	})
}

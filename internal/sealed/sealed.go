// Package sealed reads and writes the repository's ".zst" documents: text or
// columns, compressed, in which every flipped bit is found.
//
// A sealed document is Zstandard frames followed by one skippable frame that
// carries the fs-verity digest of all bytes before it. The zstd command
// decompresses it as it is. The seal guards the stored form against decay;
// trust comes from elsewhere, from the digest of the content.
//
// Source: RFC 8878 §3.1.2 (skippable frames); spec/5-repository.md §2.
package sealed

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/larch-project/larch/digest"
)

// Overhead is the length of the seal in bytes.
const Overhead = 8 + digest.Size

// window bounds the memory of readers and writers, in bytes.
const window = 2 << 20

// seal starts the skippable frame: magic number 0x184D2A5E, length 32.
var seal = [8]byte{0x5e, 0x2a, 0x4d, 0x18, digest.Size}

// ErrBroken is matched by every error that means "this is not what was written"; like
// all of wrong bytes it matches digest.ErrMismatch.
var ErrBroken = fmt.Errorf("document is damaged: %w", digest.ErrMismatch)

// Writer compresses what is written to it.
type Writer struct {
	to     io.Writer
	zstd   *zstd.Encoder
	hasher digest.Hasher
}

// NewWriter starts a document on w; Close ends and seals it, and leaves w open.
func NewWriter(w io.Writer) (*Writer, error) {
	s := &Writer{to: w}
	var err error
	s.zstd, err = zstd.NewWriter(io.MultiWriter(w, &s.hasher), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(window))
	return s, err
}

// Write adds to the document, before compression.
func (s *Writer) Write(p []byte) (int, error) { return s.zstd.Write(p) }

// Close ends the document.
func (s *Writer) Close() error {
	if err := s.zstd.Close(); err != nil {
		return err
	}
	sum := s.hasher.Digest()
	_, err := s.to.Write(append(seal[:len(seal):len(seal)], sum[:]...))
	return err
}

// Encode gives the sealed form of a document in memory.
func Encode(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := NewWriter(&b)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	return b.Bytes(), err
}

// NewReader gives the document in r, which ends where r ends. Input untrusted:
// it gives at most limit bytes, takes at most some MiB of memory, and reports a
// clean end only after the seal was found whole; errors about the form match
// ErrBroken. The caller checks the content against its digest.
func NewReader(r io.Reader, limit int64) (*Reader, error) {
	s := &Reader{from: tail{r: r}, left: limit}
	var err error
	s.zstd, err = zstd.NewReader(&s.from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(window))
	return s, err
}

// Reader decompresses one document.
type Reader struct {
	from tail
	zstd *zstd.Decoder
	left int64
	err  error
}

// Read implements io.Reader.
func (s *Reader) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.zstd.Read(p)
	if s.left -= int64(n); s.left < 0 {
		n, err = n+int(s.left), fmt.Errorf("%w: longer than declared", ErrBroken)
	}
	switch {
	case err == io.EOF:
		err = s.from.check()
	case err != nil && s.from.err != nil:
		err = s.from.err // reading failed, not decoding
	case err != nil && !errors.Is(err, ErrBroken):
		err = fmt.Errorf("%w: %v", ErrBroken, err)
	}
	s.err = err
	return n, err
}

// Close releases the decoder; it does not close what is read from.
func (s *Reader) Close() error {
	s.zstd.Close()
	return nil
}

// tail passes on all of r but its last Overhead bytes, and hashes what it passes.
type tail struct {
	r      io.Reader
	held   [Overhead]byte
	filled int
	hasher digest.Hasher
	err    error // of r, other than its end
}

// Read keeps back the newest Overhead bytes that it has seen.
func (t *tail) Read(p []byte) (int, error) {
	if len(p) <= Overhead {
		small := make([]byte, Overhead+len(p))
		return t.pass(small, len(p), p)
	}
	return t.pass(p, len(p)-Overhead, p)
}

// pass reads up to limit new bytes into buf, behind those held, and gives to p
// what is older than the newest Overhead.
func (t *tail) pass(buf []byte, limit int, p []byte) (int, error) {
	for {
		have := copy(buf, t.held[:t.filled])
		n, err := t.r.Read(buf[have : have+limit])
		have += n
		keep := min(have, Overhead)
		t.filled = copy(t.held[:], buf[have-keep:have])
		ready := copy(p, buf[:have-keep])
		t.hasher.Write(p[:ready])
		if err != nil && err != io.EOF {
			t.err = err
		}
		if ready > 0 || err != nil {
			return ready, err
		}
	}
}

func (t *tail) check() error {
	sum := t.hasher.Digest()
	if t.filled == Overhead && bytes.Equal(t.held[:8], seal[:]) && bytes.Equal(t.held[8:], sum[:]) {
		return io.EOF
	}
	return fmt.Errorf("%w: its seal does not match", ErrBroken)
}

package digest

import (
	"fmt"
	"io"
)

// Spans are the hashes over each Span of some content: with them a piece of it can
// be checked when the rest is not there. They take 1/16384 of the content's size.
// They are safe for concurrent use.
type Spans struct {
	size int64
	sums []Digest
}

// SumSpans reads r to its end, as Sum does, and keeps the hashes over its spans.
func SumSpans(r io.Reader) (d Digest, s *Spans, err error) {
	s = &Spans{}
	buf := make([]byte, Span)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			s.size += int64(n)
			s.sums = append(s.sums, spanSum(buf[:n], s.size <= BlockSize))
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return s.digest(), s, nil
		}
		if err != nil {
			return d, nil, err
		}
	}
}

// ReadSpans reads the hashes of content of a known name and size, 32 bytes each.
// Input untrusted: they are refused unless they lead to the digest.
func ReadSpans(r io.Reader, want Digest, size int64) (*Spans, error) {
	s := &Spans{size: size}
	for left := SpansOf(size); left > 0; left-- {
		var sum Digest
		if _, err := io.ReadFull(r, sum[:]); err != nil {
			return nil, err
		}
		s.sums = append(s.sums, sum)
	}
	if have := s.digest(); have != want {
		return nil, &MismatchError{Want: want, Have: have, WantSize: size, HaveSize: size}
	}
	return s, nil
}

// SpansOf is how many spans content of a size in bytes has.
func SpansOf(size int64) int64 { return (size + Span - 1) / Span }

// WriteTo implements io.WriterTo: what ReadSpans reads.
func (s *Spans) WriteTo(w io.Writer) (n int64, err error) {
	for i := range s.sums {
		if _, err := w.Write(s.sums[i][:]); err != nil {
			return n, err
		}
		n += Size
	}
	return n, nil
}

func (s *Spans) digest() Digest {
	var levels spine
	for _, sum := range s.sums {
		levels.add(0, sum)
	}
	return finish(levels.root(), s.size)
}

// Size is the content's, in bytes.
func (s *Spans) Size() int64 { return s.size }

// Verify checks the piece of the content that begins at offset, a multiple of Span;
// the piece ends at such a multiple or at the content's end. The error names the
// first wrong span and matches ErrMismatch.
func (s *Spans) Verify(offset int64, p []byte) error {
	end := offset + int64(len(p))
	if offset < 0 || offset%Span != 0 || end > s.size || (end%Span != 0 && end != s.size) {
		return fmt.Errorf("range from %d to %d of %d bytes: not on whole spans", offset, end, s.size)
	}
	for i := offset / Span; len(p) > 0; i++ {
		n := min(len(p), Span)
		if spanSum(p[:n], s.size <= BlockSize) != s.sums[i] {
			return fmt.Errorf("span %d (bytes from %d): %w", i, i*Span, ErrMismatch)
		}
		p = p[n:]
	}
	return nil
}

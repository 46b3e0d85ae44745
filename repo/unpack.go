package repo

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/larch-project/larch/delta"
	"github.com/larch-project/larch/digest"
)

// UnpackMemory bounds what Unpack takes, in bytes, besides what it reads from.
const UnpackMemory = StreamWindow + 8<<20

// Unpack makes the size bytes of a group, or of a tree, out of their frame, which
// ends where r does: a patch of base (11-delta.md) or, where base is nil, a
// Zstandard stream. Input untrusted: errors that say something about the frame
// match ErrDelta; nothing beyond size is written. The caller checks what comes.
func Unpack(ctx context.Context, w io.Writer, base *io.SectionReader, r io.Reader, size int64) error {
	if base == nil {
		return unstream(ctx, w, r, size)
	}
	err := delta.Decode(ctx, w, base, r, size)
	if errors.Is(err, delta.ErrFormat) {
		err = fmt.Errorf("%w: %w", ErrDelta, err)
	}
	return err
}

// verifier takes contents one behind the other and compares each with its digest.
type verifier struct {
	contents []LocatedContent
	hasher   digest.Hasher
	done     int64 // bytes of the first of them
}

// Write implements io.Writer.
func (v *verifier) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if len(v.contents) == 0 {
			return total - len(p), errors.New("more than all contents")
		}
		n := min(int64(len(p)), v.contents[0].Size-v.done)
		v.hasher.Write(p[:n])
		v.done += n
		p = p[n:]
		if err := v.next(); err != nil {
			return total - len(p), err
		}
	}
	return total, nil
}

// next goes on to the next content if one is complete.
func (v *verifier) next() error {
	c := v.contents[0]
	if v.done < c.Size {
		return nil
	}
	if have := v.hasher.Digest(); have != c.Digest {
		return &digest.MismatchError{Want: c.Digest, Have: have, WantSize: c.Size, HaveSize: c.Size}
	}
	v.hasher.Reset()
	v.contents, v.done = v.contents[1:], 0
	return nil
}

// end tells whether all contents came.
func (v *verifier) end() error {
	if len(v.contents) > 0 {
		return fmt.Errorf("%w: %d contents did not come", ErrDelta, len(v.contents))
	}
	return nil
}

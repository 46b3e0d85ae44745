package delta

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// Memory bounds what Decode takes, bytes; whatever the sizes.
const Memory = 28 << 20

// ErrFormat is matched by every error that says something about the patch.
var ErrFormat = errors.New("not a valid patch")

// The first byte of a patch; spec/11-delta.md §11.1.
const (
	codecPlain  = 0 // one zstd frame, without regard to the old content
	codecPrefix = 1 // one zstd frame whose dictionary is the old content
	// codecCopy = 2, operations and corrections
)

// Encode writes to w the smallest encoding that it finds of new, given old. old
// may be of size 0. The same contents give the same bytes.
func Encode(ctx context.Context, w io.Writer, old, new *io.SectionReader) error {
	var best []byte
	for _, encode := range encoders(old, new) {
		patch, err := encode(ctx, old, new)
		if err != nil {
			return fmt.Errorf("encoding %d bytes: %w", new.Size(), err)
		}
		if best == nil || len(patch) < len(best) {
			best = patch
		}
	}
	if _, err := w.Write(best); err != nil {
		return fmt.Errorf("writing patch: %w", err)
	}
	return nil
}

type encoder func(ctx context.Context, old, new *io.SectionReader) ([]byte, error)

// encoders lists those that are worth trying.
func encoders(old, new *io.SectionReader) []encoder {
	if old.Size() == 0 {
		return []encoder{encodePlain}
	}
	list := []encoder{encodeCopy}
	if old.Size()+new.Size() <= maxPrefix/4 {
		list = append(list, encodePrefix) // never much smaller: not worth the time for more
	}
	return list
}

// Decode writes exactly size bytes of the new content to w, reading old at random
// through ReadAt and patch in order, to its end. It does not hash: the caller
// compares the result with its digest. When old is not the content that the patch
// was made for, the result is other bytes, or ErrFormat.
//
// The patch is untrusted: Decode never writes more than size bytes and takes at
// most Memory. An error of old, w or patch is wrapped and does not match ErrFormat;
// a patch that ends early does.
func Decode(ctx context.Context, w io.Writer, old *io.SectionReader, patch io.Reader, size int64) error {
	out := &output{ctx: ctx, w: w, left: size}
	in := &input{r: bufio.NewReader(patch)}
	err := decode(out, old, in)
	switch {
	case out.err != nil:
		err = out.err
	case in.err != nil:
		err = in.err
	case err == nil:
		err = finished(out, in)
	}
	if err != nil {
		return fmt.Errorf("applying patch: %w", err)
	}
	return nil
}

func decode(out *output, old *io.SectionReader, in *input) error {
	codec, err := in.ReadByte()
	if err != nil {
		return fmt.Errorf("%w: it is empty", ErrFormat)
	}
	switch codec {
	case codecPlain:
		return decodePlain(out, in)
	case codecPrefix:
		return decodePrefix(out, old, in)
	case codecCopy:
		return decodeCopy(out, old, in)
	}
	return fmt.Errorf("%w: unknown codec %d", ErrFormat, codec)
}

// finished checks that everything was said, and nothing more.
func finished(out *output, in *input) error {
	if out.left > 0 {
		return fmt.Errorf("%w: %d bytes are missing", ErrFormat, out.left)
	}
	if _, err := in.ReadByte(); err == nil {
		return fmt.Errorf("%w: bytes follow its end", ErrFormat)
	}
	return in.err
}

// readAll reads a whole side into memory.
func readAll(r *io.SectionReader, what string) ([]byte, error) {
	p := make([]byte, r.Size())
	if err := readAt(r, p, 0); err != nil {
		return nil, fmt.Errorf("reading %s content: %w", what, err)
	}
	return p, nil
}

// readAt fills p; content that ends early is an error.
func readAt(r io.ReaderAt, p []byte, at int64) error {
	n, err := r.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// collect runs an encoder that writes.
func collect(codec byte, encode func(w *bytes.Buffer) error) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte(codec)
	err := encode(&b)
	return b.Bytes(), err
}

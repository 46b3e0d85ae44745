package delta

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/bits"

	"github.com/klauspost/compress/zstd"
)

const (
	// maxPrefix is the largest sum of both sizes for a frame with the old content as
	// its dictionary, and maxWindow the largest window of any frame; bytes.
	maxPrefix = 8 << 20
	maxWindow = 8 << 20
)

func encodePlain(ctx context.Context, _, new *io.SectionReader) ([]byte, error) {
	return collect(codecPlain, func(b *bytes.Buffer) error {
		return encodeFrame(ctx, b, new, windowFor(new.Size()))
	})
}

func encodePrefix(ctx context.Context, old, new *io.SectionReader) ([]byte, error) {
	dictionary, err := readAll(old, "old")
	if err != nil {
		return nil, err
	}
	return collect(codecPrefix, func(b *bytes.Buffer) error {
		return encodeFrame(ctx, b, new, windowFor(old.Size()+new.Size()), zstd.WithEncoderDictRaw(0, dictionary))
	})
}

// windowFor gives the smallest window that spans size bytes, if there is one.
func windowFor(size int64) int {
	const smallest = 10 // zstd.MinWindowSize
	return 1 << max(smallest, bits.Len64(uint64(max(min(size, maxWindow), 1)-1)))
}

func encodeFrame(ctx context.Context, b *bytes.Buffer, new *io.SectionReader, window int, more ...zstd.EOption) error {
	options := append([]zstd.EOption{
		zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderCRC(false), zstd.WithZeroFrames(true),
		zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window),
	}, more...)
	w, err := zstd.NewWriter(b, options...)
	if err != nil {
		return err
	}
	w.ResetContentSize(b, new.Size())
	_, err = io.Copy(w, &content{ctx: ctx, r: io.NewSectionReader(new, 0, new.Size())})
	if err != nil {
		return fmt.Errorf("reading new content: %w", err)
	}
	return w.Close()
}

// content reads until the context ends.
type content struct {
	ctx context.Context
	r   io.Reader
}

func (c *content) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

func decodePlain(out *output, in *input) error { return decodeFrame(out, in) }

func decodePrefix(out *output, old *io.SectionReader, in *input) error {
	if old.Size() > maxPrefix || out.left > maxPrefix-old.Size() {
		return fmt.Errorf("%w: a frame with a dictionary for contents of %d and %d bytes", ErrFormat, old.Size(), out.left)
	}
	dictionary, err := readAll(old, "old")
	if err != nil {
		return err
	}
	return decodeFrame(out, in, zstd.WithDecoderDictRaw(0, dictionary))
}

func decodeFrame(out *output, in *input, more ...zstd.DOption) error {
	options := append([]zstd.DOption{
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow),
		zstd.WithDecodeBuffersBelow(0),
	}, more...)
	r, err := zstd.NewReader(&frame{in: in}, options...)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	defer r.Close()
	if _, err := io.Copy(out, onlyReader{r}); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return nil
}

// onlyReader hides WriteTo, which would hand on more at once.
type onlyReader struct{ io.Reader }

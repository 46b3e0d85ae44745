package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/klauspost/compress/zstd"
)

// stream compresses what needs no base. Its window, which readers have to make room
// for, is no larger than what there is.
func stream(w io.Writer, b *blob) error {
	window, level := 1<<max(bits.Len64(uint64(max(b.size, 1)-1)), 10), zstd.SpeedBestCompression
	if b.size < 64<<10 {
		level = zstd.SpeedBetterCompression // whose tables are a hundredth
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(level), zstd.WithWindowSize(min(window, StreamWindow)),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return err
	}
	_, err = io.Copy(z, b.reader())
	return errors.Join(err, z.Close())
}

// unstream decompresses a stream of exactly size bytes.
func unstream(ctx context.Context, w io.Writer, r io.Reader, size int64) error {
	from := &failing{Reader: r}
	z, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(StreamWindow))
	if err != nil {
		return err
	}
	defer z.Close()
	n, err := copyContext(ctx, w, io.LimitReader(z, size))
	if err == nil && int64(n) == size {
		var more [1]byte
		if n, err = io.ReadFull(z, more[:]); n == 0 && err == io.EOF {
			return nil
		}
		err = errors.New("it goes on behind its end")
	}
	switch {
	case from.err != nil:
		return from.err
	case errors.Is(err, errWrite), ctx.Err() != nil:
		return err
	}
	return fmt.Errorf("%w: a stream of %d bytes ends at %d: %v", ErrDelta, size, n, err)
}

// failing remembers an error of reading that is not the end.
type failing struct {
	io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

var errWrite = errors.New("writing")

// copyContext is io.Copy that ends with its context, and marks errors of writing.
func copyContext(ctx context.Context, w io.Writer, r io.Reader) (int, error) {
	buf, total := make([]byte, 128<<10), 0
	for {
		if ctx.Err() != nil {
			return total, context.Cause(ctx)
		}
		n, err := r.Read(buf)
		if n > 0 {
			if _, failed := w.Write(buf[:n]); failed != nil {
				return total, fmt.Errorf("%w: %w", errWrite, failed)
			}
			total += n
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

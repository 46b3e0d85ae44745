package tarball

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/larch-project/larch/internal/tempfile"
)

// maxWindow is how far back a zstd stream may refer, in bytes, and so about how
// much memory it takes: what the zstd tool accepts without being asked.
const maxWindow = 128 << 20

// format is recognised by how a file begins. What has no reader is named in the
// error.
type format struct {
	name  string
	magic string
	open  func(io.Reader) (io.ReadCloser, error)
}

func formats() []format {
	return []format{
		{"gzip", "\x1f\x8b", openGzip},
		{"zstd", "\x28\xb5\x2f\xfd", openZstd},
		{"xz", "\xfd7zXZ\x00", nil},
		{"bzip2", "BZh", nil},
		{"zip", "PK\x03\x04", nil},
	}
}

func openGzip(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }

func openZstd(r io.Reader) (io.ReadCloser, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// uncompressed gives the file itself, or a temporary copy without a name.
func uncompressed(file *os.File) (*os.File, error) {
	in := bufio.NewReaderSize(file, 256<<10)
	head, err := in.Peek(6)
	if err != nil && err != io.EOF {
		return nil, err
	}
	for _, f := range formats() {
		if !bytes.HasPrefix(head, []byte(f.magic)) {
			continue
		}
		if f.open == nil {
			return nil, fmt.Errorf("%w: it is a %s file; use .tar, .tar.gz or .tar.zst", ErrFormat, f.name)
		}
		r, err := f.open(in)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrFormat, f.name, err)
		}
		defer r.Close()
		return spool(r, f.name)
	}
	return file, nil
}

// spool copies r to a file that vanishes when it is closed.
func spool(r io.Reader, format string) (*os.File, error) {
	temp, err := tempfile.New()
	if err != nil {
		return nil, fmt.Errorf("uncompressing: %w", err)
	}
	out := &writer{to: temp}
	if _, err := io.Copy(out, r); err != nil {
		temp.Close()
		if out.err != nil {
			return nil, fmt.Errorf("uncompressing to a temporary file (TMPDIR says where): %w", err)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("uncompressing %s: %w", format, err)
		}
		return nil, fmt.Errorf("%w: %s: %w", ErrFormat, format, err)
	}
	return temp, nil
}

// writer remembers whether it was the writing that went wrong.
type writer struct {
	to  io.Writer
	err error
}

func (w *writer) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

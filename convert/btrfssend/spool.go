package btrfssend

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"github.com/larch-project/larch/internal/tempfile"
)

// spool keeps contents one behind the other in a file that vanishes when it is
// closed.
type spool struct {
	file *os.File
	out  *bufio.Writer
	size int64
}

func newSpool() (*spool, error) {
	file, err := tempfile.New()
	if err != nil {
		return nil, err
	}
	return &spool{file: file, out: bufio.NewWriterSize(file, 256<<10)}, nil
}

// add keeps some bytes and tells where.
func (s *spool) add(p []byte) (int64, error) {
	at := s.size
	n, err := s.out.Write(p)
	s.size += int64(n)
	return at, spooling(err)
}

// flush makes everything readable.
func (s *spool) flush() error { return spooling(s.out.Flush()) }

func spooling(err error) error {
	if err != nil {
		return fmt.Errorf("writing to a temporary file (TMPDIR says where): %w", err)
	}
	return nil
}

func (s *spool) close() error { return s.file.Close() }

// content reads a file. It is safe to have several at once.
type content struct {
	spool  *spool
	pieces extents // from the position on
	at     int64
	size   int64
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (n int, err error) {
	if c.at >= c.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), c.size-c.at)]
	for len(c.pieces) > 0 && c.pieces[0].end() <= c.at {
		c.pieces = c.pieces[1:]
	}
	switch {
	case len(c.pieces) == 0:
		n = len(p)
		clear(p)
	case c.pieces[0].at > c.at:
		n = int(min(int64(len(p)), c.pieces[0].at-c.at))
		clear(p[:n])
	default:
		e := c.pieces[0]
		p = p[:min(int64(len(p)), e.end()-c.at)]
		if n, err = c.spool.file.ReadAt(p, e.source+c.at-e.at); n == len(p) {
			err = nil
		} else if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	}
	c.at += int64(n)
	return n, err
}

// Close implements io.Closer.
func (c *content) Close() error { return nil }

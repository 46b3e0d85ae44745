package fetch

import (
	"bytes"
	"io"
	"os"

	"github.com/larch-project/larch/internal/tempfile"
)

// spoolMemory is up to where a spool is kept in memory, in bytes.
const spoolMemory = 16 << 20

// spool is bytes that are written once and read at random: the text of a tree on the
// way to another. It is in memory, or in a temporary file if it is long.
type spool struct {
	data []byte
	file *os.File
	size int64
}

// Write implements io.Writer.
func (s *spool) Write(p []byte) (int, error) {
	if s.file == nil && s.size+int64(len(p)) > spoolMemory {
		if err := s.spill(); err != nil {
			return 0, err
		}
	}
	s.size += int64(len(p))
	if s.file != nil {
		return s.file.Write(p)
	}
	s.data = append(s.data, p...)
	return len(p), nil
}

func (s *spool) spill() (err error) {
	if s.file, err = tempfile.New(); err == nil {
		_, err = s.file.Write(s.data)
	}
	s.data = nil
	return err
}

func (s *spool) reader() *io.SectionReader {
	if s.file != nil {
		return io.NewSectionReader(s.file, 0, s.size)
	}
	return io.NewSectionReader(bytes.NewReader(s.data), 0, s.size)
}

func (s *spool) close() {
	if s == nil {
		return
	}
	if s.file != nil {
		s.file.Close()
	}
	s.data, s.file = nil, nil
}

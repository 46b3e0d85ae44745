package repo

import (
	"bytes"
	"io"
	"os"

	"github.com/larch-project/larch/internal/beneath"
)

// blobMemory is up to where a blob is kept in memory, in bytes.
const blobMemory = 32 << 20

// blob is bytes that are written and then read at random: in memory, or in an
// unnamed file of the repository if they are many.
type blob struct {
	dir  *beneath.Dir // the repository's root
	data []byte
	file *os.File
	size int64
}

// Write implements io.Writer.
func (b *blob) Write(p []byte) (int, error) {
	if b.file == nil && b.size+int64(len(p)) > blobMemory {
		if err := b.spill(); err != nil {
			return 0, err
		}
	}
	b.size += int64(len(p))
	if b.file == nil {
		b.data = append(b.data, p...)
		return len(p), nil
	}
	if err := b.dir.Change("write", deltasFolder); err != nil {
		return 0, err
	}
	return b.file.Write(p)
}

// spill moves what is there into a file.
func (b *blob) spill() (err error) {
	if b.file, err = temp(b.dir, deltasFolder); err != nil {
		return err
	}
	_, err = b.file.Write(b.data)
	b.data = nil
	return err
}

// reader gives all of it.
func (b *blob) reader() *io.SectionReader {
	if b.file != nil {
		return io.NewSectionReader(b.file, 0, b.size)
	}
	return io.NewSectionReader(bytes.NewReader(b.data), 0, b.size)
}

// close gives the room back.
func (b *blob) close() {
	if b == nil {
		return
	}
	if b.file != nil {
		b.file.Close()
	}
	b.data, b.file = nil, nil
}

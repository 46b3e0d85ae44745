// Package cpio writes archives in the "newc" form, the one that Linux unpacks as
// its first file system.
//
//	w := cpio.NewWriter(out)
//	err := w.Add("init", 0o100755, program)
//	...
//	err = w.Close()
//
// Source: https://docs.kernel.org/driver-api/early-userspace/buffer-format.html.
package cpio

import (
	"fmt"
	"io"
	"math"
)

// Kinds of entries, to be joined with permission bits: those of stat(2).
const (
	File    = 0o100000
	Dir     = 0o040000
	Symlink = 0o120000
)

const (
	alignment = 4 // of headers and of contents
	trailer   = "TRAILER!!!"
)

// Writer appends entries to an archive. The first error of the writer below stays,
// and is what all later calls return.
type Writer struct {
	out     io.Writer
	offset  int64
	entries uint32
	err     error
}

// NewWriter starts an archive.
func NewWriter(out io.Writer) *Writer { return &Writer{out: out} }

// Add appends an entry that belongs to root. The name is relative, and the folder
// it is in must have come before. Of a symlink, content is the target.
func (w *Writer) Add(name string, mode uint32, content []byte) error {
	if w.err == nil && uint64(len(content)) > math.MaxUint32 {
		w.err = fmt.Errorf("cpio: %s has %d bytes, the format can say no more than %d", name, len(content), uint32(math.MaxUint32))
	}
	w.entries++
	w.header(name, w.entries, mode, len(content))
	w.write(content)
	w.align()
	return w.err
}

// Close ends the archive; the writer below stays open.
func (w *Writer) Close() error {
	w.header(trailer, 0, 0, 0)
	return w.err
}

// header writes, in eight hexadecimal digits each: inode, mode, user, group, links,
// time, size, four device numbers, length of the name with its zero, checksum.
func (w *Writer) header(name string, inode, mode uint32, size int) {
	h := "070701"
	for _, field := range []uint32{inode, mode, 0, 0, 1, 0, uint32(size), 0, 0, 0, 0, uint32(len(name) + 1), 0} {
		h += fmt.Sprintf("%08x", field)
	}
	w.write([]byte(h + name + "\x00"))
	w.align()
}

func (w *Writer) align() {
	if over := w.offset % alignment; over != 0 {
		w.write(make([]byte, alignment-over))
	}
}

func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	n, err := w.out.Write(b)
	w.offset += int64(n)
	w.err = err
}

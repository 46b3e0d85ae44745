package delta

import (
	"encoding/binary"
	"fmt"
	"io"
)

// frame reads one zstd frame from a patch and ends with it: the library would take
// any number of frames, and frames to be skipped, for one content. Only the bounds
// of blocks are looked at here (RFC 8878 §3.1.1).
type frame struct {
	in   *input
	left int  // bytes of the current piece
	last bool // it is the last
	head []byte
	err  error
}

const zstdMagic = 0xFD2FB528

func (f *frame) Read(p []byte) (int, error) {
	for len(f.head) == 0 && f.left == 0 {
		if f.err == nil {
			f.err = f.next()
		}
		if f.err != nil {
			return 0, f.err
		}
	}
	if n := copy(p, f.head); n > 0 {
		f.head = f.head[n:]
		return n, nil
	}
	n, err := f.in.Read(p[:min(len(p), f.left)])
	if f.left -= n; err == io.EOF && f.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// next reads the header of the frame or of its next block.
func (f *frame) next() error {
	switch {
	case f.last:
		return io.EOF
	case f.head == nil:
		return f.begin()
	}
	f.head = make([]byte, 3)
	if _, err := io.ReadFull(f.in, f.head); err != nil {
		return fmt.Errorf("%w: block header: %w", ErrFormat, err)
	}
	word := int(f.head[0]) | int(f.head[1])<<8 | int(f.head[2])<<16
	f.last = word&1 != 0
	if f.left = word >> 3; word>>1&3 == 1 { // one byte, repeated
		f.left = 1
	}
	return nil
}

// begin reads the magic number and the frame's descriptor, which says how many
// bytes follow before the first block. A checksum or a dictionary's number is not
// allowed.
func (f *frame) begin() error {
	f.head = make([]byte, 5)
	if _, err := io.ReadFull(f.in, f.head); err != nil {
		return fmt.Errorf("%w: frame header: %w", ErrFormat, err)
	}
	flags := f.head[4]
	if binary.LittleEndian.Uint32(f.head) != zstdMagic || flags&0x07 != 0 {
		return fmt.Errorf("%w: not a zstd frame of the kind that patches have", ErrFormat)
	}
	single := flags >> 5 & 1
	f.left = []int{int(single), 2, 4, 8}[flags>>6] + 1 - int(single)
	return nil
}

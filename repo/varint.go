package repo

import (
	"encoding/binary"
	"fmt"
	"io"
)

// readUvarint reads an unsigned LEB128 number of at most 64 bits in its one form, the
// shortest; spec/5-repository.md §5.4. One of another form matches ErrIndex.
func readUvarint(r io.ByteReader) (uint64, error) {
	var n uint64
	for i := range binary.MaxVarintLen64 {
		b, err := r.ReadByte()
		if err != nil {
			if i > 0 && err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		n |= uint64(b&0x7f) << (7 * i)
		switch {
		case b >= 0x80:
		case i > 0 && b == 0:
			return 0, fmt.Errorf("%w: a number that is longer than it has to be", ErrIndex)
		case i == binary.MaxVarintLen64-1 && b > 1:
			return 0, errVarint
		default:
			return n, nil
		}
	}
	return 0, errVarint
}

var errVarint = fmt.Errorf("%w: a number of more than 64 bits", ErrIndex)

// readVarint reads a signed number: zigzag-coded.
func readVarint(r io.ByteReader) (int64, error) {
	n, err := readUvarint(r)
	return int64(n>>1) ^ -int64(n&1), err
}

package repo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"testing"
)

func TestNumbersHaveOneForm(t *testing.T) {
	for _, n := range []uint64{0, 1, 127, 128, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, math.MaxInt64, 1 << 63, math.MaxUint64} {
		good := binary.AppendUvarint(nil, n)
		if have, err := readUvarint(bytes.NewReader(good)); err != nil || have != n {
			t.Errorf("%d: %d, %v", n, have, err)
		}
		if have, err := readVarint(bytes.NewReader(binary.AppendVarint(nil, int64(n)))); err != nil || have != int64(n) {
			t.Errorf("%d: %d, %v", int64(n), have, err)
		}
		for cut := range len(good) {
			if _, err := readUvarint(bytes.NewReader(good[:cut])); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d, cut to %d: %v", n, cut, err)
			}
		}
		longer := bytes.Clone(good)
		longer[len(longer)-1] |= 0x80
		if _, err := readUvarint(bytes.NewReader(append(longer, 0))); !errors.Is(err, ErrIndex) {
			t.Errorf("%d with a zero more: %v", n, err)
		}
	}
	for _, bad := range [][]byte{bytes.Repeat([]byte{0xff}, 20), append(bytes.Repeat([]byte{0xff}, 9), 2), append(bytes.Repeat([]byte{0x80}, 10), 1)} {
		if _, err := readUvarint(bytes.NewReader(bad)); !errors.Is(err, ErrIndex) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}

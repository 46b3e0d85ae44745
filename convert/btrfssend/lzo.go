package btrfssend

import (
	"encoding/binary"
	"errors"
)

var errLzo = errors.New("lzo: not what a compressor writes")

// unpackLzo undoes what btrfs makes of lzo (fs/btrfs/lzo.c): the length of all, then
// for each sector of content its compressed length and LZO1X data. No length
// crosses the end of a sector of the compressed data.
func unpackLzo(to, packed []byte, sector int) (n int, err error) {
	if len(packed) < 4 {
		return 0, errLzo
	}
	total := binary.LittleEndian.Uint32(packed)
	if total < 4 || uint64(total) > uint64(len(packed)) {
		return 0, errLzo
	}
	packed = packed[:total]
	for at := 4; at < len(packed) && n < len(to); {
		if left := sector - at%sector; left < 4 {
			at += left
		}
		if at >= len(packed) {
			break
		}
		if at+4 > len(packed) {
			return 0, errLzo
		}
		size := binary.LittleEndian.Uint32(packed[at:])
		at += 4
		if uint64(size) > uint64(len(packed)-at) {
			return 0, errLzo
		}
		more, err := lzo1x(to[n:min(n+sector, len(to))], packed[at:at+int(size)])
		if err != nil {
			return 0, err
		}
		n += more
		at += int(size)
	}
	return n, nil
}

// lzoInput is a compressed segment that is being read; a read beyond its end gives
// zeros and is noticed.
type lzoInput struct {
	p    []byte
	over bool
}

func (in *lzoInput) byte() int {
	if len(in.p) == 0 {
		in.over = true
		return 0
	}
	b := in.p[0]
	in.p = in.p[1:]
	return int(b)
}

// length reads a length that did not fit into its instruction: 255 for each zero
// byte, and what follows these.
func (in *lzoInput) length(short int) int {
	n := short
	for {
		b := in.byte()
		if b != 0 || in.over {
			return n + b
		}
		n += 255
	}
}

// lzo1x decompresses one segment (the kernel's Documentation/staging/lzo.rst,
// bitstream version 0) and gives the length of its content.
func lzo1x(to, packed []byte) (n int, err error) {
	in := &lzoInput{p: packed}
	literals := func(count int) bool {
		if count > len(in.p) || count > len(to)-n {
			return false
		}
		n += copy(to[n:], in.p[:count])
		in.p = in.p[count:]
		return true
	}
	state := 0 // how many literals the last instruction copied; 4 is four and more
	if len(packed) > 0 && packed[0] > 17 {
		count := in.byte() - 17
		if !literals(count) {
			return 0, errLzo
		}
		state = min(count, 4)
	}
	for {
		op := in.byte()
		if op < 16 && state == 0 { // a run of literals
			count := op + 3
			if op == 0 {
				count = in.length(15 + 3)
			}
			if !literals(count) || in.over {
				return 0, errLzo
			}
			state = 4
			continue
		}
		distance, length, trailing := in.match(op, state)
		if in.over {
			return 0, errLzo
		}
		if distance == 0 { // the end
			if len(in.p) > 0 || length != 3 {
				return 0, errLzo
			}
			return n, nil
		}
		if distance > n || length > len(to)-n {
			return 0, errLzo
		}
		for range length {
			to[n] = to[n-distance]
			n++
		}
		if state = trailing; !literals(trailing) {
			return 0, errLzo
		}
	}
}

// match reads an instruction that copies what came out before: how far back it
// begins, how long it is, and how many literals follow it.
func (in *lzoInput) match(op, state int) (distance, length, trailing int) {
	switch {
	case op >= 64:
		length = op>>5 + 1
		return in.byte()<<3 + op>>2&7 + 1, length, op & 3
	case op >= 32:
		if length = op&31 + 2; length == 2 {
			length = in.length(31 + 2)
		}
		low := in.byte() | in.byte()<<8
		return low>>2 + 1, length, low & 3
	case op >= 16:
		if length = op&7 + 2; length == 2 {
			length = in.length(7 + 2)
		}
		low := in.byte() | in.byte()<<8
		if distance = op&8<<11 + low>>2; distance == 0 {
			return 0, length, 0
		}
		return distance + 16384, length, low & 3
	case state == 4:
		return in.byte()<<2 + op>>2 + 2049, 3, op & 3
	}
	return in.byte()<<2 + op>>2 + 1, 2, op & 3
}

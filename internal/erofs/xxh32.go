package erofs

import (
	"encoding/binary"
	"math/bits"
)

const (
	prime1 = 0x9E3779B1
	prime2 = 0x85EBCA77
	prime3 = 0xC2B2AE3D
	prime4 = 0x27D4EB2F
	prime5 = 0x165667B1
)

// xxh32 is the 32-bit xxHash.
//
// Source: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md.
func xxh32(p string, seed uint32) uint32 {
	b := []byte(p)
	h := seed + prime5
	if len(b) >= 16 {
		v1, v2, v3, v4 := seed+prime1+prime2, seed+prime2, seed, seed-prime1
		for ; len(b) >= 16; b = b[16:] {
			v1 = lane(v1, b)
			v2 = lane(v2, b[4:])
			v3 = lane(v3, b[8:])
			v4 = lane(v4, b[12:])
		}
		h = bits.RotateLeft32(v1, 1) + bits.RotateLeft32(v2, 7) + bits.RotateLeft32(v3, 12) + bits.RotateLeft32(v4, 18)
	}
	h += uint32(len(p))
	for ; len(b) >= 4; b = b[4:] {
		h = bits.RotateLeft32(h+binary.LittleEndian.Uint32(b)*prime3, 17) * prime4
	}
	for _, c := range b {
		h = bits.RotateLeft32(h+uint32(c)*prime5, 11) * prime1
	}
	h = (h ^ h>>15) * prime2
	h = (h ^ h>>13) * prime3
	return h ^ h>>16
}

func lane(v uint32, b []byte) uint32 {
	return bits.RotateLeft32(v+binary.LittleEndian.Uint32(b)*prime2, 13) * prime1
}

package digest

import (
	"encoding/binary"

	"golang.org/x/sys/cpu"
)

// pairs is whether the CPU hashes two blocks in little more time than one: with the
// instructions for SHA-256.
var pairs = cpu.X86.HasSSSE3 && cpu.X86.HasSSE41 && hasSHA()

//go:noescape
func hasSHA() bool

// compressPair takes in as many blocks of 64 bytes each, at a and at b.
//
//go:noescape
func compressPair(states *[2][8]uint32, a, b *byte, blocks int)

// start is the state of SHA-256 before the first block: FIPS 180-4, section 5.3.3.
var start = [8]uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}

// padding is what SHA-256 adds to BlockSize bytes: FIPS 180-4, section 5.1.1.
var padding = [64]byte{0: 0x80, 62: BlockSize * 8 >> 8}

// hashPair hashes two blocks of BlockSize bytes, one behind the other. It needs pairs.
func hashPair(p *[2 * BlockSize]byte) (sums [2 * Size]byte) {
	states := [2][8]uint32{start, start}
	compressPair(&states, &p[0], &p[BlockSize], BlockSize/64)
	compressPair(&states, &padding[0], &padding[0], 1)
	for i := range sums[:2*Size/4] {
		binary.BigEndian.PutUint32(sums[4*i:], states[i/8][i%8])
	}
	return sums
}

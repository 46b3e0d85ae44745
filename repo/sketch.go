package repo

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// A sketch stands for a content when likeness is asked for: the smallest hashes of
// its 8-byte pieces, at whatever offset they are. Two contents have so much of
// their sketches in common as they have of their pieces (Broder, "On the
// resemblance and containment of documents", 1997).
type sketch []uint64

const (
	sketchSize = 32
	// sketchSample is which part of all pieces can be in a sketch of a content
	// that is not small: one in so many.
	sketchSample = 64
)

// newSketch makes the sketch of a content.
func newSketch(data []byte) sketch {
	sample := uint64(sketchSample)
	if len(data) < 16<<10 {
		sample = 4
	}
	var found sketch
	limit := ^uint64(0) / sample
	for i := 0; i+8 <= len(data); i++ {
		piece := binary.LittleEndian.Uint64(data[i:])
		if h := mix(piece); h < limit && !dull(piece) {
			if found = append(found, h); len(found) == 64*sketchSize {
				found = found.smallest()
				if len(found) == sketchSize {
					limit = found[sketchSize-1] // larger ones cannot count any more
				}
			}
		}
	}
	return slices.Clip(found.smallest())
}

// mix spreads a piece over all 64 bits.
func mix(x uint64) uint64 {
	x *= 0x9e3779b97f4a7c15
	x ^= bits.RotateLeft64(x, 29)
	x *= 0xbf58476d1ce4e5b9
	return x ^ x>>32
}

// dull pieces are in everything: one byte or two again and again.
func dull(piece uint64) bool { return piece == bits.RotateLeft64(piece, 16) }

func (s sketch) smallest() sketch {
	slices.Sort(s)
	s = slices.Compact(s)
	return s[:min(len(s), sketchSize)]
}

// common counts what two sketches share.
func (s sketch) common(t sketch) (n int) {
	for i, j := 0, 0; i < len(s) && j < len(t); {
		switch {
		case s[i] < t[j]:
			i++
		case s[i] > t[j]:
			j++
		default:
			n, i, j = n+1, i+1, j+1
		}
	}
	return n
}

package digest

import (
	"crypto/sha256"
	"fmt"
	"sync"
)

// Span is the content under one block of hashes, in bytes: pieces given to a
// Builder begin at its multiples.
const Span = BlockSize * hashesPerBlock // 512 KiB

// Builder names content whose pieces arrive in any order, from any number of
// goroutines: the Merkle tree has no order. It keeps 32 bytes for each 512 KiB.
type Builder struct {
	size int64
	mu   sync.Mutex
	sums []Digest // of the hash block over each span
	have []bool
	left int
}

// NewBuilder starts content of a known size in bytes.
func NewBuilder(size int64) *Builder {
	spans := int((size + Span - 1) / Span)
	return &Builder{size: size, sums: make([]Digest, spans), have: make([]bool, spans), left: spans}
}

// Add hashes the piece of the content that begins at offset. Pieces begin at
// multiples of Span and end at one or at the content's end. A piece given twice
// counts as the later one.
func (b *Builder) Add(offset int64, p []byte) error {
	end := offset + int64(len(p))
	if offset < 0 || offset%Span != 0 || end > b.size || (end%Span != 0 && end != b.size) {
		return fmt.Errorf("piece from %d to %d of %d bytes: not on a multiple of %d", offset, end, b.size, Span)
	}
	for ; len(p) > 0; offset += Span {
		n := min(len(p), Span)
		sum := spanSum(p[:n], b.size <= BlockSize)
		b.set(int(offset/Span), sum)
		p = p[n:]
	}
	return nil
}

// spanSum hashes one span's block of hashes; content of one block has none, and
// its root is the hash of the block itself.
func spanSum(p []byte, single bool) Digest {
	if single {
		return hashPadded(p)
	}
	var block [BlockSize]byte
	sums := hashBlocks(block[:0], p[:len(p)/BlockSize*BlockSize])
	if rest := p[len(sums)/Size*BlockSize:]; len(rest) > 0 {
		sum := hashPadded(rest)
		copy(block[len(sums):], sum[:])
	}
	return sha256.Sum256(block[:])
}

func (b *Builder) set(i int, sum Digest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.have[i] {
		b.have[i] = true
		b.left--
	}
	b.sums[i] = sum
}

// Digest names the content; it is an error while pieces are missing.
func (b *Builder) Digest() (Digest, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left > 0 {
		return Digest{}, fmt.Errorf("naming content of %d bytes: %d of %d pieces are missing", b.size, b.left, len(b.sums))
	}
	var levels spine
	for _, sum := range b.sums {
		levels.add(0, sum)
	}
	return finish(levels.root(), b.size), nil
}

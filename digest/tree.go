package digest

import (
	"bytes"
	"fmt"
	"io"
)

// Tree is the Merkle tree of some content, kept so that each block can be
// checked by itself. It takes 1/127 of the content's size. It is safe for
// concurrent use once built.
type Tree struct {
	size   int64
	levels [][]byte // hashes; levels[0] is over content blocks; each padded to whole blocks
}

// BuildTree reads r to its end and keeps the tree of it.
func BuildTree(r io.Reader) (*Tree, error) {
	t := &Tree{levels: [][]byte{nil}}
	buf := make([]byte, 64*BlockSize)
	for {
		n, err := io.ReadFull(r, buf)
		t.size += int64(n)
		whole := n / BlockSize * BlockSize
		t.levels[0] = hashBlocks(t.levels[0], buf[:whole])
		if whole < n {
			sum := hashPadded(buf[whole:n])
			t.levels[0] = append(t.levels[0], sum[:]...)
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	t.fold()
	return t, nil
}

// ParseTree takes the leaves that Leaves gave, for content of a known name and
// size. Input untrusted: the leaves are refused unless they lead to the digest.
func ParseTree(leaves []byte, want Digest, size int64) (*Tree, error) {
	if blocks := (size + BlockSize - 1) / BlockSize; size < 0 || int64(len(leaves)) != blocks*Size {
		return nil, fmt.Errorf("merkle tree of %d bytes: %d bytes of leaves: %w", size, len(leaves), ErrMismatch)
	}
	t := &Tree{size: size, levels: [][]byte{append([]byte(nil), leaves...)}}
	t.fold()
	if have := t.Digest(); have != want {
		return nil, &MismatchError{Want: want, Have: have, WantSize: size, HaveSize: size}
	}
	return t, nil
}

// fold makes the upper levels.
func (t *Tree) fold() {
	for top := t.levels[0]; len(top) > Size; {
		var up []byte
		for p := top; len(p) > 0; p = p[min(BlockSize, len(p)):] {
			sum := hashPadded(p[:min(BlockSize, len(p))])
			up = append(up, sum[:]...)
		}
		t.levels = append(t.levels, up)
		top = up
	}
}

// Digest names the content.
func (t *Tree) Digest() Digest {
	var root Digest
	copy(root[:], t.levels[len(t.levels)-1])
	return finish(root, t.size)
}

// Size is the content's size in bytes.
func (t *Tree) Size() int64 { return t.size }

// Leaves gives the hashes of the content's blocks, 32 bytes each, for ParseTree.
// The caller must not change them.
func (t *Tree) Leaves() []byte { return t.levels[0] }

// Verify checks the piece of the content that begins at offset, a multiple of
// BlockSize; the piece ends at such a multiple or at the content's end. The
// error names the first wrong block and matches ErrMismatch.
func (t *Tree) Verify(offset int64, p []byte) error {
	end := offset + int64(len(p))
	if offset < 0 || offset%BlockSize != 0 || end > t.size || (end%BlockSize != 0 && end != t.size) {
		return fmt.Errorf("range from %d to %d of %d bytes: not on whole blocks", offset, end, t.size)
	}
	for i := offset / BlockSize; len(p) > 0; {
		var buf batch
		sums := hashBatch(&buf, p)
		if len(sums) == 0 {
			sum := hashPadded(p)
			sums = append(sums, sum[:]...)
		}
		p = p[min(len(sums)/Size*BlockSize, len(p)):]
		for ; len(sums) > 0; sums, i = sums[Size:], i+1 {
			if !bytes.Equal(sums[:Size], t.levels[0][i*Size:][:Size]) {
				return fmt.Errorf("block %d (bytes from %d): %w", i, i*BlockSize, ErrMismatch)
			}
		}
	}
	return nil
}

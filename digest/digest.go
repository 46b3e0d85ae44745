package digest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

const (
	// BlockSize is the number of content bytes under one leaf of the Merkle tree.
	BlockSize = 4096
	// Size is the length of a digest in bytes.
	Size = sha256.Size

	hashesPerBlock = BlockSize / Size // 128
	maxLevels      = 8                // enough for 2^63 bytes: 128^8 blocks
)

// ErrMismatch is matched by every error that means "these are not the bytes
// that the digest names".
var ErrMismatch = errors.New("content does not match its digest")

// Digest is the fs-verity digest of some content. The zero Digest names no
// content.
type Digest [Size]byte

// Parse reads the 64 lower-case hex digits that String writes, and nothing else.
func Parse(s string) (Digest, error) {
	var d Digest
	if len(s) != 2*Size {
		return d, fmt.Errorf("digest %.80q: want %d hex digits, have %d", s, 2*Size, len(s))
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return d, fmt.Errorf("digest %q: byte %d is not a lower-case hex digit", s, i)
		}
	}
	_, err := hex.Decode(d[:], []byte(s))
	return d, err
}

// String gives 64 lower-case hex digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short gives the first 12 hex digits, for people.
func (d Digest) Short() string { return hex.EncodeToString(d[:6]) }

// IsZero tells whether d names no content.
func (d Digest) IsZero() bool { return d == Digest{} }

// AppendText implements encoding.TextAppender.
func (d Digest) AppendText(b []byte) ([]byte, error) { return hex.AppendEncode(b, d[:]), nil }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return d.AppendText(nil) }

// UnmarshalText implements encoding.TextUnmarshaler; it is as strict as Parse.
func (d *Digest) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err == nil {
		*d = parsed
	}
	return err
}

// MismatchError says which content was expected and what came instead. It
// matches ErrMismatch.
type MismatchError struct {
	Want, Have         Digest
	WantSize, HaveSize int64 // bytes; HaveSize may be the count when reading stopped
}

func (e *MismatchError) Error() string {
	if e.WantSize != e.HaveSize {
		return fmt.Sprintf("content %s: %v: %d bytes instead of %d", e.Want.Short(), ErrMismatch, e.HaveSize, e.WantSize)
	}
	return fmt.Sprintf("content %s: %v (have %s)", e.Want.Short(), ErrMismatch, e.Have.Short())
}

// Is makes errors.Is(err, ErrMismatch) hold.
func (e *MismatchError) Is(target error) bool { return target == ErrMismatch }

// finish hashes the fs-verity descriptor for content of the given size whose
// Merkle tree has the given root.
func finish(root Digest, size int64) Digest {
	var descriptor [256]byte
	descriptor[0] = 1  // version
	descriptor[1] = 1  // SHA-256
	descriptor[2] = 12 // log2 of the block size
	binary.LittleEndian.PutUint64(descriptor[8:], uint64(size))
	copy(descriptor[16:], root[:])
	return sha256.Sum256(descriptor[:])
}

// hashBlocks appends the hash of each whole block of p, whose length is a
// multiple of BlockSize.
func hashBlocks(to, p []byte) []byte {
	for ; pairs && len(p) >= 2*BlockSize; p = p[2*BlockSize:] {
		sums := hashPair((*[2 * BlockSize]byte)(p))
		to = append(to, sums[:]...)
	}
	for ; len(p) > 0; p = p[BlockSize:] {
		sum := sha256.Sum256(p[:BlockSize])
		to = append(to, sum[:]...)
	}
	return to
}

// batch is room for the hashes of some blocks.
type batch [16 * Size]byte

// hashBatch gives the hashes of the first whole blocks of p, as many as buf can hold.
func hashBatch(buf *batch, p []byte) []byte {
	n := min(len(p)/BlockSize, len(buf)/Size)
	return hashBlocks(buf[:0], p[:n*BlockSize])
}

// hashPadded gives the hash of one block of at most BlockSize bytes, padded
// with zeros.
func hashPadded(p []byte) Digest {
	var block [BlockSize]byte
	copy(block[:], p)
	return sha256.Sum256(block[:])
}

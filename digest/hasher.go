package digest

import (
	"crypto/sha256"
	"errors"
	"io"
	"runtime"
	"sync"
)

// Hasher computes the digest of what is written to it. It needs constant memory
// (a block for each level of the tree). The zero Hasher is ready for use; it is
// not safe for concurrent use.
type Hasher struct {
	block  [BlockSize]byte // an unfinished block of content
	filled int
	size   int64
	levels spine
}

// Write adds content. It never fails.
func (h *Hasher) Write(p []byte) (int, error) {
	n := len(p)
	h.size += int64(n)
	if h.filled > 0 {
		k := copy(h.block[h.filled:], p)
		h.filled, p = h.filled+k, p[k:]
		if h.filled < BlockSize {
			return n, nil
		}
		h.levels.add(0, sha256.Sum256(h.block[:]))
		h.filled = 0
	}
	for len(p) >= BlockSize {
		var buf batch
		sums := hashBatch(&buf, p)
		p = p[len(sums)/Size*BlockSize:]
		for ; len(sums) > 0; sums = sums[Size:] {
			h.levels.add(0, Digest(sums[:Size]))
		}
	}
	h.filled = copy(h.block[:], p)
	return n, nil
}

// Size gives the number of bytes written so far.
func (h *Hasher) Size() int64 { return h.size }

// Digest names what was written so far. More may be written afterwards.
func (h *Hasher) Digest() Digest {
	levels := h.levels
	if h.filled > 0 {
		levels.add(0, hashPadded(h.block[:h.filled]))
	}
	return finish(levels.root(), h.size)
}

// Reset makes h as new.
func (h *Hasher) Reset() { h.filled, h.size, h.levels = 0, 0, spine{} }

// spine is the right edge of a growing Merkle tree: for each level, the hashes
// of the block that is not full yet.
type spine struct {
	block [maxLevels][BlockSize]byte
	count [maxLevels]int // hashes in block
	depth int            // levels in use
}

// add appends one hash to a level, and to those above it as blocks fill up.
// A full block is folded only when the next hash arrives, so that a tree of
// exactly 128^n blocks has the right depth.
func (s *spine) add(level int, sum Digest) {
	for {
		if level >= s.depth {
			s.depth = level + 1
		}
		if s.count[level] < hashesPerBlock {
			copy(s.block[level][s.count[level]*Size:], sum[:])
			s.count[level]++
			return
		}
		up := Digest(sha256.Sum256(s.block[level][:]))
		copy(s.block[level][:], sum[:])
		s.count[level] = 1
		level, sum = level+1, up
	}
}

// root folds what is left; s is used up.
func (s *spine) root() Digest {
	for level := 0; level < s.depth; level++ {
		if level == s.depth-1 && s.count[level] == 1 {
			return Digest(s.block[level][:Size])
		}
		clear(s.block[level][s.count[level]*Size:])
		s.add(level+1, sha256.Sum256(s.block[level][:]))
	}
	return Digest{} // empty content
}

// Of names content that is in memory.
func Of(p []byte) Digest {
	if len(p) == 0 {
		return finish(Digest{}, 0)
	}
	if len(p) <= BlockSize {
		return finish(hashPadded(p), int64(len(p)))
	}
	var h Hasher
	h.Write(p)
	return h.Digest()
}

// sumChunk is how much of a stream one goroutine hashes at a time: 64 blocks of
// the first tree level.
const sumChunk = 64 * BlockSize

// Sum names the content of r to its end and counts its bytes. Large content is
// hashed by as many goroutines as there are cores, from a few buffers of
// 256 KiB; r is read by one.
func Sum(r io.Reader) (Digest, int64, error) {
	first := chunks.Get().(*chunk)
	defer chunks.Put(first)
	n, err := io.ReadFull(r, first.data[:])
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return Of(first.data[:n]), int64(n), nil
	case err != nil:
		return Digest{}, int64(n), err
	}
	return sumParallel(first, r)
}

// chunk is a piece of a stream on its way to a worker and back.
type chunk struct {
	data   [sumChunk]byte
	filled int
	sums   []byte
	hashed chan struct{}
}

var chunks = sync.Pool{New: func() any {
	return &chunk{sums: make([]byte, 0, sumChunk/BlockSize*Size), hashed: make(chan struct{}, 1)}
}}

func (c *chunk) hash() {
	whole := c.filled / BlockSize * BlockSize
	c.sums = hashBlocks(c.sums[:0], c.data[:whole])
	if whole < c.filled {
		sum := hashPadded(c.data[whole:c.filled])
		c.sums = append(c.sums, sum[:]...)
	}
	c.hashed <- struct{}{}
}

// sumParallel hashes first, which is full, and the rest of r.
func sumParallel(first *chunk, r io.Reader) (Digest, int64, error) {
	workers := runtime.GOMAXPROCS(0)
	work := make(chan *chunk)
	defer close(work)
	for range workers {
		go func() {
			for c := range work {
				c.hash()
			}
		}()
	}
	var (
		levels  spine
		size    int64
		pending []*chunk // in stream order
	)
	collect := func() {
		c := pending[0]
		pending = pending[1:]
		<-c.hashed
		for sums := c.sums; len(sums) > 0; sums = sums[Size:] {
			levels.add(0, Digest(sums[:Size]))
		}
		if c != first {
			chunks.Put(c)
		}
	}
	first.filled = sumChunk
	for c, end := first, false; ; {
		size += int64(c.filled)
		pending = append(pending, c)
		work <- c
		if end {
			break
		}
		if len(pending) > workers {
			collect()
		}
		c = chunks.Get().(*chunk)
		n, err := io.ReadFull(r, c.data[:])
		c.filled = n
		if err != nil && !errors.Is(err, io.EOF) && err != io.ErrUnexpectedEOF {
			for len(pending) > 0 {
				collect()
			}
			return Digest{}, size + int64(n), err
		}
		if end = err != nil; end && n == 0 {
			chunks.Put(c)
			break
		}
	}
	for len(pending) > 0 {
		collect()
	}
	return finish(levels.root(), size), size, nil
}

package erofs

import (
	"bytes"
	"fmt"
	"math"
	"math/bits"
)

// Sizes of the format, in bytes.
const (
	blockSize      = 4096
	slotSize       = 32
	superOffset    = 1024
	superSize      = 128
	inodesStart    = superOffset + superSize
	entrySize      = 12 // of a directory, without its name
	maxShared      = 128
	xattrHeader    = 12
	mostTail       = blockSize / 2
	leastChunkBits = 12
	mostChunkBits  = 43
)

// extended tells whether an inode needs 64 bytes.
func (img *Image) extended(i *inode) bool {
	return i.time() != img.oldest || i.nlink > math.MaxUint16 || i.uid > math.MaxUint16 || i.gid > math.MaxUint16 || i.size > math.MaxUint32
}

func (img *Image) header(i *inode) int64 {
	if img.extended(i) {
		return 64
	}
	return 32
}

// body is the size of an inode's attributes, and how many of them it shares.
func (img *Image) body(i *inode) (size int64, shared int) {
	if i.xattrs.n == 0 {
		return 0, 0
	}
	size = xattrHeader
	for _, n := range img.list(i) {
		p := &img.pairs.list[n]
		if p.users > 1 && shared < maxShared {
			shared++
			size += 4
		} else {
			size += int64(img.pairs.stored(p))
		}
	}
	return size, shared
}

// entries gives the names of a directory, . and .. among them, and what they stand
// for.
func (img *Image) entries(n int32, yield func(name []byte, target int32)) {
	dots := []struct {
		name   []byte
		target int32
	}{{[]byte("."), n}, {[]byte(".."), img.nodes[n].parent}}
	for _, c := range img.children(n) {
		name := img.bytes(img.nodes[c].name)
		for len(dots) > 0 && bytes.Compare(dots[0].name, name) < 0 {
			yield(dots[0].name, dots[0].target)
			dots = dots[1:]
		}
		target := c
		if img.nodes[c].further {
			target = img.nodes[c].target
		}
		yield(name, target)
	}
	for _, d := range dots {
		yield(d.name, d.target)
	}
}

// measure finds out how many blocks a directory fills, and what is left.
func (img *Image) measure(n int32) (full, last int) {
	img.entries(n, func(name []byte, _ int32) {
		need := entrySize + len(name)
		if last+need > blockSize {
			full++
			last = 0
		}
		last += need
	})
	return full, last
}

// shape finds how much of an inode's data stands in blocks, and how much behind it.
func (img *Image) shape(n int32, i *inode) {
	switch {
	case i.kind() == typeDir:
		full, last := img.measure(n)
		i.blocks, i.tail = uint32(full), uint32(last)
		if last > mostTail {
			i.blocks, i.tail = uint32(full+1), 0
		}
		i.size = uint64(i.blocks)*blockSize + uint64(i.tail)
	case i.kind() == typeLink:
		i.tail = uint32(i.size)
	case i.inside:
		i.blocks, i.tail = uint32(i.size/blockSize), uint32(i.size%blockSize)
		if i.tail > mostTail {
			i.blocks, i.tail = i.blocks+1, 0
		}
	case i.kind() == typeFile && i.size > 0:
		i.tail = uint32(4 * chunks(i.size))
	}
}

// chunkBits says how large the chunks of a file are that has its content elsewhere.
func chunkBits(size uint64) int {
	return min(max(bits.Len64(size-1), leastChunkBits), mostChunkBits)
}

func chunks(size uint64) uint64 {
	b := chunkBits(size)
	return (size + 1<<b - 1) >> b
}

// place gives every inode and block its place.
func (img *Image) place() error {
	pos := int64(inodesStart)
	var blocks int64
	for _, n := range img.order {
		i := &img.nodes[n]
		img.shape(n, i)
		pos = img.placeInode(i, alignUp(pos, slotSize))
		i.block = uint32(blocks)
		blocks += int64(i.blocks)
		if pos > MaxSize || blocks > MaxSize/blockSize {
			return fmt.Errorf("%w: an image of more than %d bytes", ErrTooLarge, int64(MaxSize))
		}
	}
	img.inodesEnd = alignUp(pos, slotSize)
	var area int64
	for _, n := range img.shared {
		p := &img.pairs.list[n]
		p.place = uint32(area)
		area += int64(img.pairs.stored(p))
	}
	img.dataStart = alignUp(img.inodesEnd+area, blockSize)
	img.blocks = img.dataStart/blockSize + blocks
	if img.Size() > MaxSize {
		return fmt.Errorf("%w: an image of %d bytes, limit %d", ErrTooLarge, img.Size(), int64(MaxSize))
	}
	return nil
}

// placeInode places one at or behind pos, and gives its end. What stands behind an
// inode must not cross a block's end; of a symlink nothing may.
func (img *Image) placeInode(i *inode, pos int64) (end int64) {
	body, _ := img.body(i)
	head := img.header(i) + body
	if i.kind() == typeLink {
		total := head + int64(i.tail)
		if pos/blockSize != (pos+total-1)/blockSize {
			pos = alignUp(pos, blockSize)
		}
		if total >= blockSize {
			i.blocks, i.tail = 1, 0
		}
	} else if room := blockSize - (pos+head)%blockSize; room < int64(i.tail) {
		extra := alignUp(room, slotSize)
		if int64(i.tail) <= blockSize-(pos+head+extra)%blockSize {
			pos += extra
		} else {
			i.blocks, i.tail = i.blocks+1, 0
			pos = alignUp(pos, blockSize)
		}
	}
	i.nid = uint32(pos / slotSize)
	return pos + head + int64(i.tail)
}

func alignUp(n, to int64) int64 { return (n + to - 1) / to * to }

// Size is the image's, in bytes.
func (img *Image) Size() int64 { return img.blocks * blockSize }

// Version is the composefs format that the image has: 0 or 1.
func (img *Image) Version() int { return img.version }

// Inodes is how many there are, those that hide the folders of contents among them.
func (img *Image) Inodes() int { return len(img.order) }

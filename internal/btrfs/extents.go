package btrfs

import (
	"os"
	"unsafe"
)

const (
	ioctlFiemap   = 0xc020660b
	fiemapSync    = 1 << 0
	extentLast    = 1 << 0
	extentUnknown = 1<<1 | 1<<2 | 1<<7 | 1<<8 | 1<<9 // its place is unknown or not yet given, or it is no place of its own
	extentsAtOnce = 64
)

// extent is struct fiemap_extent.
type extent struct {
	logical, physical, length uint64
	_                         [2]uint64
	flags                     uint32
	_                         [3]uint32
}

// extentMap is struct fiemap.
type extentMap struct {
	start, length uint64
	flags         uint32
	mapped, count uint32
	_             uint32
	extents       [extentsAtOnce]extent
}

// SameExtents tells whether two files of one file system are the same blocks on the
// disk, and so the same bytes, without reading them. Both must be of one size. Files
// that are so small that they have no blocks of their own are not, nor is what the file
// system does not tell.
//
// Source: Documentation/filesystems/fiemap.rst.
func SameExtents(a, b *os.File) bool {
	for start := uint64(0); ; {
		one, ok := extentsFrom(a, start)
		if !ok {
			return false
		}
		two, ok := extentsFrom(b, start)
		if !ok || len(one) != len(two) {
			return false
		}
		for i := range one {
			if one[i] != two[i] || one[i].flags&extentUnknown != 0 {
				return false
			}
		}
		if len(one) == 0 {
			return start > 0
		}
		last := one[len(one)-1]
		if last.flags&extentLast != 0 {
			return true
		}
		start = last.logical + last.length
	}
}

// extentsFrom gives the next extents from an offset on, less what says with how many
// others they are shared.
func extentsFrom(f *os.File, start uint64) ([]extent, bool) {
	m := extentMap{start: start, length: ^uint64(0) - start, flags: fiemapSync, count: extentsAtOnce}
	if err := call(f, ioctlFiemap, unsafe.Pointer(&m)); err != nil || m.mapped > extentsAtOnce {
		return nil, false
	}
	const shared = 1 << 13
	for i := range m.extents {
		m.extents[i].flags &^= shared
	}
	return m.extents[:m.mapped], true
}

// check at compile time that the structures have the kernel's sizes.
var (
	_ [4096]byte = [unsafe.Sizeof(args{})]byte{}
	_ [4096]byte = [unsafe.Sizeof(argsV2{})]byte{}
	_ [504]byte  = [unsafe.Sizeof(info{})]byte{}
	_ [56]byte   = [unsafe.Sizeof(extent{})]byte{}
	_ [32]byte   = [unsafe.Offsetof(extentMap{}.extents)]byte{}
)

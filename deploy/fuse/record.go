package fuse

import (
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/tree"
)

// record is an entry of an index:
//
//	 0  mode, with the type bits     u32
//	 4  owner                        u32, u32
//	12  time                         u32 nanoseconds, u64 seconds
//	24  node id of a file            u64; 0 for others
//	32  name in the heap             u32 at, u8 bytes; u8: 1 if the content is in the heap
//	40  a, b                         u32, u32
//	48  attributes in the heap       u32 at, u32 bytes
//
// a and b are a directory's first child and how many it has; the place and length in
// the heap of a symlink's text or of small content; else a is the number of the
// content.
type record []byte

func (r record) mode() uint32    { return binary.LittleEndian.Uint32(r) }
func (r record) uid() uint32     { return binary.LittleEndian.Uint32(r[4:]) }
func (r record) gid() uint32     { return binary.LittleEndian.Uint32(r[8:]) }
func (r record) nsec() uint32    { return binary.LittleEndian.Uint32(r[12:]) }
func (r record) sec() uint64     { return binary.LittleEndian.Uint64(r[16:]) }
func (r record) file() uint64    { return binary.LittleEndian.Uint64(r[24:]) }
func (r record) nameAt() uint32  { return binary.LittleEndian.Uint32(r[32:]) }
func (r record) nameLen() byte   { return r[36] }
func (r record) inline() bool    { return r[37] == 1 }
func (r record) a() uint32       { return binary.LittleEndian.Uint32(r[40:]) }
func (r record) b() uint32       { return binary.LittleEndian.Uint32(r[44:]) }
func (r record) xattrAt() uint32 { return binary.LittleEndian.Uint32(r[48:]) }
func (r record) xattrLen() uint32 {
	return binary.LittleEndian.Uint32(r[52:])
}

// inode is what stat shows of it, but for the size.
func (r record) inode() []byte { return r[:24] }

// kind tells what it is; the zero Kind if it is nothing that a tree has.
func (r record) kind() tree.Kind {
	switch r.mode() & unix.S_IFMT {
	case unix.S_IFDIR:
		return tree.Directory
	case unix.S_IFLNK:
		return tree.Symlink
	case unix.S_IFREG:
		return tree.Regular
	}
	return 0
}

// content is a content of an index:
//
//	 0  digest
//	32  bytes                           u64
//	40  where its leaves are, in bytes  u64; nothing for content of one block
//	48  place                           u32
type content []byte

func (c content) digest() digest.Digest { return digest.Digest(c[:digest.Size]) }
func (c content) size() int64           { return int64(binary.LittleEndian.Uint64(c[32:])) }
func (c content) leavesAt() int64       { return int64(binary.LittleEndian.Uint64(c[40:])) }
func (c content) place() uint32         { return binary.LittleEndian.Uint32(c[48:]) }

// leavesSize is how many bytes of leaves are kept for content of this size.
func leavesSize(size int64) int64 {
	if size <= digest.BlockSize {
		return 0
	}
	return (size + digest.BlockSize - 1) / digest.BlockSize * digest.Size
}

func (x *index) xattrs(r record) []byte { return x.slice(r.xattrAt(), r.xattrLen()) }

// eachXattr gives names and values of attributes, up to the first that is not well
// formed.
func eachXattr(list []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for len(list) > 0 {
			name, rest, ok := cutCounted(list)
			if !ok {
				return
			}
			value, rest, ok := cutCounted(rest)
			if !ok || !yield(string(name), value) {
				return
			}
			list = rest
		}
	}
}

func (x *index) soundXattrs(r record) bool {
	if !x.inHeap(r.xattrAt(), r.xattrLen()) {
		return false
	}
	size := 0
	for name, value := range eachXattr(x.xattrs(r)) {
		size += 4 + len(name) + len(value)
	}
	return size == int(r.xattrLen())
}

// cutCounted takes bytes that stand behind their number (u16).
func cutCounted(list []byte) (value, rest []byte, ok bool) {
	if len(list) < 2 {
		return nil, nil, false
	}
	n := int(binary.LittleEndian.Uint16(list))
	if len(list) < 2+n {
		return nil, nil, false
	}
	return list[2 : 2+n], list[2+n:], true
}

func appendCounted[T string | []byte](list []byte, value T) []byte {
	return append(binary.LittleEndian.AppendUint16(list, uint16(len(value))), value...)
}

package fuse

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sort"
	"strings"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/tree"
)

// An index is a tree in the form from which the server answers: tables of records
// of one size, and a heap of bytes to which they refer. Children of a directory
// stand one after the other, sorted, so a name is found by halving. It is kept in
// memory as it is in its file, without a pointer:
//
//	magic, counts                headSize
//	the digest of the tree's text
//	records                      recordSize each; the first is the root
//	contents                     contentSize each
//	places                       spanSize each: where contents are, in the heap
//	heap
//	the digest of all before     digest.Size
//
// All numbers are little-endian. The same tree gives the same index.
type index struct {
	data     []byte
	records  []byte
	contents []byte
	places   []byte
	heap     []byte
	digest   digest.Digest // of the whole, as at the end of the file
}

const (
	indexMagic  = "LARCHFS1"
	headSize    = len(indexMagic) + 4*4 + digest.Size
	recordSize  = 56
	contentSize = 56
	spanSize    = 8

	// maxIndex bounds an index, in bytes: 4 million entries, as many as a tree may have,
	// with 200 bytes each.
	maxIndex = 1 << 30
)

// parseIndex takes an index apart. Input untrusted: after it, no number in it leads
// outside. Damage matches digest.ErrMismatch. data is kept.
func parseIndex(data []byte) (*index, error) {
	if len(data) < headSize+digest.Size || string(data[:len(indexMagic)]) != indexMagic {
		return nil, fmt.Errorf("index of %d bytes: no index: %w", len(data), digest.ErrMismatch)
	}
	body, sum := data[:len(data)-digest.Size], digest.Digest(data[len(data)-digest.Size:])
	if have := digest.Of(body); have != sum {
		return nil, &digest.MismatchError{Want: sum, Have: have, WantSize: int64(len(body)), HaveSize: int64(len(body))}
	}
	x := &index{data: data, digest: sum}
	if !x.cut(body) || !x.sound() {
		return nil, fmt.Errorf("index: its tables do not fit together: %w", digest.ErrMismatch)
	}
	return x, nil
}

// cut finds the tables.
func (x *index) cut(body []byte) bool {
	rest := body[headSize:]
	for i, table := range []struct {
		to   *[]byte
		size uint64
	}{{&x.records, recordSize}, {&x.contents, contentSize}, {&x.places, spanSize}, {&x.heap, 1}} {
		n := uint64(binary.LittleEndian.Uint32(body[len(indexMagic)+4*i:])) * table.size
		if n > uint64(len(rest)) {
			return false
		}
		*table.to, rest = rest[:n:n], rest[n:]
	}
	return len(rest) == 0
}

// sound checks all numbers.
func (x *index) sound() bool {
	n := x.entries()
	if n == 0 || x.record(0).kind() != tree.Directory {
		return false
	}
	next := uint32(1) // children are numbered in the order of their parents
	for i := range n {
		r := x.record(i)
		if !x.soundRecord(r) {
			return false
		}
		if r.kind() == tree.Directory {
			if r.a() != next || r.b() > n-next || !x.sorted(r.a(), r.b()) {
				return false
			}
			next += r.b()
		}
	}
	return next == n && x.soundContents()
}

func (x *index) soundRecord(r record) bool {
	if !x.inHeap(r.nameAt(), uint32(r.nameLen())) || !x.soundXattrs(r) {
		return false
	}
	switch r.kind() {
	case tree.Directory:
		return true
	case tree.Symlink:
		return x.inHeap(r.a(), r.b())
	case tree.Regular:
		if r.inline() {
			return x.inHeap(r.a(), r.b())
		}
		return r.a() < uint32(len(x.contents)/contentSize)
	}
	return false
}

func (x *index) soundContents() bool {
	for i := range uint32(len(x.contents) / contentSize) {
		c := x.content(i)
		if c.place() >= uint32(len(x.places)/spanSize) || c.size() < 0 {
			return false
		}
	}
	for i := range uint32(len(x.places) / spanSize) {
		p := x.places[i*spanSize:]
		if !x.inHeap(binary.LittleEndian.Uint32(p), binary.LittleEndian.Uint32(p[4:])) {
			return false
		}
	}
	return true
}

func (x *index) inHeap(at, n uint32) bool { return uint64(at)+uint64(n) <= uint64(len(x.heap)) }

// sorted tells whether children are sorted and have names that can be looked up.
func (x *index) sorted(first, count uint32) bool {
	last := ""
	for i := first; i < first+count; i++ {
		r := x.record(i)
		if !x.inHeap(r.nameAt(), uint32(r.nameLen())) {
			return false
		}
		name := x.name(r)
		if name <= last || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			return false
		}
		last = name
	}
	return true
}

// entries is how many records there are.
func (x *index) entries() uint32 { return uint32(len(x.records) / recordSize) }

// record gives the record i, which there is.
func (x *index) record(i uint32) record {
	return record(x.records[int(i)*recordSize:][:recordSize])
}

// content gives the content i, which there is.
func (x *index) content(i uint32) content {
	return content(x.contents[int(i)*contentSize:][:contentSize])
}

func (x *index) slice(at, n uint32) []byte { return x.heap[at : at+n : at+n] }

func (x *index) name(r record) string { return string(x.slice(r.nameAt(), uint32(r.nameLen()))) }

// child finds a name in a directory.
func (x *index) child(dir record, name string) (uint32, bool) {
	first, count := dir.a(), int(dir.b())
	i := sort.Search(count, func(i int) bool { return x.name(x.record(first+uint32(i))) >= name })
	if i == count || x.name(x.record(first+uint32(i))) != name {
		return 0, false
	}
	return first + uint32(i), true
}

// size is what stat shows.
func (x *index) size(r record) int64 {
	switch {
	case r.kind() == tree.Directory:
		return 0
	case r.kind() == tree.Symlink || r.inline():
		return int64(r.b())
	}
	return x.content(r.a()).size()
}

// text is a symlink's target, or the content of a file that stands in the index.
func (x *index) text(r record) []byte { return x.slice(r.a(), r.b()) }

// path is where a content is below the site's root.
func (x *index) path(c content) string {
	p := x.places[int(c.place())*spanSize:]
	place := string(x.slice(binary.LittleEndian.Uint32(p), binary.LittleEndian.Uint32(p[4:])))
	return strings.Replace(place, placeMark, shard(c.digest()), 1)
}

// placeMark stands in a place for the digest of the content.
const placeMark = "\x00"

// shard is how the store writes digests: "ab/cdef...".
func shard(d digest.Digest) string {
	text := d.String()
	return text[:2] + "/" + text[2:]
}

// sameFile tells whether two files are one inode: of different indexes, perhaps.
func sameFile(x *index, r record, y *index, s record) bool {
	return bytes.Equal(r.inode(), s.inode()) && bytes.Equal(x.xattrs(r), y.xattrs(s)) && x.identity(r) == y.identity(s)
}

// identity is the content of a regular file.
func (x *index) identity(r record) digest.Digest {
	if r.inline() {
		return digest.Of(x.text(r))
	}
	return x.content(r.a()).digest()
}

// pathOf finds out which path a record has: slowly, for messages.
func (x *index) pathOf(i uint32) tree.Path {
	if i == 0 {
		return "/"
	}
	for parent := range i {
		if r := x.record(parent); r.kind() == tree.Directory && r.a() <= i && i < r.a()+r.b() {
			return x.pathOf(parent).Join(x.name(x.record(i)))
		}
	}
	return "/"
}

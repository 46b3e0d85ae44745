package erofs

import (
	"bytes"
	"hash/maphash"
	"strings"
)

// Names of attributes that mean something to overlayfs or to us.
const (
	overlay    = "trusted.overlay."
	escaped    = "trusted.overlay.overlay."
	metacopy   = "trusted.overlay.metacopy"
	redirect   = "trusted.overlay.redirect"
	opaque     = "trusted.overlay.opaque"
	selinux    = "security.selinux"
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// prefixes of names have numbers, and only the rest is written. The first that fits
// counts, also where it is no more than the beginning of a word.
var prefixes = []struct {
	text  string
	index uint8
}{
	{"user.", 1},
	{aclAccess, 2},
	{aclDefault, 3},
	{"trusted.", 4},
	{"security.", 6},
}

// filterSeed is what the hashes of the filter begin with.
const filterSeed = 0x25BBE08F

// attribute is the name of an attribute.
type attribute struct {
	name   string
	suffix string
	index  uint8
	filter uint32 // its bit

	// Where the inode that was given it last has it, so that a second one in the same
	// inode is seen.
	inode int // counted from 1; 0 for none
	at    int // in lists
}

func newAttribute(name string) attribute {
	a := attribute{name: name, suffix: name}
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(name, p.text); ok {
			a.suffix, a.index = rest, p.index
			break
		}
	}
	a.filter = 1 << (xxh32(a.suffix, filterSeed+uint32(a.index)) & 31)
	return a
}

// pair is an attribute with a value; each is kept once.
type pair struct {
	attribute uint32
	at, size  uint32 // of the value, in the arena
	users     uint32 // inodes
	place     uint32 // in the area of those that are shared, bytes; set with layout
	next      int32  // with the same hash, or -1
}

// stored is what a pair takes in an inode or in the shared area, in bytes.
func (x *pairs) stored(p *pair) int {
	return align(4+len(x.attributes[p.attribute].suffix)+int(p.size), 4)
}

// pairs are all attributes of all inodes.
type pairs struct {
	attributes []attribute
	numbers    map[string]uint32
	list       []pair
	values     []byte
	table      []int32 // by hash, a power of two
	seed       maphash.Seed
}

func newPairs() *pairs {
	x := &pairs{numbers: map[string]uint32{}, seed: maphash.MakeSeed(), table: make([]int32, 1<<10)}
	for i := range x.table {
		x.table[i] = -1
	}
	return x
}

func (x *pairs) attribute(name string) uint32 {
	n, known := x.numbers[name]
	if !known {
		n = uint32(len(x.attributes))
		name = strings.Clone(name)
		x.attributes = append(x.attributes, newAttribute(name))
		x.numbers[name] = n
	}
	return n
}

func (x *pairs) value(p *pair) []byte { return x.values[p.at:][:p.size] }

func (x *pairs) slot(attribute uint32, value []byte) *int32 {
	h := maphash.Bytes(x.seed, value) + uint64(attribute)*0x9E3779B97F4A7C15
	return &x.table[h&uint64(len(x.table)-1)]
}

// number gives the number of a pair, which may be new.
func (x *pairs) number(attribute uint32, value []byte) uint32 {
	slot := x.slot(attribute, value)
	for n := *slot; n >= 0; n = x.list[n].next {
		if p := &x.list[n]; p.attribute == attribute && bytes.Equal(x.value(p), value) {
			return uint32(n)
		}
	}
	if len(x.list) >= len(x.table) {
		x.grow()
		slot = x.slot(attribute, value)
	}
	n := int32(len(x.list))
	x.list = append(x.list, pair{attribute: attribute, at: uint32(len(x.values)), size: uint32(len(value)), next: *slot})
	x.values = append(x.values, value...)
	*slot = n
	return uint32(n)
}

func (x *pairs) grow() {
	x.table = make([]int32, 2*len(x.table))
	for i := range x.table {
		x.table[i] = -1
	}
	for n := range x.list {
		p := &x.list[n]
		slot := x.slot(p.attribute, x.value(p))
		p.next = *slot
		*slot = int32(n)
	}
}

// compareShared is the order of the shared area: names descending, then the longer,
// then the greater value first.
func (x *pairs) compareShared(a, b uint32) int {
	p, q := &x.list[a], &x.list[b]
	if c := strings.Compare(x.attributes[q.attribute].name, x.attributes[p.attribute].name); c != 0 {
		return c
	}
	if p.size != q.size {
		return int(q.size) - int(p.size)
	}
	return bytes.Compare(x.value(q), x.value(p))
}

func align(n, to int) int { return (n + to - 1) / to * to }

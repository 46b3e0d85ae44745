package fuse

import (
	"encoding/binary"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// opens is which files programs have open, where the kernel tells of it: it reads the
// objects of those itself that fs-verity vouches for, and asks the server nothing. It
// may be used concurrently.
//
// All who have a file open at the same time must be given the same backing, the
// kernel's number of an open object, or none of them any: it refuses to open otherwise.
// So what was given stands in a table in memory that the supervisor has, too, where the
// child that takes over finds it. A child that is killed may have noted an open that
// the next one notes again, or not have noted an end: some backing is then kept until
// the mount ends, which costs nobody anything but its object's space when that is
// removed. The other way round cannot happen.
//
// Source: https://docs.kernel.org/filesystems/fuse/fuse-passthrough.html; fs/fuse/iomode.c.
type opens struct {
	backer backer

	mu     sync.Mutex
	table  []byte         // slots; the first is the head
	slots  map[uint64]int // of the nodes that are open
	free   []int          // slots below used
	used   int
	backed int // how many have a backing
}

// backer has the kernel keep objects open.
type backer interface {
	register(f *os.File) (backing int32, err error)
	unregister(backing int32) error
}

const (
	// maxOpen bounds the files that are open at the same time, but for those of very small
	// content, and maxBacked those of them that the kernel reads itself.
	maxOpen   = 64 << 10
	maxBacked = 8 << 10
)

// A slot is 16 bytes: node u64, or 0 if it is free; how often it is open u32; backing
// i32, or 0. The first has the mode in place of a node.
const (
	slotSize  = 16
	tableSize = (1 + maxOpen) * slotSize
)

// mode is whether the kernel is to tell of opens.
type mode uint64

const (
	undecided mode = iota
	told
	untold
)

// newOpens goes on with a table.
func newOpens(table []byte, b backer) *opens {
	o := &opens{backer: b, table: table, slots: map[uint64]int{}}
	if o.mode() != told {
		return o
	}
	for i := 1; i <= maxOpen; i++ {
		s := o.slot(i)
		if s.node() == 0 {
			continue
		}
		for o.used++; o.used < i; o.used++ {
			o.free = append(o.free, o.used)
		}
		o.slots[s.node()] = i
		if s.backing() != 0 {
			o.backed++
		}
		if s.count() == 0 { // whoever was killed was about to
			o.endLocked(s.node(), i)
		}
	}
	return o
}

type slot []byte

func (o *opens) slot(i int) slot      { return slot(o.table[i*slotSize:][:slotSize]) }
func (s slot) node() uint64           { return binary.NativeEndian.Uint64(s) }
func (s slot) setNode(id uint64)      { binary.NativeEndian.PutUint64(s, id) }
func (s slot) count() uint32          { return binary.NativeEndian.Uint32(s[8:]) }
func (s slot) setCount(n uint32)      { binary.NativeEndian.PutUint32(s[8:], n) }
func (s slot) backing() int32         { return int32(binary.NativeEndian.Uint32(s[12:])) }
func (s slot) setBacking(id int32)    { binary.NativeEndian.PutUint32(s[12:], uint32(id)) }
func (o *opens) mode() mode           { return mode(o.slot(0).node()) }
func (o *opens) setModeLocked(m mode) { o.slot(0).setNode(uint64(m)) }

// told tells whether the kernel is to tell of opens; the first time, decide says so. It
// cannot be changed when an answer was given.
func (o *opens) told(decide func() bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mode() == undecided {
		m := untold
		if decide() {
			m = told
		}
		o.setModeLocked(m)
	}
	return o.mode() == told
}

// begin notes that a node is opened, and gives its backing, or 0 if the server is to be
// asked for its bytes. object opens what the kernel may read itself; no file if there is
// none.
func (o *opens) begin(node uint64, object func() *os.File) (backing int32, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if i, ok := o.slots[node]; ok {
		s := o.slot(i)
		s.setCount(s.count() + 1)
		return s.backing(), nil
	}
	i, err := o.findLocked()
	if err != nil {
		return 0, err
	}
	if f := object(); f != nil {
		if o.backed < maxBacked {
			if backing, err = o.backer.register(f); err != nil {
				backing = 0 // then it is read as where there is no passthrough
			} else {
				o.backed++
			}
		}
		f.Close()
	}
	s := o.slot(i)
	s.setCount(1)
	s.setBacking(backing)
	s.setNode(node) // from here on a child that takes over knows of it
	o.slots[node] = i
	return backing, nil
}

// findLocked gives a slot that is free.
func (o *opens) findLocked() (int, error) {
	if n := len(o.free); n > 0 {
		i := o.free[n-1]
		o.free = o.free[:n-1]
		return i, nil
	}
	if o.used == maxOpen {
		return 0, unix.ENFILE
	}
	o.used++
	return o.used, nil
}

// end notes that a file was closed.
func (o *opens) end(node uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i, ok := o.slots[node]
	if !ok {
		return
	}
	s := o.slot(i)
	s.setCount(s.count() - 1)
	if s.count() == 0 {
		o.endLocked(node, i)
	}
}

// endLocked gives the slot of a node that nobody has open any more, and its backing.
func (o *opens) endLocked(node uint64, i int) {
	s := o.slot(i)
	if s.backing() != 0 {
		_ = o.backer.unregister(s.backing()) // it fails if there is none
		o.backed--
	}
	s.setNode(0)
	delete(o.slots, node)
	o.free = append(o.free, i)
}

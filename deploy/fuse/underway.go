package fuse

import (
	"encoding/binary"
	"os"
	"sync"
)

// underway is the requests that were taken from the kernel and are not answered yet. The
// kernel copies each to memory that the supervisor has, too: a child that takes over
// finds there what the one before owed, whoever killed it and whenever. (Kernels since
// Linux 6.9 would ask again; older ones leave who asked waiting.) It may be used
// concurrently.
type underway struct {
	memory []byte // slots

	mu   sync.Mutex
	free []int
}

// A slot holds one request, from its beginning: its length is the u32 that it begins
// with, or 0 if there is none. maxReaders bounds them.
const underwaySize = maxReaders * inputSize

// newUnderway goes on with the memory of the child before, which must have ended. owed is
// which slots have a request that waits for an answer, and how many bytes it has. What
// the kernel had not copied to its end is among them: it has answered that itself, and
// refuses another answer.
func newUnderway(memory []byte) (u *underway, owed map[int]int) {
	u, owed = &underway{memory: memory}, map[int]int{}
	for i := maxReaders - 1; i >= 0; i-- {
		if size := waits(u.slot(i)); size > 0 {
			owed[i] = size
		} else {
			u.free = append(u.free, i)
		}
	}
	return u, owed
}

// waits gives the size of a slot's request, or 0 if none in it waits for an answer.
func waits(slot []byte) int {
	size := int(binary.NativeEndian.Uint32(slot))
	if size < requestHeader || size > inputSize {
		return 0
	}
	switch binary.NativeEndian.Uint32(slot[opAt:]) {
	case opForget, opBatchForget, opInterrupt:
		return 0
	}
	return size
}

func (u *underway) slot(i int) []byte { return u.memory[i*inputSize:][:inputSize:inputSize] }

// take gives a slot that is empty, all of it in memory: if a process is killed while the
// kernel copies a request to it, the kernel goes on where it need not find a page first;
// else it gives up, and who asked gets EIO. There are as many as readers.
//
// Source: fs/fuse/dev.c, fuse_dev_do_read; mm/gup.c, get_user_pages_fast.
func (u *underway) take() (i int) {
	u.mu.Lock()
	n := len(u.free) - 1
	i, u.free = u.free[n], u.free[:n]
	u.mu.Unlock()
	for at := 0; at < inputSize; at += os.Getpagesize() {
		u.slot(i)[at] = 0
	}
	settle(u.slot(i))
	return i
}

// give takes a slot back, of a request that was answered.
func (u *underway) give(i int) {
	u.mu.Lock()
	u.free = append(u.free, i)
	u.mu.Unlock()
}

// settle notes that a request was answered.
func settle(slot []byte) { binary.NativeEndian.PutUint32(slot, 0) }

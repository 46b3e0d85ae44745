package fuse

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// request writes one to a slot, as the kernel does.
func request(slot []byte, op uint32, size int) {
	binary.NativeEndian.PutUint32(slot, uint32(size))
	binary.NativeEndian.PutUint32(slot[opAt:], op)
}

// what a child took and did not answer stands there for the next one, and for the one
// after it; what nobody waits for does not
func TestUnderwayOutlivesTheChild(t *testing.T) {
	memory := make([]byte, underwaySize)
	u, owed := newUnderway(memory)
	if len(owed) != 0 || len(u.free) != maxReaders {
		t.Fatalf("of nothing %v is owed, %d are free", owed, len(u.free))
	}
	waiting, answered, forgotten, broken := u.take(), u.take(), u.take(), u.take()
	request(u.slot(waiting), opRead, requestHeader+40)
	request(u.slot(answered), opRead, requestHeader+40)
	settle(u.slot(answered))
	request(u.slot(forgotten), opBatchForget, requestHeader+24)
	request(u.slot(broken), opRead, inputSize+1)
	last := u.take()
	request(u.slot(last), opIoctl, inputSize)

	for range 2 {
		if u, owed = newUnderway(memory); len(u.free) != maxReaders-2 {
			t.Errorf("%d are free", len(u.free))
		}
		if d := cmp.Diff(map[int]int{waiting: requestHeader + 40, last: inputSize}, owed); d != "" {
			t.Errorf("owed, -want +have:\n%s", d)
		}
		for range maxReaders - 2 { // nobody is given these
			if i := u.take(); i == waiting || i == last {
				t.Errorf("slot %d was given away", i)
			}
		}
	}
	settle(u.slot(waiting))
	settle(u.slot(last))
	u.give(waiting)
	if i := u.take(); i != waiting {
		t.Errorf("slot %d in place of the one that was given back", i)
	}
	if _, owed = newUnderway(memory); len(owed) != 0 {
		t.Errorf("when all was answered %v is owed", owed)
	}
}

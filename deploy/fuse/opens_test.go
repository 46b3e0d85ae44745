package fuse

import (
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// fakeBacker counts up, and knows what is registered.
type fakeBacker struct {
	last int32
	held map[int32]bool
}

func (b *fakeBacker) register(*os.File) (int32, error) {
	b.last++
	b.held[b.last] = true
	return b.last, nil
}

func (b *fakeBacker) unregister(backing int32) error {
	if !b.held[backing] {
		return unix.ENOENT
	}
	delete(b.held, backing)
	return nil
}

func begin(t *testing.T, o *opens, node uint64, sealed bool) int32 {
	t.Helper()
	backing, err := o.begin(node, func() *os.File {
		if !sealed {
			return nil
		}
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		return f
	})
	if err != nil {
		t.Fatal(err)
	}
	return backing
}

func yes() bool { return true }
func no() bool  { return false }

// who has a file open gets what all others have, in the next child too, and the last one
// who closes it gives it back
func TestOpensOutliveTheChild(t *testing.T) {
	table, b := make([]byte, tableSize), &fakeBacker{held: map[int32]bool{}}
	o := newOpens(table, b)
	if !o.told(yes) || !o.told(no) {
		t.Error("the mode is not kept")
	}
	closed := begin(t, o, 1, true)
	shared := begin(t, o, 2, true)
	if again := begin(t, o, 2, true); again != shared || shared == closed || shared == 0 {
		t.Errorf("opened twice: %d and %d, another %d", shared, again, closed)
	}
	if served := begin(t, o, 3, false); served != 0 {
		t.Errorf("without an object: %d", served)
	}
	o.end(1)

	o = newOpens(table, b)
	if !o.told(no) {
		t.Error("the next child has another mode")
	}
	if again := begin(t, o, 2, true); again != shared {
		t.Errorf("opened in the next child: %d, before %d", again, shared)
	}
	if served := begin(t, o, 3, true); served != 0 {
		t.Errorf("what is open without its object gets it: %d", served)
	}
	for range 2 {
		o.end(2)
		o.end(3)
	}
	if d := cmp.Diff(map[int32]bool{shared: true}, b.held); d != "" {
		t.Errorf("while one has it open, -want +have:\n%s", d)
	}
	o.end(2)
	o.end(2) // one too many
	if len(b.held) != 0 || len(o.slots) != 0 || o.backed != 0 {
		t.Errorf("still held: %v; slots %v, %d backed", b.held, o.slots, o.backed)
	}
	if again := begin(t, o, 3, true); again == 0 {
		t.Error("opened anew without its object")
	}
}

// a child that was killed when the last one had closed a file
func TestOpensEndedHalf(t *testing.T) {
	table, b := make([]byte, tableSize), &fakeBacker{held: map[int32]bool{}}
	o := newOpens(table, b)
	o.told(yes)
	begin(t, o, 1, true)
	begin(t, o, 2, true)
	o.slot(o.slots[1]).setCount(0)
	o = newOpens(table, b)
	if d := cmp.Diff(map[int32]bool{2: true}, b.held); d != "" {
		t.Errorf("held, -want +have:\n%s", d)
	}
	if o.backed != 1 || len(o.slots) != 1 || begin(t, o, 3, true) == 0 || len(o.slots) != 2 {
		t.Errorf("%d backed, slots %v", o.backed, o.slots)
	}
}

// what is open is bounded
func TestOpensAreBounded(t *testing.T) {
	b := &fakeBacker{held: map[int32]bool{}}
	o := newOpens(make([]byte, tableSize), b)
	for node := range uint64(maxOpen) {
		begin(t, o, node+1, true)
	}
	if len(b.held) != maxBacked {
		t.Errorf("%d have a backing", len(b.held))
	}
	if _, err := o.begin(maxOpen+1, func() *os.File { return nil }); !errors.Is(err, unix.ENFILE) {
		t.Errorf("one too many: error %v", err)
	}
	o.end(7)
	if begin(t, o, maxOpen+1, true) == 0 {
		t.Error("no room when one was closed")
	}
}

package install

import (
	"encoding/binary"
	"slices"

	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/tree"
)

// objectOf gives the object that holds an entry's content, if one does.
func objectOf(e *tree.Entry) (store.Object, bool) {
	if e.Kind != tree.Regular || e.Size <= tree.InlineMax {
		return store.Object{}, false
	}
	return store.ObjectOf(e), true
}

// marks is a set of objects in eight bytes each. Two objects that share them are
// taken for one, so it errs on the side of having; it is for deciding what may be
// removed, and for nothing else.
type marks struct {
	sorted []uint64
	fresh  []uint64
}

func mark(o store.Object) uint64 {
	m := binary.BigEndian.Uint64(o.Digest[:]) &^ 1
	if o.Executable {
		m |= 1
	}
	return m
}

func (m *marks) add(o store.Object) { m.fresh = append(m.fresh, mark(o)) }

// pack takes in what was added; has knows nothing of it before.
func (m *marks) pack() {
	m.sorted = append(m.sorted, m.fresh...)
	m.fresh = m.fresh[:0]
	slices.Sort(m.sorted)
	m.sorted = slices.Compact(m.sorted)
}

func (m *marks) has(o store.Object) bool {
	_, there := slices.BinarySearch(m.sorted, mark(o))
	return there
}

package delta

import "fmt"

// operation adds literal bytes and then copies some of the old content, which may
// be corrected.
type operation struct {
	literals uint32 // bytes
	length   uint32 // bytes to be copied
	old      int64  // from where
}

// operations codes the list of a window.
type operations struct {
	literals, lengths [3]*number
	distances         *number
	kinds             []prob
	shifts            [7]int64 // where copies came from, relative to where they went; latest first
	kind              int
}

func newOperations() *operations {
	o := &operations{distances: newNumber(), kinds: probs(8 * 16)}
	for i := range o.literals {
		o.literals[i], o.lengths[i] = newNumber(), newNumber()
	}
	return o
}

// code codes one operation that begins at a position of the new content.
func (o *operations) code(c *coder, op *operation, at int64) {
	op.literals = uint32(o.literals[min(o.kind, 2)].code(c, uint64(op.literals)))
	to := at + int64(op.literals)
	want := o.find(to - op.old)
	row := o.kind * 8
	if op.literals > 0 {
		row += 64
	}
	kind := int(c.tree(uint32(want), 3, o.kinds[row:], 60))
	shift := to - op.old
	if kind > 0 {
		shift = o.shifts[kind-1]
	} else {
		shift = o.shifts[0] + o.distances.signed(c, shift-o.shifts[0])
	}
	copy(o.shifts[1:], o.shifts[:max(kind-1, 0)])
	if kind == 0 {
		copy(o.shifts[1:], o.shifts[:6])
	}
	o.shifts[0] = shift
	op.old = to - shift
	o.kind = kind
	op.length = uint32(o.lengths[min(kind, 2)].code(c, uint64(op.length)))
}

func (o *operations) find(shift int64) int {
	for i, s := range o.shifts {
		if s == shift {
			return i + 1
		}
	}
	return 0
}

func checkOperation(op *operation, left, oldSize int64) error {
	if int64(op.literals)+int64(op.length) > left || op.old < 0 || op.old > oldSize || int64(op.length) > oldSize-op.old {
		return fmt.Errorf("%w: an operation reaches beyond the contents", ErrFormat)
	}
	return nil
}

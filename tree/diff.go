package tree

import (
	"cmp"
	"iter"
)

// Change is one path at which two trees differ. Old is nil where it was added,
// New where it was removed.
type Change struct {
	Old, New *Entry
}

// Path is where the trees differ.
func (c Change) Path() Path {
	if c.New != nil {
		return c.New.Path
	}
	return c.Old.Path
}

// Diff compares two trees in one pass over both and gives what changed, in
// canonical order; nothing but the two current entries is held. A hardlink is
// compared as its line is: a change of its content shows at the first name. An
// error of either tree is the last thing that is given.
func Diff(before, after iter.Seq2[*Entry, error]) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		left, right := newCursor(before), newCursor(after)
		defer left.stop()
		defer right.stop()
		for {
			if left.err != nil || right.err != nil {
				yield(Change{}, cmp.Or(left.err, right.err))
				return
			}
			c := pair(left.entry, right.entry)
			if c == (Change{}) {
				return
			}
			same := c.Old != nil && c.New != nil && c.Old.equal(c.New)
			if !same && !yield(c, nil) {
				return
			}
			if c.Old != nil {
				left.advance()
			}
			if c.New != nil {
				right.advance()
			}
		}
	}
}

// pair gives what comes next in either tree, or in both.
func pair(left, right *Entry) Change {
	if left == nil || right == nil {
		return Change{left, right}
	}
	switch order := left.Path.Compare(right.Path); {
	case order < 0:
		return Change{Old: left}
	case order > 0:
		return Change{New: right}
	}
	return Change{left, right}
}

// cursor is where the comparison stands in one tree; entry is nil at its end.
type cursor struct {
	entry *Entry
	err   error
	next  func() (*Entry, error, bool)
	stop  func()
}

func newCursor(entries iter.Seq2[*Entry, error]) *cursor {
	c := &cursor{}
	c.next, c.stop = iter.Pull2(entries)
	c.advance()
	return c
}

func (c *cursor) advance() { c.entry, c.err, _ = c.next() }

package tree

import "iter"

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
// error of either is the last thing that is given.
func Diff(before, after iter.Seq2[*Entry, error]) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		nextOld, stopOld := iter.Pull2(before)
		defer stopOld()
		nextNew, stopNew := iter.Pull2(after)
		defer stopNew()
		old, errOld, _ := nextOld()
		new, errNew, _ := nextNew()
		for {
			if err := cmpErr(errOld, errNew); err != nil {
				yield(Change{}, err)
				return
			}
			if old == nil && new == nil {
				return
			}
			c := pair(old, new)
			if (c.Old == nil || c.New == nil || !c.Old.equal(c.New)) && !yield(c, nil) {
				return
			}
			if c.Old != nil {
				old, errOld, _ = nextOld()
			}
			if c.New != nil {
				new, errNew, _ = nextNew()
			}
		}
	}
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// pair gives what comes next in either tree.
func pair(old, new *Entry) Change {
	switch {
	case old == nil:
		return Change{New: new}
	case new == nil:
		return Change{Old: old}
	}
	switch order := old.Path.Compare(new.Path); {
	case order < 0:
		return Change{Old: old}
	case order > 0:
		return Change{New: new}
	}
	return Change{old, new}
}

package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// Undo makes what was installed before the last transaction installed again, and
// called once more what was before that. It needs no network: all that it goes
// back to is still here. ErrNothingToUndo at the beginning, or where the past has
// been collected.
func (i *Installation) Undo(ctx context.Context) (*Generation, error) {
	held, err := i.hold(ctx)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	current, err := i.Current()
	if err != nil {
		return nil, err
	}
	before, err := i.before(current)
	if err != nil {
		return nil, err
	}
	g := Generation{
		Number: current.Number + 1, Parent: before.Parent, Verb: Undo, Restored: before.Number, Undone: current.origin(),
		Created: i.seconds(), Changes: changes(current, before), Installed: before.Installed,
	}
	x := &exporter{inst: i, base: before}
	if err := i.commit(ctx, g, x.write); err != nil {
		return nil, err
	}
	return i.read(g.Number)
}

// origin is the generation that first had this state.
func (g *Generation) origin() int64 {
	if g.Verb == Undo {
		return g.Restored
	}
	return g.Number
}

// before gives the generation that undo goes back to, if all of it is here.
func (i *Installation) before(current *Generation) (*Generation, error) {
	if current.Parent == 0 && len(current.Installed) == 0 {
		return nil, ErrNothingToUndo
	}
	before, err := i.read(current.Parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: generation %d has been collected", ErrNothingToUndo, current.Parent)
	}
	if err != nil {
		return nil, err
	}
	for _, in := range before.Installed {
		there, err := in.deployment().Exists(i.root)
		if err == nil && !there {
			err = fmt.Errorf("%s %s: its deployment is gone: %w", in.Ref, in.Version, fs.ErrNotExist)
		}
		if err != nil {
			return nil, err
		}
	}
	return before, nil
}

// History lists the generations that are here, the current one first. Earlier ones
// that cannot be read are left out: Verify names them.
func (i *Installation) History() ([]*Generation, error) {
	all, _, err := i.history()
	return all, err
}

// history gives the generations that are here and can be read, the current one
// first, and why others cannot.
func (i *Installation) history() (all []*Generation, unreadable map[int64]error, err error) {
	current, err := i.currentNumber()
	if err != nil {
		return nil, nil, err
	}
	numbers, err := i.numbers()
	if err != nil {
		return nil, nil, err
	}
	unreadable = map[int64]error{}
	for _, n := range slices.Backward(numbers) {
		if n > current { // not yet, or never
			continue
		}
		g, err := i.read(n)
		switch {
		case err == nil:
			all = append(all, g)
		case n == current:
			return nil, nil, err
		case i.there(n): // else it was collected meanwhile
			unreadable[n] = err
		}
	}
	return all, unreadable, nil
}

// there tells whether a generation has a folder.
func (i *Installation) there(n int64) bool {
	there, err := i.root.Exists(generationName(n))
	return there || err != nil
}

// seconds is the time as generations write it.
func (i *Installation) seconds() time.Time { return i.opt.Now().UTC().Truncate(time.Second) }

// changes says what leads from one state to another, by ref.
func changes(from, to *Generation) []Change {
	var list []Change
	for _, in := range from.Installed {
		if to.Find(in.Ref) == nil {
			list = append(list, Change{Ref: in.Ref, Before: in.Version})
		}
	}
	for _, in := range to.Installed {
		before := from.Find(in.Ref)
		switch {
		case before == nil:
			list = append(list, Change{Ref: in.Ref, Now: in.Version})
		case before.Release != in.Release || before.Backend != in.Backend || before.Automatic != in.Automatic:
			list = append(list, Change{Ref: in.Ref, Before: before.Version, Now: in.Version})
		}
	}
	slices.SortFunc(list, func(a, b Change) int { return compareRefs(a.Ref, b.Ref) })
	return list
}

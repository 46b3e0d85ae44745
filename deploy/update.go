package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/inode"
	"github.com/larch-project/larch/tree"
)

// Update makes a folder that is the tree before into the tree after; what they have in
// common stays as it is, inodes and all. Regular files are made by maker, one after the
// other. Memory depends on what changed, not on the size of the trees. An error leaves
// the folder between the two.
func Update(ctx context.Context, maker Maker, root *beneath.Dir, before, after func() iter.Seq2[*tree.Entry, error]) error {
	u := &updater{maker: maker, root: root, again: map[tree.Path]bool{}}
	defer u.drop()
	for c, err := range tree.Diff(before(), after()) {
		if err := cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		if err := u.apply(c); err != nil {
			return fmt.Errorf("%s: %w", c.Path().Quoted(), err)
		}
	}
	if err := u.leave(0); err != nil || len(u.again) == 0 {
		return err
	}
	return u.link(ctx, after())
}

// updater makes changes in the order of paths.
type updater struct {
	maker   Maker
	root    *beneath.Dir
	open    []*branch          // from the root to where it is
	removed tree.Path          // the last directory that was removed, with all below it
	again   map[tree.Path]bool // names whose links are to be made: their own, or those to them
}

// branch is a directory in which something may change.
type branch struct {
	*beneath.Dir
	path  tree.Path
	was   *tree.Entry  // how it differed, and nil
	want  *tree.Entry  // what it becomes; nil: what it was
	found *unix.Stat_t // what it was, once something changes in it
}

func (u *updater) apply(c tree.Change) error {
	old, e := c.Old, c.New
	if e == nil && old.Path.Within(u.removed) && u.removed != "" {
		return nil
	}
	if old != nil && e != nil && old.Kind == tree.Directory && e.Kind == tree.Directory {
		b, err := u.enter(e.Path)
		if err == nil {
			b.was, b.want = old, e
		}
		return err
	}
	b, err := u.enter(c.Path().Parent())
	if err == nil {
		err = b.touch()
	}
	if err != nil {
		return err
	}
	if old != nil {
		if err := b.RemoveAll(old.Path.Base()); err != nil {
			return err
		}
		if old.Kind == tree.Directory {
			u.removed = old.Path
		}
	}
	if e == nil {
		return nil
	}
	return u.add(b, e)
}

// add makes a name that is not there.
func (u *updater) add(b *branch, e *tree.Entry) error {
	name := e.Path.Base()
	switch e.Kind {
	case tree.Directory:
		if err := b.Mkdir(name, 0o755); err != nil {
			return err
		}
		made, err := u.enter(e.Path)
		if err == nil {
			made.want = e
		}
		return err
	case tree.Symlink:
		return placeSymlink(b.Dir, e, name)
	case tree.Hardlink:
		u.again[e.Path] = true
		return nil
	}
	if e.Nlink > 1 {
		u.again[e.Path] = true
	}
	return u.maker.File(b.Dir, e, name)
}

// link makes further names of files, all that lead to a file that was made, and those
// that are new.
func (u *updater) link(ctx context.Context, after iter.Seq2[*tree.Entry, error]) error {
	firsts := map[tree.Path]*tree.Entry{}
	for e, err := range after {
		if err := cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		if e.Kind == tree.Regular && e.Nlink > 1 {
			firsts[e.Path] = e
		}
		if e.Kind != tree.Hardlink || !u.again[e.Path] && !u.again[tree.Path(e.Target)] {
			continue
		}
		if err := u.linkOne(e, firsts); err != nil {
			return fmt.Errorf("%s: %w", e.Path.Quoted(), err)
		}
	}
	return u.leave(0)
}

func (u *updater) linkOne(e *tree.Entry, firsts map[tree.Path]*tree.Entry) error {
	first := firsts[tree.Path(e.Target)]
	if first == nil {
		return fmt.Errorf("links to %s, which is not before it", tree.Path(e.Target).Quoted())
	}
	b, err := u.enter(e.Path.Parent())
	if err == nil {
		err = b.touch()
	}
	if err != nil {
		return err
	}
	name := e.Path.Base()
	if err := b.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if u.maker.Again(first) {
		return u.maker.File(b.Dir, first, name)
	}
	err = b.Link(u.root, string(first.Path[1:]), name)
	if errors.Is(err, unix.EMLINK) { // as in Build
		again := *first
		again.Path = e.Path
		firsts[tree.Path(e.Target)] = &again
		return u.maker.File(b.Dir, &again, name)
	}
	return err
}

// enter goes to a directory, by way of the one that it has in common with where it was.
func (u *updater) enter(p tree.Path) (*branch, error) {
	if len(u.open) == 0 {
		root, err := u.root.OpenDir(".")
		if err != nil {
			return nil, err
		}
		u.open = append(u.open, &branch{Dir: root, path: "/"})
	}
	n := len(u.open)
	for n > 1 && u.open[n-1].path != p && !p.Within(u.open[n-1].path) {
		n--
	}
	if err := u.leave(n); err != nil {
		return nil, err
	}
	top := u.open[n-1]
	for top.path != p {
		name, _, _ := strings.Cut(strings.TrimPrefix(string(p[len(top.path):]), "/"), "/")
		dir, err := top.OpenDir(name)
		if err != nil {
			return nil, err
		}
		top = &branch{Dir: dir, path: top.path.Join(name)}
		u.open = append(u.open, top)
	}
	return top, nil
}

// leave is done with all open directories but the first n.
func (u *updater) leave(n int) error {
	for len(u.open) > n {
		top := u.open[len(u.open)-1]
		u.open = u.open[:len(u.open)-1]
		if err := errors.Join(top.finish(), top.Close()); err != nil {
			return fmt.Errorf("%q: %w", top.path, err)
		}
	}
	return nil
}

// drop closes what an error left open.
func (u *updater) drop() {
	for _, b := range u.open {
		b.Close()
	}
}

// touch is called before a change of the names in the directory.
func (b *branch) touch() error {
	if b.found != nil {
		return nil
	}
	st, err := b.Lstat(".")
	if err != nil {
		return err
	}
	b.found = &st
	if st.Mode&0o200 != 0 {
		return nil
	}
	if err := b.Change("chmod", "."); err != nil {
		return err
	}
	return b.File().Chmod(0o700)
}

// finish gives a directory the mode and time that it should have, and all else if it
// changed.
func (b *branch) finish() error {
	if b.want == nil && b.found == nil {
		return nil
	}
	if err := b.Change("finish", "."); err != nil {
		return err
	}
	if b.want != nil {
		if err := b.undress(); err != nil {
			return err
		}
		return Dress(b.File(), b.want, b.want.Mode)
	}
	if err := unix.Fchmod(int(b.File().Fd()), b.found.Mode&0o7777); err != nil {
		return &fs.PathError{Op: "chmod", Path: b.Path(), Err: err}
	}
	return inode.SetTime(b.File(), int64(b.found.Mtim.Sec), uint32(b.found.Mtim.Nsec))
}

// undress takes from a directory what Dress would leave.
func (b *branch) undress() error {
	if b.was == nil {
		return nil
	}
	for _, x := range b.was.Xattrs {
		if slices.ContainsFunc(b.want.Xattrs, func(y tree.Xattr) bool { return x.Name == y.Name }) {
			continue
		}
		if err := unix.Fremovexattr(int(b.File().Fd()), x.Name); err != nil && !errors.Is(err, unix.ENODATA) {
			return &fs.PathError{Op: "removexattr " + x.Name, Path: b.Path(), Err: err}
		}
	}
	if b.was.UID == b.want.UID && b.was.GID == b.want.GID {
		return nil
	}
	return b.File().Chown(os.Geteuid(), os.Getegid()) // who stands for 0:0
}

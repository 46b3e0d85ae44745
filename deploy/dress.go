package deploy

import (
	"errors"
	"io/fs"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/inode"
	"github.com/larch-project/larch/tree"
)

// directory is one that is being filled. Whoever is done with it last
// finishes it: only then does its time stay what it is set to.
type directory struct {
	*beneath.Dir
	entry  *tree.Entry
	queued []*tree.Entry
	users  atomic.Int32
}

func newDirectory(dir *beneath.Dir, e *tree.Entry) *directory {
	f := &directory{Dir: dir, entry: e}
	f.users.Store(1)
	return f
}

func (f *directory) share() *directory {
	f.users.Add(1)
	return f
}

func (f *directory) release() error {
	if f.users.Add(-1) > 0 {
		return nil
	}
	err := f.finish()
	return errors.Join(err, f.Close())
}

// drop is release where something failed.
func (f *directory) drop() {
	if f.users.Add(-1) == 0 {
		f.Close()
	}
}

func (f *directory) finish() error {
	if err := f.Change("finish", "."); err != nil {
		return err
	}
	return Dress(f.File(), f.entry, f.entry.Mode)
}

// makeDirectory makes a directory in f that can be filled.
func (f *directory) makeDirectory(e *tree.Entry) (*directory, error) {
	name := e.Path.Base()
	if err := f.Mkdir(name, 0o755); err != nil {
		return nil, err
	}
	dir, err := f.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return newDirectory(dir, e), nil
}

func placeSymlink(dir *beneath.Dir, e *tree.Entry, name string) error {
	if err := dir.Symlink(e.Target, name); err != nil {
		return err
	}
	f, err := dir.OpenFile(name, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if e.UID != 0 || e.GID != 0 {
		if err := unix.Fchownat(int(f.Fd()), "", int(e.UID), int(e.GID), unix.AT_EMPTY_PATH); err != nil {
			return &fs.PathError{Op: "chown", Path: f.Name(), Err: err}
		}
	}
	return inode.SetTime(f, e.Mtime.Sec, e.Mtime.Nsec)
}

// Dress gives an open file or directory its owner, attributes, mode and time, in
// the one order in which none of them undoes another.
func Dress(f *os.File, e *tree.Entry, mode uint32) error {
	if err := Mark(f, e); err != nil {
		return err
	}
	if err := unix.Fchmod(int(f.Fd()), mode); err != nil {
		return &fs.PathError{Op: "chmod", Path: f.Name(), Err: err}
	}
	return inode.SetTime(f, e.Mtime.Sec, e.Mtime.Nsec)
}

// Mark is Dress for owner and attributes alone.
func Mark(f *os.File, e *tree.Entry) error {
	if e.UID != 0 || e.GID != 0 {
		if err := f.Chown(int(e.UID), int(e.GID)); err != nil {
			return err
		}
	}
	for _, x := range e.Xattrs {
		if err := unix.Fsetxattr(int(f.Fd()), x.Name, x.Value, 0); err != nil {
			return &fs.PathError{Op: "setxattr " + x.Name, Path: f.Name(), Err: err}
		}
	}
	return nil
}

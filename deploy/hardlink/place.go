package hardlink

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

// folder is a directory that is being filled. Whoever is done with it last
// finishes it: only then does its time stay what it is set to.
type folder struct {
	*beneath.Dir
	entry  *tree.Entry
	queued []*tree.Entry
	users  atomic.Int32
}

func newFolder(dir *beneath.Dir, e *tree.Entry) *folder {
	f := &folder{Dir: dir, entry: e}
	f.users.Store(1)
	return f
}

func (f *folder) share() *folder {
	f.users.Add(1)
	return f
}

func (f *folder) release() error {
	if f.users.Add(-1) > 0 {
		return nil
	}
	err := f.finish()
	return errors.Join(err, f.Close())
}

// drop is release where something failed.
func (f *folder) drop() {
	if f.users.Add(-1) == 0 {
		f.Close()
	}
}

func (f *folder) finish() error {
	if err := f.Change("finish", "."); err != nil {
		return err
	}
	return dress(f.File(), f.entry, f.entry.Mode)
}

// makeFolder makes a directory in f that can be filled.
func (f *folder) makeFolder(e *tree.Entry) (*folder, error) {
	name := e.Path.Base()
	if err := f.Mkdir(name, 0o755); err != nil {
		return nil, err
	}
	dir, err := f.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return newFolder(dir, e), nil
}

// linked tells whether a file can be the store's own: the store's files belong
// to the installer, may be read by all, and are from 1970.
func linked(e *tree.Entry) bool {
	mode := e.Mode &^ 0o222
	return e.Size > tree.InlineMax && e.UID == 0 && e.GID == 0 && (mode == 0o444 || mode == 0o555) &&
		len(e.Xattrs) == 0 && e.Mtime == tree.Time{}
}

// place makes a file or symlink.
func (b *builder) place(dir *beneath.Dir, e *tree.Entry) error {
	name := e.Path.Base()
	if e.Kind == tree.Symlink {
		return placeSymlink(dir, e, name)
	}
	if linked(e) {
		err := b.content.Link(e, dir, name)
		if !errors.Is(err, unix.EMLINK) {
			return err
		}
	}
	return b.placeFile(dir, e, name)
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

// placeFile makes a file of its own.
func (b *builder) placeFile(dir *beneath.Dir, e *tree.Entry, name string) error {
	f, err := dir.Create(name, 0o600)
	if err != nil {
		return err
	}
	if err = dir.Change("write", name); err == nil {
		err = b.fill(f, e)
	}
	if err == nil {
		err = dress(f, e, e.Mode&^0o222)
	}
	return errors.Join(err, f.Close())
}

func (b *builder) fill(f *os.File, e *tree.Entry) error {
	if e.Size <= tree.InlineMax {
		_, err := f.Write(e.Inline)
		return err
	}
	from, err := b.content.Open(e)
	if err != nil {
		return err
	}
	defer from.Close()
	return inode.Copy(f, from, e.Size)
}

// dress gives an open file or directory its owner, attributes, mode and time, in
// the one order in which none of them undoes another.
func dress(f *os.File, e *tree.Entry, mode uint32) error {
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
	if err := unix.Fchmod(int(f.Fd()), mode); err != nil {
		return &fs.PathError{Op: "chmod", Path: f.Name(), Err: err}
	}
	return inode.SetTime(f, e.Mtime.Sec, e.Mtime.Nsec)
}

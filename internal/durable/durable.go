// Package durable replaces small files so that a crash leaves the old or the new.
//
// A file is built aside, synced, renamed over the old one in one step, and its
// directory synced: on return the change survives a power cut. One that replaces
// nothing has no name before it is whole, where the file system has such files. Larger
// changes are ordered by their owners from the same pieces; their commit points end
// here.
package durable

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
)

// WriteFile makes name hold data, replacing what was there. perm is exact,
// whatever the umask. On return the change survives power loss.
func WriteFile(d *beneath.Dir, name string, data []byte, perm uint32) error {
	return publish(d, name, bytesOf(data), perm, func(aside string) error { return d.Rename(aside, name) })
}

// Create is WriteFile for a name that must not exist: fs.ErrExist if it does.
// Interrupted, it leaves nothing, but for file systems without unnamed files.
func Create(d *beneath.Dir, name string, data []byte, perm uint32) error {
	err := unnamed(d, name, bytesOf(data), perm, func(dir *beneath.Dir, f *os.File, base string) error { return dir.LinkFile(f, base) })
	if !errors.Is(err, errNamed) {
		return err
	}
	return publish(d, name, bytesOf(data), perm, func(aside string) error { return d.RenameNoReplace(aside, name) })
}

// Stream is WriteFile for what write writes, of any length. Interrupted while it is
// written, it leaves nothing, but for file systems without unnamed files.
func Stream(d *beneath.Dir, name string, perm uint32, write func(io.Writer) error) error {
	err := unnamed(d, name, write, perm, func(dir *beneath.Dir, f *os.File, base string) error {
		err := dir.LinkFile(f, base)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		aside := temporary(base)
		if err := dir.LinkFile(f, aside); err != nil {
			return err
		}
		if err := dir.Rename(aside, base); err != nil {
			dir.Remove(aside)
			return err
		}
		return nil
	})
	if !errors.Is(err, errNamed) {
		return err
	}
	return publish(d, name, write, perm, func(aside string) error { return d.Rename(aside, name) })
}

// Symlink makes name a link with this text, replacing what was there in one
// step. On return the change survives power loss.
func Symlink(d *beneath.Dir, target, name string) error {
	err := d.Symlink(target, name)
	if errors.Is(err, fs.ErrExist) {
		aside := temporary(name)
		if err := d.Symlink(target, aside); err != nil {
			return err
		}
		if err = d.Rename(aside, name); err != nil {
			d.Remove(aside)
		}
	}
	if err != nil {
		return err
	}
	return syncParent(d, name)
}

// temporary gives a name beside name that nobody guesses.
func temporary(name string) string {
	return path.Join(path.Dir(name), ".new-"+rand.Text())
}

func bytesOf(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

// errNamed means that each file of a file system has a name.
var errNamed = errors.New("no files without names")

// unnamed makes a file without a name, and has place give it one.
func unnamed(d *beneath.Dir, name string, write func(io.Writer) error, perm uint32, place func(dir *beneath.Dir, f *os.File, base string) error) error {
	dir, err := d.OpenDir(path.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	f, err := dir.Temp(0o600)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EINVAL) {
		return errNamed
	}
	if err != nil {
		return err
	}
	defer f.Close()
	base := path.Base(name)
	if err := fill(dir, f, base, write, perm); err != nil {
		return err
	}
	if err := place(dir, f, base); err != nil {
		return err
	}
	return dir.Sync()
}

func publish(d *beneath.Dir, name string, write func(io.Writer) error, perm uint32, move func(aside string) error) error {
	aside := temporary(name)
	f, err := d.Create(aside, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(fill(d, f, name, write, perm), f.Close()); err != nil {
		d.Remove(aside)
		return err
	}
	if err := move(aside); err != nil {
		d.Remove(aside)
		return err
	}
	return syncParent(d, name)
}

func fill(d *beneath.Dir, f *os.File, name string, write func(io.Writer) error, perm uint32) error {
	if err := d.Change("write", name); err != nil {
		return err
	}
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(fs.FileMode(perm)); err != nil {
		return err
	}
	return f.Sync()
}

func syncParent(d *beneath.Dir, name string) error {
	parent := path.Dir(name)
	if parent == "." {
		return d.Sync()
	}
	dir, err := d.OpenDir(parent)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

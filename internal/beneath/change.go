package beneath

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/btrfs"
)

// Mkdir makes one directory with exactly these permissions, whatever the umask.
func (d *Dir) Mkdir(name string, perm uint32) error {
	if err := d.change("mkdir", name); err != nil {
		return err
	}
	return d.at("mkdir", name, func(fd int, base string) error {
		if err := unix.Mkdirat(fd, base, perm); err != nil {
			return err
		}
		made, err := unix.Openat(fd, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == unix.EACCES { // the umask leaves not even the owner a permission
			return chmodUnreadable(fd, base, perm)
		}
		if err != nil {
			return err
		}
		defer unix.Close(made)
		return unix.Fchmod(made, perm)
	})
}

// chmodUnreadable is chmod of a directory that its owner cannot open; a link is not
// followed.
func chmodUnreadable(fd int, base string, perm uint32) error {
	made, err := unix.Openat(fd, base, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(made)
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(made), perm)
}

// MkdirAll makes a directory and its parents where they are missing.
func (d *Dir) MkdirAll(name string, perm uint32) error {
	if name == "." {
		return nil
	}
	err := d.Mkdir(name, perm)
	switch {
	case errors.Is(err, fs.ErrExist):
		st, err := d.Lstat(name)
		if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			err = d.fail("mkdir", name, unix.ENOTDIR)
		}
		return err
	case errors.Is(err, fs.ErrNotExist):
		if parent := path.Dir(name); parent != "." {
			if err := d.MkdirAll(parent, perm); err != nil {
				return err
			}
			return d.MkdirAll(name, perm)
		}
	}
	return err
}

// Symlink makes a link with any text; the text is never followed by this package.
func (d *Dir) Symlink(target, name string) error {
	if err := d.change("symlink", name); err != nil {
		return err
	}
	return d.at("symlink", name, func(fd int, base string) error { return unix.Symlinkat(target, fd, base) })
}

// Link gives the file from/fromName one more name.
func (d *Dir) Link(from *Dir, fromName, name string) error {
	if err := d.change("link", name); err != nil {
		return err
	}
	return from.at("link", fromName, func(fromFD int, fromBase string) error {
		return d.at("link", name, func(fd int, base string) error {
			return unix.Linkat(fromFD, fromBase, fd, base, 0)
		})
	})
}

// Temp makes a file without a name, below the directory d; LinkFile names it.
func (d *Dir) Temp(perm uint32) (*os.File, error) {
	if err := d.change("create", "(unnamed)"); err != nil {
		return nil, err
	}
	fd, err := d.open(".", unix.O_TMPFILE|unix.O_RDWR, perm)
	if err != nil {
		return nil, d.fail("create", "(unnamed)", err)
	}
	return os.NewFile(uintptr(fd), path.Join(d.path, "(unnamed)")), nil
}

// LinkFile gives an open file, unnamed or not, a name; fs.ErrExist if it is taken.
func (d *Dir) LinkFile(f *os.File, name string) error {
	if err := d.change("link", name); err != nil {
		return err
	}
	return d.at("link", name, func(fd int, base string) error {
		return unix.Linkat(unix.AT_FDCWD, procPath(f), fd, base, unix.AT_SYMLINK_FOLLOW)
	})
}

// Rename moves a file or directory, replacing a file or an empty directory.
func (d *Dir) Rename(from, to string) error { return d.rename("rename", from, d, to, 0) }

// RenameNoReplace moves a file or directory; fs.ErrExist if the name is taken.
func (d *Dir) RenameNoReplace(from, to string) error {
	return d.rename("rename", from, d, to, unix.RENAME_NOREPLACE)
}

// RenameTo moves a file or directory into another directory, replacing nothing.
func (d *Dir) RenameTo(from string, into *Dir, to string) error {
	return d.rename("rename", from, into, to, unix.RENAME_NOREPLACE)
}

// Exchange swaps two names in one step.
func (d *Dir) Exchange(a, b string) error { return d.rename("exchange", a, d, b, unix.RENAME_EXCHANGE) }

func (d *Dir) rename(op, from string, into *Dir, to string, flags uint) error {
	if err := into.change(op, to); err != nil {
		return err
	}
	return d.at(op, from, func(fromFD int, fromBase string) error {
		return into.at(op, to, func(fd int, base string) error {
			return unix.Renameat2(fromFD, fromBase, fd, base, flags)
		})
	})
}

// Remove removes a file or an empty directory.
func (d *Dir) Remove(name string) error {
	if err := d.change("remove", name); err != nil {
		return err
	}
	return d.at("remove", name, func(fd int, base string) error {
		err := unix.Unlinkat(fd, base, 0)
		if err == unix.EISDIR || err == unix.EPERM {
			if dirErr := unix.Unlinkat(fd, base, unix.AT_REMOVEDIR); dirErr != unix.ENOTDIR {
				return dirErr
			}
		}
		return err
	})
}

// RemoveAll removes a file, or a directory with all below it; a missing name is
// no error. Directories without write permission are made writable first, and so are
// subvolumes of btrfs, which go as a whole where the file system lets their owner do it.
func (d *Dir) RemoveAll(name string) error {
	err := d.Remove(name)
	switch {
	case err == nil || errors.Is(err, fs.ErrNotExist):
		return nil
	case !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EROFS):
		return err
	}
	sub, openErr := d.OpenDir(name)
	if openErr != nil {
		return err
	}
	defer sub.Close()
	if d.removeSubvolume(name, sub) {
		return nil
	}
	if err := sub.removeContents(); err != nil {
		return err
	}
	return d.Remove(name)
}

// removeSubvolume removes a directory that is a subvolume, if it may; otherwise it
// makes it writable, if it may.
func (d *Dir) removeSubvolume(name string, sub *Dir) bool {
	if !btrfs.IsSubvolume(sub.file) {
		return false
	}
	if d.destroy(name) == nil { // as root: taking the mark away would wait for a commit
		return true
	}
	_ = btrfs.SetReadOnly(sub.file, false) // if it did not help, removing says so
	return d.destroy(name) == nil
}

func (d *Dir) destroy(name string) error {
	return d.at("remove", name, func(fd int, base string) error {
		dir, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(dir), d.path)
		defer f.Close()
		return btrfs.Destroy(f, base)
	})
}

func (d *Dir) removeContents() error {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd(), &st); err == nil && st.Mode&0o700 != 0o700 {
		unix.Fchmod(d.fd(), st.Mode&0o7777|0o700) // if it did not help, Remove says so
	}
	for {
		names, err := d.file.Readdirnames(1024)
		for _, name := range names {
			if err := d.RemoveAll(name); err != nil {
				return err
			}
		}
		if len(names) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := d.file.Seek(0, 0); err != nil {
			return err
		}
	}
}

// Sync makes the names in the directory durable.
func (d *Dir) Sync() error {
	if err := d.change("sync", "."); err != nil {
		return err
	}
	if err := d.file.Sync(); err != nil {
		return d.fail("sync", ".", err)
	}
	return nil
}

// SyncFS makes all that was written to the directory's file system durable: one
// barrier for any number of files (syncfs(2)).
func (d *Dir) SyncFS() error {
	if err := d.change("syncfs", "."); err != nil {
		return err
	}
	if err := unix.Syncfs(d.fd()); err != nil {
		return d.fail("syncfs", ".", err)
	}
	return nil
}

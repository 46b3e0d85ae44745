package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/inode"
	"github.com/larch-project/larch/internal/verity"
)

// making says how files of exact modes are made in a folder.
type making struct {
	named  bool // the file system has no files without names
	chmod  bool // the process's umask takes bits away
	verity bool // the file system has fs-verity
}

// probe finds out by making one.
func probe(tmp *beneath.Dir) (how making, err error) {
	f, err := tmp.Temp(0o555)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EINVAL) {
		return making{named: true, chmod: true}, nil
	}
	if err != nil {
		return how, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return how, err
	}
	how.named = !canName(tmp.WithFault(nil), f) // a trial, and no change that counts
	how.chmod = how.named || info.Mode().Perm() != 0o555
	how.verity = verity.Probe(f) == nil
	return how, nil
}

// canName tells whether a file without a name can get one: some FUSE file systems
// make such files and cannot link them.
func canName(tmp *beneath.Dir, f *os.File) bool {
	name := "probe-" + rand.Text()
	err := tmp.LinkFile(f, name)
	switch {
	case err == nil:
		_ = tmp.Remove(name) // what stays is swept
	case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOSYS):
		return false
	}
	return true
}

// temp is a file on its way to its name.
type temp struct {
	*os.File
	name string // in tmp/; "" for a file without a name
}

// create makes an empty file of this mode, without a name where that is possible.
func (s *Store) create(mode uint32) (t temp, err error) {
	if s.how.named {
		t.name = "object-" + rand.Text()
		t.File, err = s.tmp.Create(t.name, 0o600)
	} else {
		t.File, err = s.tmp.Temp(mode)
	}
	if err == nil && s.how.chmod {
		if err = t.Chmod(fs.FileMode(mode)); err != nil {
			s.discard(t)
		}
	}
	return t, err
}

// Scratch makes a file without a name where objects are made, for what is needed on
// the way to them. It is gone when the caller closes it.
func (s *Store) Scratch() (*os.File, error) {
	f, err := s.scratch()
	if err != nil {
		return nil, fmt.Errorf("making a scratch file: %w", s.explain(err))
	}
	return f, nil
}

func (s *Store) scratch() (*os.File, error) {
	if err := s.Begin(); err != nil {
		return nil, err
	}
	if err := s.tmp.Change("write", "(unnamed)"); err != nil {
		return nil, err
	}
	t, err := s.create(0o600)
	if err == nil && t.name != "" {
		if err = s.tmp.Remove(t.name); err != nil {
			s.discard(t)
		}
	}
	return t.File, err
}

// discard gives up a file that has not got its name.
func (s *Store) discard(t temp) {
	t.Close()
	if t.name != "" {
		s.tmp.Remove(t.name) // Sweep does it otherwise
	}
}

// seal makes the kernel answer for a file's content, where it can: nobody can
// change it from then on, and what is read is checked. The file is durable.
func (s *Store) seal(w *whole) error {
	if !s.how.verity {
		return nil
	}
	sealed, have, err := verity.Enable(w.file.File)
	if err != nil {
		return fmt.Errorf("%v: %w", w.object, err)
	}
	w.file.File = sealed
	if have != w.object.Digest {
		return &digest.MismatchError{Want: w.object.Digest, Have: have, WantSize: w.object.Size, HaveSize: w.object.Size}
	}
	return inode.SetTime(sealed, 0, 0) // enabling it counts as a change to ext4
}

// link gives a file its name: fs.ErrExist if it is taken.
func (s *Store) link(t temp, dir *beneath.Dir, name string) error {
	if t.name != "" {
		return s.tmp.RenameTo(t.name, dir, name)
	}
	return dir.LinkFile(t.File, name)
}

// publish gives a document its name: what has a name is whole, after a power cut too.
// The name itself is durable with End.
func (s *Store) publish(t temp, name string) error {
	if err := s.tmp.Change("sync", name); err != nil {
		return err
	}
	if err := t.Sync(); err != nil {
		return err
	}
	return s.replace(t, name)
}

// replace gives a file a name below the store in one step, whatever has it.
func (s *Store) replace(t temp, name string) error {
	aside := "tmp/new-" + rand.Text()
	if err := s.link(t, s.dir, aside); err != nil {
		return err
	}
	err := s.dir.Rename(aside, name)
	if errors.Is(err, unix.EISDIR) { // nothing that a file of ours could have become
		if err = s.dir.RemoveAll(name); err == nil {
			err = s.dir.Rename(aside, name)
		}
	}
	if err != nil {
		s.dir.Remove(aside) // Sweep does it otherwise
	}
	return err
}

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
)

// ErrReadOnly is matched when the store cannot be written because of its
// permissions or its file system; reading it works.
var ErrReadOnly = errors.New("the store is read-only")

// Store is one store. Its methods may be called concurrently.
type Store struct {
	dir     *beneath.Dir
	folders [256]folder
	doubts  doubts

	mu    sync.Mutex
	began bool
	tmp   *beneath.Dir // where unnamed files are made
	how   making
}

// folder is one of the folders below objects/; its handle is opened once.
type folder struct {
	mu  sync.Mutex
	dir *beneath.Dir
}

// Open opens the store below dir, which the caller keeps open and owns. It
// changes nothing: an empty or read-only folder is an empty or read-only store.
func Open(dir *beneath.Dir) (*Store, error) {
	s := &Store{dir: dir}
	if err := s.doubts.load(dir); err != nil {
		return nil, err
	}
	return s, nil
}

// Close releases the store's handles. It does not end a transaction.
func (s *Store) Close() error {
	var errs []error
	for i := range s.folders {
		f := &s.folders[i]
		f.mu.Lock()
		if f.dir != nil {
			errs = append(errs, f.dir.Close())
			f.dir = nil
		}
		f.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tmp != nil {
		errs = append(errs, s.tmp.Close())
		s.tmp, s.began = nil, false
	}
	return errors.Join(errs...)
}

// folder gives the handle of the folder that holds o; unless it is to be
// created, it is fs.ErrNotExist while there is none.
func (s *Store) folder(o Object, create bool) (*beneath.Dir, error) {
	f := &s.folders[o.folder()]
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dir != nil {
		return f.dir, nil
	}
	name := "objects/" + folderName(o.folder())
	dir, err := s.dir.OpenDir(name)
	if create && errors.Is(err, fs.ErrNotExist) {
		if err := s.dir.MkdirAll(name, 0o755); err != nil {
			return nil, err
		}
		dir, err = s.dir.OpenDir(name)
	}
	f.dir = dir
	return dir, err
}

// Has tells whether an object can be used: its name is there, with the right
// size, and it is not in doubt. One in doubt is hashed first, and has to be
// written again if it is wrong; until then the wrong one keeps the name.
func (s *Store) Has(o Object) bool {
	dir, err := s.folder(o, false)
	if err != nil {
		return false
	}
	st, err := dir.Lstat(o.base())
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == o.Size && s.settle(o) == nil
}

// named tells whether anything has the object's name.
func (s *Store) named(o Object) bool {
	dir, err := s.folder(o, false)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	there, err := dir.Exists(o.base())
	return there || err != nil
}

// Open opens an object for reading, or its twin, which has the same content; it
// is fs.ErrNotExist if neither is there. It is an object that Has believes; what
// decayed on the disk since is for the reader to notice.
func (s *Store) Open(o Object) (*os.File, error) {
	f, err := s.open(o)
	if err != nil {
		if twin, twinErr := s.open(o.Twin()); twinErr == nil {
			return twin, nil
		}
	}
	return f, err
}

func (s *Store) open(o Object) (*os.File, error) {
	if err := s.settle(o); err != nil {
		return nil, err
	}
	return s.openAny(o)
}

// openAny opens an object, in doubt or not; one of another size is a
// digest.ErrMismatch.
func (s *Store) openAny(o Object) (*os.File, error) {
	dir, err := s.folder(o, false)
	if err != nil {
		return nil, err
	}
	f, err := dir.Open(o.base())
	if err != nil {
		return nil, err
	}
	switch info, err := f.Stat(); {
	case err != nil:
		f.Close()
		return nil, err
	case !info.Mode().IsRegular() || info.Size() != o.Size:
		f.Close()
		return nil, &digest.MismatchError{Want: o.Digest, WantSize: o.Size, HaveSize: info.Size()}
	}
	return f, nil
}

// Link gives an object one more name, below another directory of the same file
// system: fs.ErrExist if that is taken, unix.EMLINK when the object has as many
// names as its file system allows, unix.EXDEV on another file system. The name
// shares the object's mode, owner and times.
func (s *Store) Link(o Object, to *beneath.Dir, name string) error {
	if err := s.settle(o); err != nil {
		return err
	}
	dir, err := s.folder(o, false)
	if err != nil {
		return err
	}
	return to.Link(dir, o.base(), name)
}

// Remove takes an object's name away; it is no error if there is none. Other
// names of the file stay. Not durable before the next Sync.
func (s *Store) Remove(o Object) error {
	dir, err := s.folder(o, false)
	if err == nil {
		err = dir.Remove(o.base())
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return s.explain(err)
}

// explain makes the errors of a store that cannot be written match ErrReadOnly.
func (s *Store) explain(err error) error {
	for _, errno := range []error{unix.EROFS, unix.EACCES, unix.EPERM} {
		if errors.Is(err, errno) {
			return fmt.Errorf("%w: %w", ErrReadOnly, err)
		}
	}
	return err
}

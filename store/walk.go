package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
)

// Found is a name below objects/.
type Found struct {
	Object
	Name    string // below the store: "objects/ab/cdef..."
	Problem string // what is wrong before its content is read; "" if nothing
	Links   uint64 // names that the file has, this one included
	Blocks  int64  // bytes on disk
}

// Walk finds all that is below objects/, in the order of names. Memory is
// bounded by the names in one folder. A name that is no object's has a Problem
// and a zero Object.
func (s *Store) Walk(ctx context.Context) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		names, err := s.dir.ReadDir("objects")
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			yield(Found{}, err)
			return
		}
		for _, name := range names {
			if !s.walkFolder(ctx, name, yield) {
				return
			}
		}
	}
}

func (s *Store) walkFolder(ctx context.Context, folder string, yield func(Found, error) bool) bool {
	dir, err := s.dir.OpenDir("objects/" + folder)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return yield(Found{Name: "objects/" + folder, Problem: "is not a folder"}, nil)
	}
	if err != nil {
		return yield(Found{}, err)
	}
	defer dir.Close()
	names, err := dir.ReadDir(".")
	if err != nil {
		return yield(Found{}, err)
	}
	for _, name := range names {
		if ctx.Err() != nil {
			yield(Found{}, context.Cause(ctx))
			return false
		}
		found, err := look(dir, folder, name)
		if errors.Is(err, fs.ErrNotExist) { // removed since
			continue
		}
		if !yield(found, err) || err != nil {
			return false
		}
	}
	return true
}

// look judges a name by all but its content.
func look(dir *beneath.Dir, folder, base string) (Found, error) {
	found := Found{Name: "objects/" + folder + "/" + base}
	st, err := dir.Lstat(base)
	if err != nil {
		return found, err
	}
	found.Links, found.Blocks = uint64(st.Nlink), st.Blocks*512
	o, err := parseObject(folder + "/" + base)
	if err != nil {
		found.Problem = "is not the name of an object"
		return found, nil
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		found.Problem = "is not a regular file"
		return found, nil
	}
	o.Size = st.Size
	found.Object, found.Problem = o, inodeProblem(o, &st)
	return found, nil
}

// inodeProblem says what an object's mode or time should not be, or "".
func inodeProblem(o Object, st *unix.Stat_t) string {
	switch mode := st.Mode & 0o7777; {
	case mode != o.Mode():
		return fmt.Sprintf("has mode %04o instead of %04o", mode, o.Mode())
	case st.Mtim.Sec != 0 || st.Mtim.Nsec != 0:
		return fmt.Sprintf("has the time %d.%09d instead of 0", st.Mtim.Sec, st.Mtim.Nsec)
	}
	return ""
}

// Usage is what the store's objects take up.
type Usage struct {
	Objects int64
	Bytes   int64 // content
	Disk    int64 // bytes of blocks
}

// Usage adds up the objects.
func (s *Store) Usage(ctx context.Context) (u Usage, err error) {
	for found, err := range s.Walk(ctx) {
		if err != nil {
			return u, err
		}
		if found.Digest.IsZero() {
			continue
		}
		u.Objects++
		u.Bytes += found.Size
		u.Disk += found.Blocks
	}
	return u, nil
}

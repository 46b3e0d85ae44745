package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/sealed"
	"github.com/larch-project/larch/internal/verity"
)

// Verify reads an object and compares it with its name; wrong content is
// digest.ErrMismatch. With trust, one that the kernel has measured (fs-verity) is
// not read: it can hold nothing else, and a block that decays on the disk is an
// error for whoever reads it.
func (s *Store) Verify(o Object, trust bool) (measured bool, err error) {
	f, err := s.openAny(o)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if trust {
		have, err := verity.Measure(f)
		if err == nil && have == o.Digest {
			return true, nil
		}
	}
	if err := digest.Verify(f, o.Digest, o.Size); err != nil {
		return false, fmt.Errorf("%v: %w", o, unreadable(err))
	}
	return false, nil
}

// unreadable makes an error of the disk, or of fs-verity, match
// digest.ErrMismatch: the content that the name stands for is not there.
func unreadable(err error) error {
	if errors.Is(err, unix.EIO) {
		return fmt.Errorf("%w: %w", digest.ErrMismatch, err)
	}
	return err
}

// Measured tells whether the kernel answers for an object's content at each read.
func (s *Store) Measured(o Object) bool {
	f, err := s.openAny(o)
	if err != nil {
		return false
	}
	defer f.Close()
	have, err := verity.Measure(f)
	return err == nil && have == o.Digest
}

// Is tells whether a file of this state is the object's own, under any name.
func (s *Store) Is(o Object, st *unix.Stat_t) bool {
	dir, err := s.folder(o, false)
	if err != nil {
		return false
	}
	own, err := dir.Lstat(o.base())
	return err == nil && own.Dev == st.Dev && own.Ino == st.Ino
}

// VerifyDocuments reads all trees and release documents, and reports those that
// are not what their names say, with their names below the store.
func (s *Store) VerifyDocuments(ctx context.Context, report func(name string, err error)) error {
	if err := s.verifyFolder(ctx, "trees", ".zst", s.verifyTree, report); err != nil {
		return err
	}
	return s.verifyFolder(ctx, "releases", "", s.verifyRelease, report)
}

func (s *Store) verifyFolder(ctx context.Context, folder, suffix string, verify func(digest.Digest) error, report func(string, error)) error {
	names, err := s.dir.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		d, err := parseDocument(name, suffix)
		if err != nil {
			err = errors.New("is not the name of a document")
		} else {
			err = verify(d)
		}
		if err != nil {
			report(folder+"/"+name, err)
		}
	}
	return err
}

// verifyTree reads the text of a tree whose size nobody has said.
func (s *Store) verifyTree(d digest.Digest) error {
	f, err := s.dir.Open(TreeName(d))
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := sealed.NewReader(f, math.MaxInt64)
	if err != nil {
		return err
	}
	defer r.Close()
	var hasher digest.Hasher
	if _, err := io.Copy(&hasher, r); err != nil {
		return err
	}
	if have := hasher.Digest(); have != d {
		return &digest.MismatchError{Want: d, Have: have, WantSize: hasher.Size(), HaveSize: hasher.Size()}
	}
	return nil
}

func (s *Store) verifyRelease(d digest.Digest) error {
	_, err := s.Release(d)
	return err
}

package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/bounded"
	"github.com/larch-project/larch/internal/sealed"
	"github.com/larch-project/larch/tree"
)

// maxRelease bounds a release document, in bytes (spec/3-release.md §3.3).
const maxRelease = 1 << 20

// maxSealed bounds the sealed form of a text of this size: what Zstandard can
// add to bytes that do not compress, with room for another encoder's habits.
func maxSealed(size int64) int64 { return size + size/64 + 64<<10 }

// TreeName is where the sealed text of a tree is below the store.
func TreeName(d digest.Digest) string { return "trees/" + d.String() + ".zst" }

// ReleaseName is where a release document is below the store.
func ReleaseName(d digest.Digest) string { return "releases/" + d.String() }

// HasTree tells whether the text of a tree is here, whole. It reads it.
func (s *Store) HasTree(d digest.Digest, size int64) bool {
	r, err := s.openTree(d, size)
	if err != nil {
		return false
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err == nil
}

// PutTree stores the text of a tree from its sealed form. Input untrusted: it
// reads little more than info.Size bytes, and keeps nothing unless the text is
// what info.Digest names. Durable with End, as names of objects are.
func (s *Store) PutTree(ctx context.Context, r io.Reader, info tree.Info) error {
	if err := s.putTree(ctx, r, info); err != nil {
		return fmt.Errorf("storing tree %s: %w", info.Digest.Short(), s.explain(err))
	}
	return nil
}

func (s *Store) putTree(ctx context.Context, r io.Reader, info tree.Info) error {
	if err := s.Begin(); err != nil {
		return err
	}
	t, err := s.create(0o444)
	if err != nil {
		return err
	}
	defer s.discard(t)
	if err := s.tmp.Change("write", "(unnamed)"); err != nil {
		return err
	}
	copied := io.TeeReader(bounded.Reader(reading{ctx, r}, maxSealed(info.Size)), t)
	text, err := openText(copied, info.Digest, info.Size)
	if err != nil {
		return err
	}
	defer text.Close()
	if _, err := io.Copy(io.Discard, text); err != nil {
		return err
	}
	return s.publish(t, TreeName(info.Digest))
}

// AddTree stores the text of a tree as it is. Input untrusted: it reads no more than
// info.Size bytes and one, and keeps nothing unless the text is what info.Digest
// names. Durable with End, as names of objects are.
func (s *Store) AddTree(ctx context.Context, text io.Reader, info tree.Info) error {
	if err := s.addTree(ctx, text, info); err != nil {
		return fmt.Errorf("storing tree %s: %w", info.Digest.Short(), s.explain(err))
	}
	return nil
}

func (s *Store) addTree(ctx context.Context, text io.Reader, info tree.Info) error {
	if err := s.Begin(); err != nil {
		return err
	}
	t, err := s.create(0o444)
	if err != nil {
		return err
	}
	defer s.discard(t)
	if err := s.tmp.Change("write", "(unnamed)"); err != nil {
		return err
	}
	packed, err := sealed.NewWriter(t)
	if err != nil {
		return err
	}
	_, err = io.Copy(packed, digest.NewReader(reading{ctx, text}, info.Digest, info.Size))
	if err := errors.Join(err, packed.Close()); err != nil {
		return err
	}
	return s.publish(t, TreeName(info.Digest))
}

// TreeText opens the text of a tree; it is checked as it is read, to the end. The
// caller closes it.
func (s *Store) TreeText(d digest.Digest, size int64) (io.ReadCloser, error) {
	t, err := s.openTree(d, size)
	if err != nil {
		return nil, fmt.Errorf("reading tree %s: %w", d.Short(), err)
	}
	return t, nil
}

// reading ends when its context does.
type reading struct {
	ctx context.Context
	r   io.Reader
}

func (r reading) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}

// text reads a sealed text and checks it.
type text struct {
	io.Reader
	close func() error
}

func (t text) Close() error { return t.close() }

func openText(r io.Reader, d digest.Digest, size int64) (text, error) {
	plain, err := sealed.NewReader(r, size)
	if err != nil {
		return text{}, err
	}
	return text{digest.NewReader(unsealed{plain}, d, size), plain.Close}, nil
}

// unsealed has what is not sealed text match digest.ErrMismatch: it is not the text
// that was asked for.
type unsealed struct{ io.Reader }

func (u unsealed) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if errors.Is(err, sealed.ErrBroken) {
		err = fmt.Errorf("%w: %w", digest.ErrMismatch, err)
	}
	return n, err
}

func (s *Store) openTree(d digest.Digest, size int64) (text, error) {
	f, err := s.dir.Open(TreeName(d))
	if err != nil {
		return text{}, err
	}
	t, err := openText(f, d, size)
	if err != nil {
		f.Close()
		return text{}, err
	}
	plain := t.close
	t.close = func() error { return errors.Join(plain(), f.Close()) }
	return t, nil
}

// Tree reads the tree whose text has this digest and this size in bytes. An
// error is the last thing that is yielded; that all of it was right is known at
// its end alone.
func (s *Store) Tree(d digest.Digest, size int64) iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		t, err := s.openTree(d, size)
		if err != nil {
			yield(nil, fmt.Errorf("reading tree %s: %w", d.Short(), err))
			return
		}
		defer t.Close()
		for e, err := range tree.Decode(t) {
			if err != nil {
				err = fmt.Errorf("reading tree %s: %w", d.Short(), err)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// PutRelease stores a release document under its digest. Durable with End.
func (s *Store) PutRelease(data []byte) (digest.Digest, error) {
	d := digest.Of(data)
	if err := s.putRelease(d, data); err != nil {
		return d, fmt.Errorf("storing release %s: %w", d.Short(), s.explain(err))
	}
	return d, nil
}

func (s *Store) putRelease(d digest.Digest, data []byte) error {
	if len(data) > maxRelease {
		return fmt.Errorf("%w: %d bytes, limit %d", bounded.ErrTooLarge, len(data), maxRelease)
	}
	if err := s.Begin(); err != nil {
		return err
	}
	t, err := s.create(0o444)
	if err != nil {
		return err
	}
	defer s.discard(t)
	if err := s.tmp.Change("write", "(unnamed)"); err != nil {
		return err
	}
	if _, err := t.Write(data); err != nil {
		return err
	}
	return s.publish(t, ReleaseName(d))
}

// Release reads a release document; one that is not what its name says is a
// *digest.MismatchError.
func (s *Store) Release(d digest.Digest) ([]byte, error) {
	data, err := s.dir.ReadFile(ReleaseName(d), maxRelease)
	if err == nil && digest.Of(data) != d {
		err = &digest.MismatchError{Want: d, Have: digest.Of(data), WantSize: int64(len(data)), HaveSize: int64(len(data))}
	}
	if err != nil {
		return nil, fmt.Errorf("reading release %s: %w", d.Short(), err)
	}
	return data, nil
}

// RemoveTree removes the text of a tree; it is no error if there is none.
func (s *Store) RemoveTree(d digest.Digest) error { return s.removeDocument(TreeName(d)) }

// RemoveRelease removes a release document; it is no error if there is none.
func (s *Store) RemoveRelease(d digest.Digest) error { return s.removeDocument(ReleaseName(d)) }

func (s *Store) removeDocument(name string) error {
	if err := s.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.explain(err)
	}
	return nil
}

// Trees lists the trees that are here; whether they are whole is not looked at.
func (s *Store) Trees() ([]digest.Digest, error) { return listDocuments(s.dir, "trees", ".zst") }

// Releases lists the release documents that are here.
func (s *Store) Releases() ([]digest.Digest, error) { return listDocuments(s.dir, "releases", "") }

// listDocuments leaves names out that are no document's: VerifyDocuments finds
// them.
func listDocuments(dir *beneath.Dir, folder, suffix string) ([]digest.Digest, error) {
	names, err := dir.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []digest.Digest
	for _, name := range names {
		if d, err := parseDocument(name, suffix); err == nil {
			all = append(all, d)
		}
	}
	return all, err
}

func parseDocument(name, suffix string) (digest.Digest, error) {
	text, ok := strings.CutSuffix(name, suffix)
	if !ok {
		return digest.Digest{}, errName
	}
	return digest.Parse(text)
}

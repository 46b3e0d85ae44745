package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/bounded"
	"github.com/larch-project/larch/internal/sealed"
	"github.com/larch-project/larch/tree"
)

// someTree gives the text of a small tree.
func someTree(t testing.TB) ([]byte, tree.Info) {
	t.Helper()
	var text bytes.Buffer
	enc := tree.NewEncoder(&text)
	for _, e := range []*tree.Entry{
		{Path: "/", Kind: tree.Directory, Mode: 0o755, Nlink: 1},
		{Path: "/file", Kind: tree.Regular, Mode: 0o644, Size: 100, Nlink: 1, Digest: digest.Of(content("tree", 100))},
		{Path: "/link", Kind: tree.Symlink, Mode: 0o777, Nlink: 1, Size: 4, Target: "file"},
	} {
		if err := enc.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	return text.Bytes(), enc.Info()
}

func putTree(s *Store, doc []byte, info tree.Info) error {
	return s.PutTree(context.Background(), bytes.NewReader(doc), info)
}

func TestTree(t *testing.T) {
	text, info := someTree(t)
	doc, err := sealed.Encode(text)
	if err != nil {
		t.Fatal(err)
	}
	s := opened(t, t.TempDir(), nil)
	if s.HasTree(info.Digest, info.Size) {
		t.Error("a tree is there before it was put")
	}
	for _, err := range s.Tree(info.Digest, info.Size) {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("reading what is not there: %v", err)
		}
	}
	for range 2 { // the second time it is there already
		if err := putTree(s, doc, info); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := s.Trees(); err != nil || !slices.Equal(list, []digest.Digest{info.Digest}) {
		t.Errorf("trees %v, error %v", list, err)
	}
	var paths []tree.Path
	for e, err := range s.Tree(info.Digest, info.Size) {
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, e.Path)
	}
	if !slices.Equal(paths, []tree.Path{"/", "/file", "/link"}) || !s.HasTree(info.Digest, info.Size) {
		t.Errorf("read %v", paths)
	}
	if err := errors.Join(s.RemoveTree(info.Digest), s.RemoveTree(info.Digest)); err != nil || s.HasTree(info.Digest, info.Size) {
		t.Errorf("removed: error %v", err)
	}
}

func TestEveryFlippedByteOfATree(t *testing.T) {
	text, info := someTree(t)
	doc, err := sealed.Encode(text)
	if err != nil {
		t.Fatal(err)
	}
	s := opened(t, t.TempDir(), nil)
	if err := putTree(s, doc, info); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir.Path(), TreeName(info.Digest))
	for i := range doc {
		wrong := slices.Clone(doc)
		wrong[i] ^= 4
		if err := putTree(s, wrong, info); err == nil {
			t.Errorf("byte %d flipped: stored", i)
		}
		if !s.HasTree(info.Digest, info.Size) {
			t.Fatalf("byte %d flipped: the refused tree took the place of the right one", i)
		}
	}
	for i := range doc {
		wrong := slices.Clone(doc)
		wrong[i] ^= 4
		if err := errors.Join(os.Remove(path), os.WriteFile(path, wrong, 0o644)); err != nil {
			t.Fatal(err)
		}
		if s.HasTree(info.Digest, info.Size) {
			t.Errorf("byte %d flipped on the disk: believed", i)
		}
	}
	if err := putTree(s, doc, info); err != nil || !s.HasTree(info.Digest, info.Size) {
		t.Errorf("a damaged tree was not replaced: %v", err)
	}
}

// endless never ends.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	clear(p)
	e.read += int64(len(p))
	return copy(p, []byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 1}), nil // skippable frames, 16 MiB each
}

func TestTreeWithoutEnd(t *testing.T) {
	_, info := someTree(t)
	s := opened(t, t.TempDir(), nil)
	from := &endless{}
	if err := s.PutTree(context.Background(), from, info); err == nil || from.read > 8<<20 {
		t.Errorf("read %d bytes, error %v", from.read, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.PutTree(ctx, from, info); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: error %v", err)
	}
	if err := s.PutTree(context.Background(), io.MultiReader(), info); err == nil {
		t.Error("nothing was stored as a tree")
	}
}

func TestRelease(t *testing.T) {
	s := opened(t, t.TempDir(), nil)
	data := []byte("{}\n")
	d, err := s.PutRelease(data)
	if err != nil || d != digest.Of(data) {
		t.Fatalf("digest %v, error %v", d, err)
	}
	if have, err := s.Release(d); err != nil || !bytes.Equal(have, data) {
		t.Errorf("read %q, error %v", have, err)
	}
	if list, err := s.Releases(); err != nil || !slices.Equal(list, []digest.Digest{d}) {
		t.Errorf("releases %v, error %v", list, err)
	}
	path := filepath.Join(s.dir.Path(), ReleaseName(d))
	for i := range data {
		wrong := slices.Clone(data)
		wrong[i] ^= 1
		if err := errors.Join(os.Remove(path), os.WriteFile(path, wrong, 0o644)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Release(d); !errors.Is(err, digest.ErrMismatch) {
			t.Errorf("byte %d flipped: error %v", i, err)
		}
	}
	if _, err := s.PutRelease(make([]byte, maxRelease+1)); !errors.Is(err, bounded.ErrTooLarge) {
		t.Errorf("too large: error %v", err)
	}
	if err := errors.Join(s.RemoveRelease(d), s.RemoveRelease(d)); err != nil {
		t.Error(err)
	}
	if _, err := s.Release(d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed: error %v", err)
	}
}

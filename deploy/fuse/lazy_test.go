package fuse_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy/fuse"
	"github.com/larch-project/larch/digest"
)

// sourceVariable names the folder from which the server of lazyBackend fetches.
const sourceVariable = "LARCH_TEST_SOURCE"

var (
	lazyCommand = []string{"/proc/self/exe", "serve-lazy"}
	lazyBackend = fuse.Backend{Command: lazyCommand, Lazy: true}
)

// serveLazy is the server of lazyBackend.
func serveLazy(args []string) error {
	return fuse.Serve(context.Background(), lazyCommand, args, folderSource(os.Getenv(sourceVariable)))
}

// folderSource has contents in files that are named by their digests.
type folderSource string

// Open implements fuse.Source.
func (s folderSource) Open(_ context.Context, c fuse.Content) (fuse.Reader, error) {
	return os.Open(filepath.Join(string(s), c.Digest.String()))
}

// content that the store lacks comes from the source, until the store has it
func TestLazy(t *testing.T) {
	m := needsServer(t)
	source := t.TempDir()
	t.Setenv(sourceVariable, source)
	here, away, nowhere := random(1, 9000), random(2, 3<<20+1), random(3, 9000)
	m.put(t, here)
	if err := os.WriteFile(filepath.Join(source, digest.Of(away).String()), away, 0o644); err != nil {
		t.Fatal(err)
	}
	spec := specOf(t, "release", here, away, nowhere)
	if err := backend.Make(t.Context(), m.site, spec); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("made without contents: error %v", err)
	}
	view := m.open(t, lazyBackend, spec)
	for i, want := range [][]byte{here, away} {
		have, err := os.ReadFile(filepath.Join(view.Path, string(rune('0'+i))))
		if err != nil || !bytes.Equal(have, want) {
			t.Errorf("file %d: equal %v, error %v", i, bytes.Equal(have, want), err)
		}
	}
	missing := filepath.Join(view.Path, "2")
	if _, err := os.ReadFile(missing); !errors.Is(err, unix.EIO) {
		t.Errorf("what the source does not have: error %v", err)
	}
	m.put(t, nowhere)
	if have, err := os.ReadFile(missing); err != nil || !bytes.Equal(have, nowhere) {
		t.Errorf("when it is in the store: equal %v, error %v", bytes.Equal(have, nowhere), err)
	}
	if err := lazyBackend.Make(t.Context(), m.site, spec); err != nil {
		t.Errorf("made again while in use: %v", err)
	}
}

// the order of first reads is recorded when that is asked for
func TestOrder(t *testing.T) {
	m := needsServer(t)
	contents := [][]byte{random(1, 5000), random(2, 5000), random(3, 5000), []byte("inline")}
	m.put(t, contents[:3]...)
	spec := specOf(t, "release", contents...)
	if err := backend.Make(t.Context(), m.site, spec); err != nil {
		t.Fatal(err)
	}
	if _, err := fuse.Order(m.root, "release"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing was recorded: error %v", err)
	}
	if err := fuse.Record(m.root, "release"); err != nil {
		t.Fatal(err)
	}
	view := m.reopen(t, backend, "release")
	for _, name := range []string{"2", "3", "0", "2"} {
		if _, err := os.ReadFile(filepath.Join(view.Path, name)); err != nil {
			t.Fatal(err)
		}
	}
	have, err := fuse.Order(m.root, "release")
	if err != nil {
		t.Fatal(err)
	}
	want := []digest.Digest{digest.Of(contents[2]), digest.Of(contents[0])}
	if d := cmp.Diff(want, have); d != "" {
		t.Errorf("the order, -want +have:\n%s", d)
	}
}

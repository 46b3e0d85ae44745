package btrfssend

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/larch-project/larch/tree"
)

// rules keep all that a tree can hold.
func rules() tree.Rules {
	r := tree.OSRules()
	r.KeepTimes = true
	return r
}

// textOf gives the text of the tree of a source: what two trees are compared by.
func textOf(t testing.TB, src tree.Source) string {
	t.Helper()
	var text bytes.Buffer
	enc := tree.NewEncoder(&text)
	for e, err := range tree.Hash(t.Context(), src, 2) {
		if err == nil {
			err = enc.Write(e)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// fixed is a tree with the source of its contents.
type fixed struct {
	text string
	info tree.Info
	src  tree.Source
}

func fix(t testing.TB, src tree.Source) *fixed {
	t.Helper()
	f := &fixed{text: textOf(t, src), src: src}
	enc := tree.NewEncoder(io.Discard)
	for e, err := range tree.Decode(strings.NewReader(f.text)) {
		if err != nil {
			t.Fatal(err)
		}
		if err := enc.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	f.info = enc.Info()
	return f
}

// folder is the tree of a folder.
func folder(t testing.TB, dir string) *fixed {
	t.Helper()
	src, err := tree.Folder(dir, rules())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return fix(t, src)
}

func (f *fixed) subvolume(name string) Subvolume {
	entries := func(yield func(*tree.Entry, error) bool) { tree.Decode(strings.NewReader(f.text))(yield) }
	return Subvolume{Name: name, Tree: f.info.Digest, Entries: entries, Open: func(e *tree.Entry) (io.ReadCloser, error) {
		return f.src.Open(context.Background(), e)
	}}
}

// stream writes a stream, of nothing if parent is nil.
func stream(t testing.TB, sub Subvolume, parent *Subvolume, opt Options) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Write(t.Context(), &out, sub, parent, opt); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// sameTree compares two texts and shows the lines that differ.
func sameTree(t testing.TB, what, have, want string) {
	t.Helper()
	if have == want {
		return
	}
	a, b := strings.Split(have, "\n"), strings.Split(want, "\n")
	for _, line := range a {
		if !slices.Contains(b, line) {
			t.Errorf("%s: has    %.300q", what, line)
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			t.Errorf("%s: should %.300q", what, line)
		}
	}
	t.Fatalf("%s: the trees differ", what)
}

// write makes a file with its folders.
func write(t testing.TB, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

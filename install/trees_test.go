package install

import (
	"bytes"
	"testing"

	"github.com/larch-project/larch/tree"
)

// A small tree that was read once needs no further reading, and one that is not here is
// not pretended to be.
func TestTreesAreReadOnce(t *testing.T) {
	m := newMachine(t)
	var text bytes.Buffer
	enc := tree.NewEncoder(&text)
	for _, p := range []tree.Path{"/", "/files", "/files/lib"} {
		if err := enc.Write(&tree.Entry{Path: p, Kind: tree.Directory, Mode: 0o755, Nlink: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	info := enc.Info()
	var all trees
	if all.has(m.store, info) {
		t.Error("a tree is here before it was stored")
	}
	if err := m.store.AddTree(t.Context(), &text, info); err != nil {
		t.Fatal(err)
	}
	if !all.has(m.store, info) {
		t.Error("a tree that was stored is not here")
	}
	if err := m.store.RemoveTree(info.Digest); err != nil {
		t.Fatal(err)
	}
	count := func() (n int) {
		for _, err := range all.of(m.store, info) {
			if err != nil {
				return -1
			}
			n++
		}
		return n
	}
	if n := count(); n != 3 {
		t.Errorf("%d entries of a tree that was read", n)
	}
	if all.forget(); all.has(m.store, info) || count() != -1 {
		t.Error("a forgotten tree is still here")
	}
}

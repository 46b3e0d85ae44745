package fuse

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/tree"
)

// newTestNodes gives the nodes of a site with deployments of these names, all of the
// sample tree, each with a file of its own besides.
func newTestNodes(t *testing.T, names ...string) *nodes {
	t.Helper()
	root, err := beneath.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	for _, name := range names {
		own := append(sample(), &tree.Entry{Path: "/zz", Kind: tree.Regular, Mode: 0o644, Nlink: 1, Size: int64(len(name)), Inline: []byte(name)})
		data, _, err := buildIndex(digest.Of([]byte(name)), entriesOf(own), locate)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(root.Path(), named(name).Folder())
		err = errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, indexName), data, 0o644), os.WriteFile(filepath.Join(dir, leavesName), nil, 0o644))
		if err != nil {
			t.Fatal(err)
		}
	}
	return newNodes(root, newLog(root, time.Now))
}

// node finds a path in a deployment.
func (d *deployment) node(t *testing.T, names ...string) uint64 {
	t.Helper()
	i := uint32(0)
	for _, name := range names {
		child, ok := d.index.child(d.index.record(i), name)
		if !ok {
			t.Fatalf("%q is not there", names)
		}
		i = child
	}
	return d.idOf(i)
}

func show(t *testing.T, n *nodes, name string) *deployment {
	t.Helper()
	d, err := n.show(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// what the kernel knows works until it has forgotten it, and no memory is lost
func TestNodesAreForgotten(t *testing.T) {
	n := newTestNodes(t, "one", "two")
	one, two := show(t, n, "one"), show(t, n, "two")
	shared, own, folder := one.node(t, "bin", "a"), one.node(t, "zz"), one.node(t, "bin")
	if shared != two.node(t, "bin", "b") || own == two.node(t, "zz") || folder == two.node(t, "bin") {
		t.Error("files are not shared, or something else is")
	}
	for _, id := range []uint64{shared, own, own, folder} {
		n.give(id)
	}
	if err := os.RemoveAll(filepath.Join(n.root.Path(), named("one").Folder())); err != nil {
		t.Fatal(err)
	}
	if _, err := n.show("one"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("shown after its removal: error %v", err)
	}
	for _, id := range []uint64{shared, own, folder} {
		if _, ok := n.find(id); !ok {
			t.Errorf("node %x is lost while the kernel knows it", id)
		}
	}
	n.forget(own, 1)
	n.forget(folder, 1)
	if _, ok := n.find(own); !ok {
		t.Error("a node is lost that was forgotten once of two times")
	}
	n.forget(own, 1)
	if _, ok := n.find(own); ok || len(n.byKey) != 1 {
		t.Errorf("%d deployments are in memory", len(n.byKey))
	}
	if s, ok := n.find(shared); !ok || s.deployment != two {
		t.Error("the shared file is not the other deployment's")
	}
	n.drop(two)
	n.forget(shared, 1)
	if len(n.byKey)+len(n.byName)+len(n.files) != 0 {
		t.Errorf("left: %d deployments, %d files", len(n.byKey), len(n.files))
	}
}

// a child that takes over knows nothing but the node ids, which mean the same
func TestNodesAreFoundAgain(t *testing.T) {
	n := newTestNodes(t, "one", "two")
	one := show(t, n, "one")
	ids := map[uint64]tree.Path{one.node(t, "bin"): "/bin", one.node(t, "zz"): "/zz", one.node(t, "link"): "/link", one.key.node(0): "/"}
	again := newNodes(n.root, n.log)
	for id, want := range ids {
		if s, ok := again.find(id); !ok || s.name != "one" || s.index.pathOf(s.i) != want {
			t.Errorf("node %x, which was %s, is %v", id, want, ok)
		}
	}
	for _, id := range []uint64{0, 2, 1 << 40, fileBit | 5, one.key.node(1 << 30)} {
		if _, ok := again.find(id); ok {
			t.Errorf("node %x is something", id)
		}
	}
}

// two meanings of a node id are refused
func TestNodesCollide(t *testing.T) {
	n := newTestNodes(t, "one", "two")
	one := show(t, n, "one")
	x, err := parseIndex(sampleIndex(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []uint32{2, 3} { // any two different files get one id
		if r := x.record(i); r.kind() == tree.Regular {
			copy(r[24:32], one.index.record(one.index.entries() - 1)[24:32])
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.addLocked(&deployment{leafFile: &leafFile{index: x}, name: "x", key: 7}); err == nil {
		t.Error("a node id has two meanings")
	}
	if err := n.addLocked(&deployment{leafFile: &leafFile{index: x}, name: "x", key: one.key}); err == nil {
		t.Error("a key has two meanings")
	}
	if len(n.byKey) != 1 {
		t.Errorf("%d deployments are in memory", len(n.byKey))
	}
}

package btrfs_test

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/btrfs"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	kernel "github.com/larch-project/larch/internal/btrfs"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/tree"
)

// machine is a site over a real store, with trees of files whose contents are made from
// their texts.
type machine struct {
	t     *testing.T
	dir   string
	store *store.Store
	site  deploy.Site
	trees map[string][]*tree.Entry
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, dir: newDir(pool(t))(t), trees: map[string][]*tree.Entry{}}
	root, err := beneath.Open(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	if m.store, err = store.Open(root); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.store.Close(); root.Close() })
	m.site = deploy.Site{Root: root, Content: named{m.store.Contents(nil), m}}
	return m
}

// named is a Content that knows the trees.
type named struct {
	deploy.Content
	m *machine
}

func (n named) Tree(name string) iter.Seq2[*tree.Entry, error] { return n.m.tree(name)() }

func (m *machine) tree(name string) func() iter.Seq2[*tree.Entry, error] {
	return func() iter.Seq2[*tree.Entry, error] {
		return func(yield func(*tree.Entry, error) bool) {
			for _, e := range m.trees[name] {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

func text(seed string) []byte { return []byte(strings.Repeat(seed+" ", 40_000)) }

// release makes a deployment of files, name and text in turn, with another one at hand.
func (m *machine) release(name, previous string, files ...string) {
	m.t.Helper()
	all := []*tree.Entry{{Path: "/", Kind: tree.Directory, Mode: 0o755, Nlink: 1}}
	b := m.store.NewBatch(m.t.Context())
	defer b.Close()
	for i := 0; i < len(files); i += 2 {
		data := text(files[i+1])
		e := &tree.Entry{Path: tree.Path("/" + files[i]), Kind: tree.Regular, Mode: 0o644, Nlink: 1, Size: int64(len(data)), Digest: digest.Of(data)}
		all = append(all, e)
		if m.store.Has(store.ObjectOf(e)) {
			continue
		}
		w, err := b.Create(store.ObjectOf(e))
		if err == nil {
			_, err = w.Write(data)
		}
		if err == nil {
			err = w.Commit()
		}
		if err != nil {
			m.t.Fatal(err)
		}
	}
	if err := errors.Join(b.Flush(m.t.Context()), m.store.End()); err != nil {
		m.t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b *tree.Entry) int { return a.Path.Compare(b.Path) })
	m.trees[name] = all
	if err := (btrfs.Backend{}).Make(m.t.Context(), m.site, deploy.Spec{Name: name, Previous: previous, Tree: m.tree(name)}); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) path(name, file string) string {
	return filepath.Join(m.dir, "deployments", name+".btrfs", "tree", file)
}

func (m *machine) inode(name, file string) uint64 {
	m.t.Helper()
	info, err := os.Stat(m.path(name, file))
	if err != nil {
		m.t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

// based tells whether a deployment is a snapshot of another one.
func (m *machine) based(name, on string) bool {
	m.t.Helper()
	var of [2]kernel.Info
	for i, n := range []string{name, on} {
		f, err := os.Open(m.path(n, "."))
		if err == nil {
			of[i], err = kernel.Describe(f)
			f.Close()
		}
		if err != nil {
			m.t.Fatal(err)
		}
	}
	return of[0].Parent == of[1].UUID
}

// what did not change keeps its inode, what did is on the store's blocks, and nobody
// can write
func TestUpdate(t *testing.T) {
	m := newMachine(t)
	m.release("one", "", "a", "same", "b", "old")
	m.release("two", "one", "a", "same", "b", "new", "c", "more")
	if !m.based("two", "one") {
		t.Error("made anew, not from the previous one")
	}
	if m.inode("one", "a") != m.inode("two", "a") || m.inode("one", "b") == m.inode("two", "b") {
		t.Error("the file that is the same has another inode, or the one that changed the same")
	}
	for i, e := range m.trees["two"][1:] {
		ours, err := os.Open(m.path("two", string(e.Path)))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := m.site.Content.Open(e)
		if err != nil {
			t.Fatal(err)
		}
		if !kernel.SameExtents(ours, theirs) {
			t.Errorf("file %d is not on the store's blocks", i)
		}
		ours.Close()
		theirs.Close()
	}
	if err := os.WriteFile(m.path("two", "a"), nil, 0o644); !errors.Is(err, unix.EROFS) {
		t.Errorf("written: error %v", err)
	}
}

// one that was changed behind our back is nothing to begin with
func TestChangedPrevious(t *testing.T) {
	m := newMachine(t)
	m.release("one", "", "a", "same")
	root, err := os.Open(m.path("one", "."))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	name := m.path("one", "a")
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(kernel.SetReadOnly(root, false), os.WriteFile(name, text("evil"), 0o644), os.Chtimes(name, info.ModTime(), info.ModTime()),
		kernel.SetReadOnly(root, true), unix.Syncfs(int(root.Fd())))
	if err != nil {
		t.Fatal(err)
	}
	m.release("two", "one", "a", "same", "b", "more")
	if m.based("two", "one") {
		t.Error("made from what was changed")
	}
	if data, err := os.ReadFile(m.path("two", "a")); err != nil || string(data) != string(text("same")) {
		t.Errorf("%d bytes, error %v", len(data), err)
	}
	m.release("one", "", "a", "same") // made once more, it is mended
	if data, err := os.ReadFile(name); err != nil || string(data) != string(text("same")) {
		t.Errorf("after the mend: %d bytes, error %v", len(data), err)
	}
}

// a store on another file system than the deployments
func TestStoreElsewhere(t *testing.T) {
	m := newMachine(t)
	m.release("one", "", "a", "same")
	elsewhere, err := os.CreateTemp("/dev/shm", "larch-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	defer os.Remove(elsewhere.Name())
	if _, err := elsewhere.Write(text("same")); err != nil {
		t.Fatal(err)
	}
	site := deploy.Site{Root: m.site.Root, Content: moved{m.site.Content, elsewhere.Name()}}
	err = btrfs.Backend{}.Make(t.Context(), site, deploy.Spec{Name: "two", Tree: m.tree("one")})
	if !errors.Is(err, unix.EXDEV) || !strings.Contains(err.Error(), "not on the btrfs") {
		t.Errorf("made: error %v", err)
	}
	left, err := m.site.Root.ReadDir("tmp")
	if there, listErr := deploy.List(m.site.Root); len(left) > 0 || len(there) != 1 || errors.Join(err, listErr) != nil {
		t.Errorf("left %v, deployments %v, error %v", left, there, errors.Join(err, listErr))
	}
}

// moved is a Content whose files are elsewhere.
type moved struct {
	deploy.Content
	name string
}

func (c moved) Open(*tree.Entry) (*os.File, error) { return os.Open(c.name) }

func TestNotOnBtrfs(t *testing.T) {
	root, err := beneath.Open("/dev/shm")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if s := (btrfs.Backend{}).Probe(t.Context(), deploy.Site{Root: root}); s.Usable || !strings.Contains(s.Why, "larch pool create") {
		t.Errorf("support %+v", s)
	}
}

// the changed files of an update take their space once
func TestDiskOfAnUpdate(t *testing.T) {
	m := newMachine(t)
	var files []string
	for i := range 300 {
		files = append(files, fmt.Sprintf("f%03d", i), fmt.Sprint("text ", i))
	}
	m.release("one", "", files...)
	before := m.used()
	changed := int64(0)
	for i := 1; i < 60; i += 2 {
		files[i] += " changed"
		changed += int64(len(text(files[i])))
	}
	m.release("two", "one", files...)
	if took := m.used() - before; took > changed*11/10+1<<20 { // and what the file system keeps of it, whose unit is large
		t.Errorf("%d bytes changed, and took %d", changed, took)
	}
}

// used is how many bytes of the file system are taken.
func (m *machine) used() int64 {
	m.t.Helper()
	var st unix.Statfs_t
	if err := errors.Join(unix.Syncfs(int(m.site.Root.File().Fd())), unix.Statfs(m.dir, &st)); err != nil {
		m.t.Fatal(err)
	}
	return int64(st.Blocks-st.Bfree) * int64(st.Bsize)
}

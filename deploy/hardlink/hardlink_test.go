package hardlink_test

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"testing"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/deploytest"
	"github.com/larch-project/larch/deploy/hardlink"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/tree"
)

func TestContract(t *testing.T) {
	deploytest.Run(t, hardlink.Backend{}, func(t *testing.T) string { return t.TempDir() })
}

// machine is a site over a real store.
type machine struct {
	dir   string
	store *store.Store
	site  deploy.Site
	spec  deploy.Spec
}

// newMachine stores the given contents as /0, /1 and so on, and besides a symlink,
// an inline file, and a file that cannot be the store's.
func newMachine(t testing.TB, contents ...[]byte) *machine {
	t.Helper()
	m := &machine{dir: t.TempDir()}
	root, err := beneath.Open(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	if m.store, err = store.Open(root); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.store.Close(); root.Close() })
	m.site = deploy.Site{Root: root, Content: m.store.Contents(nil)}
	entries := []*tree.Entry{{Path: "/", Kind: tree.Directory, Mode: 0o755, Nlink: 1}}
	b := m.store.NewBatch(t.Context())
	defer b.Close()
	for i, data := range contents {
		e := &tree.Entry{Path: tree.Path(fmt.Sprint("/", i)), Kind: tree.Regular, Mode: 0o644, Nlink: 1, Size: int64(len(data)), Digest: digest.Of(data)}
		entries = append(entries, e)
		w, err := b.Create(store.ObjectOf(e))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	own := *entries[1]
	own.Path, own.Mode = "/own", 0o600
	entries = append(entries,
		&tree.Entry{Path: "/inline", Kind: tree.Regular, Mode: 0o644, Nlink: 1, Size: 1, Inline: []byte("i"), Digest: digest.Of([]byte("i"))},
		&tree.Entry{Path: "/link", Kind: tree.Symlink, Mode: 0o777, Nlink: 1, Size: 1, Target: "0"}, &own)
	m.spec = deploy.Spec{Name: "release", Tree: entriesOf(entries)}
	if err := errors.Join(b.Flush(t.Context()), m.store.End()); err != nil {
		t.Fatal(err)
	}
	return m
}

func entriesOf(list []*tree.Entry) func() iter.Seq2[*tree.Entry, error] {
	return func() iter.Seq2[*tree.Entry, error] {
		return func(yield func(*tree.Entry, error) bool) {
			for _, e := range list {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

func (m *machine) make(t *testing.T) error {
	t.Helper()
	return hardlink.Backend{}.Make(t.Context(), m.site, m.spec)
}

func (m *machine) path(name string) string {
	return filepath.Join(m.dir, "deployments/release.hardlink/tree", name)
}

// isRight fails the test unless the deployment is the tree.
func (m *machine) isRight(t *testing.T) {
	t.Helper()
	root, err := beneath.Open(m.path("."))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for d, err := range deploy.Compare(t.Context(), root, m.spec.Tree(), nil) {
		t.Errorf("%q %s, error %v", d.Path, d.Problem, err)
	}
}

var some = bytes.Repeat([]byte("content "), 100)

func TestFilesAreTheStores(t *testing.T) {
	m := newMachine(t, some)
	if err := m.make(t); err != nil {
		t.Fatal(err)
	}
	own, err := os.Stat(filepath.Join(m.dir, store.Object{Digest: digest.Of(some)}.Name()))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"0": true, "own": false} {
		info, err := os.Stat(m.path(name))
		if err != nil || os.SameFile(own, info) != want {
			t.Errorf("%s is the store's own: %v, want %v; error %v", name, !want, want, err)
		}
	}
}

// a deployment that is there and not right is made anew
func TestMadeAnew(t *testing.T) {
	write := func(name, text string) error {
		return errors.Join(os.Remove(name), os.WriteFile(name, []byte(text), 0o600))
	}
	for name, ruin := range map[string]func(m *machine) error{
		"a file is missing":      func(m *machine) error { return os.Remove(m.path("0")) },
		"a file too many":        func(m *machine) error { return os.WriteFile(m.path("more"), nil, 0o644) },
		"another content":        func(m *machine) error { return write(m.path("0"), string(some)) },
		"another inline content": func(m *machine) error { return write(m.path("inline"), "x") },
		"another content of own": func(m *machine) error { return write(m.path("own"), "x") },
		"a mode":                 func(m *machine) error { return os.Chmod(m.path("own"), 0o644) },
		"a symlink":              func(m *machine) error { return errors.Join(os.Remove(m.path("link")), os.Symlink("1", m.path("link"))) },
		"no tree":                func(m *machine) error { return os.RemoveAll(m.path(".")) },
		"no lock":                func(m *machine) error { return os.Remove(m.path("../lock")) },
		"an empty folder":        func(m *machine) error { return errors.Join(os.RemoveAll(m.path("..")), os.Mkdir(m.path(".."), 0o755)) },
		"a file for the folder": func(m *machine) error {
			return errors.Join(os.RemoveAll(m.path("..")), os.WriteFile(m.path(".."), nil, 0o644))
		},
		"a symlink for the folder": func(m *machine) error { return errors.Join(os.RemoveAll(m.path("..")), os.Symlink("/", m.path(".."))) },
		"a symlink for the tree":   func(m *machine) error { return errors.Join(os.RemoveAll(m.path(".")), os.Symlink("/", m.path("."))) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, some)
			if err := errors.Join(m.make(t), ruin(m), m.make(t)); err != nil {
				t.Fatal(err)
			}
			m.isRight(t)
			view, err := hardlink.Backend{}.Open(t.Context(), m.site, "release")
			if err != nil {
				t.Fatal(err)
			}
			view.Close()
			if left, err := os.ReadDir(filepath.Join(m.dir, "tmp")); err != nil || len(left) > 0 {
				t.Errorf("left in tmp: %v, error %v", left, err)
			}
		})
	}
}

// content that the store has reason to doubt is hashed before it is linked
func TestDoubtedContent(t *testing.T) {
	m := newMachine(t, some)
	o := store.Object{Digest: digest.Of(some), Size: int64(len(some))}
	m.store.Doubt(o)
	if err := m.make(t); err != nil {
		t.Fatal(err)
	}
	m.isRight(t)
	name := filepath.Join(m.dir, o.Name())
	wrong := bytes.ToUpper(some)
	if err := errors.Join(os.Remove(name), os.WriteFile(name, wrong, 0o444)); err != nil {
		t.Fatal(err)
	}
	m.store.Doubt(o)
	m.spec.Name = "another"
	if err := m.make(t); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("made of damaged content: error %v", err)
	}
}

// more equal files than a file of ext4 can have names
func TestMoreLinksThanTheFileSystemAllows(t *testing.T) {
	if os.Getenv("LARCH_TEST_LONG") == "" {
		t.Skip("takes long: set LARCH_TEST_LONG")
	}
	m := newMachine(t, some)
	entries := []*tree.Entry{{Path: "/", Kind: tree.Directory, Mode: 0o755, Nlink: 1}}
	for i := range 70_000 {
		entries = append(entries, &tree.Entry{Path: tree.Path(fmt.Sprintf("/%05d", i)), Kind: tree.Regular, Mode: 0o644, Nlink: 1, Size: int64(len(some)), Digest: digest.Of(some)})
	}
	m.spec.Tree = entriesOf(entries)
	if err := m.make(t); err != nil {
		t.Fatal(err)
	}
	m.isRight(t)
}

// The same of a file whose content is in the tree.
func TestMoreNamesOfASmallFile(t *testing.T) {
	if os.Getenv("LARCH_TEST_LONG") == "" {
		t.Skip("takes long: set LARCH_TEST_LONG")
	}
	m := newMachine(t, some)
	small := []byte("small")
	first := &tree.Entry{Path: "/00000", Kind: tree.Regular, Mode: 0o644, Nlink: 70_000, Size: int64(len(small)), Digest: digest.Of(small), Inline: small}
	entries := []*tree.Entry{{Path: "/", Kind: tree.Directory, Mode: 0o755, Nlink: 1}, first}
	for i := range 69_999 {
		again := *first
		again.Path, again.Kind, again.Target = tree.Path(fmt.Sprintf("/%05d", i+1)), tree.Hardlink, "/00000"
		entries = append(entries, &again)
	}
	m.spec.Tree = entriesOf(entries)
	if err := m.make(t); err != nil {
		t.Fatal(err)
	}
	m.isRight(t)
}

func TestMain(m *testing.M) { deploytest.Main(m, nil) }

package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/hardlink"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/sealed"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/tree"
)

// machine is a store with one release and its deployment.
type machine struct {
	dir     string
	root    *beneath.Dir
	store   *store.Store
	in      Installed
	objects []store.Object
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{dir: t.TempDir()}
	var err error
	if m.root, err = beneath.Open(m.dir); err != nil {
		t.Fatal(err)
	}
	if m.store, err = store.Open(m.root); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.store.Close(); m.root.Close() })
	if err := m.fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := (hardlink.Backend{}).Make(t.Context(), m.site(), deploy.Spec{Name: m.in.Release.String(), Tree: m.tree, Info: m.in.Tree}); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machine) site() deploy.Site {
	return deploy.Site{Root: m.root, Content: m.store.Contents(nil)}
}

func (m *machine) tree() iter.Seq2[*tree.Entry, error] {
	return m.store.Tree(m.in.Tree.Digest, m.in.Tree.Size)
}

func (m *machine) fill(ctx context.Context) error {
	var text bytes.Buffer
	enc := tree.NewEncoder(&text)
	if err := enc.Write(&tree.Entry{Path: "/", Kind: tree.Directory, Mode: 0o755, Nlink: 1}); err != nil {
		return err
	}
	b := m.store.NewBatch(ctx)
	defer b.Close()
	for i := range 3 {
		data := make([]byte, 100+5000*i)
		rand.NewChaCha8([32]byte{byte(i)}).Read(data)
		e := &tree.Entry{Path: tree.Path(fmt.Sprint("/file", i)), Kind: tree.Regular, Mode: 0o644, Nlink: 1, Size: int64(len(data)), Digest: digest.Of(data)}
		if err := enc.Write(e); err != nil {
			return err
		}
		m.objects = append(m.objects, store.ObjectOf(e))
		w, err := b.Create(store.ObjectOf(e))
		if err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
		if err := w.Commit(); err != nil {
			return err
		}
	}
	inline := &tree.Entry{Path: "/inline", Kind: tree.Regular, Mode: 0o755, Nlink: 1, Size: 6, Inline: []byte("inline"), Digest: digest.Of([]byte("inline"))}
	if err := errors.Join(enc.Write(inline), enc.Close(), b.Flush(ctx)); err != nil {
		return err
	}
	doc, err := sealed.Encode(text.Bytes())
	if err != nil {
		return err
	}
	m.in = Installed{Ref: "app/org.example.App/x86_64/stable", Tree: enc.Info()}
	if m.in.Release, err = m.store.PutRelease([]byte("the release")); err != nil {
		return err
	}
	return errors.Join(m.store.PutTree(ctx, bytes.NewReader(doc), m.in.Tree), m.store.End())
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

// change writes a file whatever its mode, and puts mode and time back.
func (m *machine) change(t *testing.T, name string, data []byte) {
	t.Helper()
	info, err := os.Stat(m.path(name))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(m.path(name), 0o600), os.WriteFile(m.path(name), data, 0), os.Chmod(m.path(name), info.Mode()),
		os.Chtimes(m.path(name), info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) check(t *testing.T) (all []Finding) {
	t.Helper()
	report := func(f Finding) { all = append(all, f) }
	if _, err := Store(t.Context(), m.store, []Installed{m.in}, true, report); err != nil {
		t.Fatal(err)
	}
	if err := Deployment(t.Context(), hardlink.Backend{}, m.site(), m.store, m.in, report); err != nil && m.store.HasTree(m.in.Tree.Digest, m.in.Tree.Size) {
		t.Fatal(err)
	}
	return all
}

func where(all []Finding) (names []string) {
	for _, f := range all {
		names = append(names, f.Where)
	}
	return names
}

func TestNothingIsWrong(t *testing.T) {
	if found := newMachine(t).check(t); len(found) > 0 {
		t.Errorf("found %+v", found)
	}
}

// every bit of every file below the store and the deployment
func TestEveryFlippedBit(t *testing.T) {
	m := newMachine(t)
	deployed := deploy.Deployment{Name: m.in.Release.String(), Backend: "hardlink"}.Folder() + "/tree/inline"
	for _, name := range []string{m.objects[0].Name(), store.TreeName(m.in.Tree.Digest), store.ReleaseName(m.in.Release), deployed} {
		data, err := os.ReadFile(m.path(name))
		if err != nil {
			t.Fatal(err)
		}
		for i := range data {
			wrong := slices.Clone(data)
			wrong[i] ^= 1 << (i % 8)
			m.change(t, name, wrong)
			found := m.check(t)
			if !slices.Contains(where(found), name) || slices.ContainsFunc(found, func(f Finding) bool { return len(f.Affects) == 0 || f.Fix != fixRepair }) {
				t.Fatalf("%s, byte %d: found %+v", name, i, found)
			}
		}
		m.change(t, name, data)
		if found := m.check(t); len(found) > 0 {
			t.Fatalf("%s as it was: found %+v", name, found)
		}
	}
}

func TestFlippedBitOfALargeObject(t *testing.T) {
	m := newMachine(t)
	o := m.objects[2]
	data, err := os.ReadFile(m.path(o.Name()))
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		wrong := slices.Clone(data)
		wrong[rand.IntN(len(wrong))] ^= 1 << rand.IntN(8)
		m.change(t, o.Name(), wrong)
		want := []Finding{{Where: o.Name(), Affects: []string{m.in.Ref + ": /file2"}, Fix: fixRepair}}
		found := m.check(t)
		for i := range found {
			found[i].Problem = "" // says both digests
		}
		if diff := cmp.Diff(want, found); diff != "" {
			t.Fatalf("findings (-want +have):\n%s", diff)
		}
		if m.store.Has(o) {
			t.Fatal("the store believes what the check found wrong")
		}
		m.change(t, o.Name(), data)
		m.store.Doubt(o)
	}
}

// what can be done to a store and a deployment, and what is found then
var ruins = map[string]struct {
	ruin func(t *testing.T, m *machine) error
	want func(m *machine, deployed string) []Finding
}{
	"missing object": {
		func(t *testing.T, m *machine) error { return os.Remove(m.path(m.objects[1].Name())) },
		func(m *machine, deployed string) []Finding {
			return []Finding{{m.objects[1].Name(), "is missing", []string{m.in.Ref + ": /file1"}, fixRepair}}
		}},
	"missing folder of objects": {
		func(t *testing.T, m *machine) error { return os.RemoveAll(filepath.Dir(m.path(m.objects[1].Name()))) },
		func(m *machine, deployed string) []Finding {
			return []Finding{{m.objects[1].Name(), "is missing", []string{m.in.Ref + ": /file1"}, fixRepair}}
		}},
	"wrong mode": {
		func(t *testing.T, m *machine) error { return os.Chmod(m.path(m.objects[0].Name()), 0o555) },
		func(m *machine, deployed string) []Finding {
			return []Finding{
				{m.objects[0].Name(), "has mode 0555 instead of 0444", []string{m.in.Ref + ": /file0"}, fixRepair},
			}
		}},
	"wrong time": {
		func(t *testing.T, m *machine) error {
			return os.Chtimes(m.path(m.objects[0].Name()), time.Unix(5, 0), time.Unix(5, 0))
		},
		func(m *machine, deployed string) []Finding {
			return []Finding{
				{m.objects[0].Name(), "has the time 5.000000000 instead of 0", []string{m.in.Ref + ": /file0"}, fixRepair},
			}
		}},
	"strangers in the store": {
		func(t *testing.T, m *machine) error {
			return errors.Join(os.WriteFile(m.path("objects/readme"), nil, 0o644), os.WriteFile(m.path("trees/x"), nil, 0o644), os.WriteFile(m.path("releases/y"), nil, 0o644))
		},
		func(m *machine, deployed string) []Finding {
			return []Finding{
				{"objects/readme", "is not a folder", nil, fixRemove},
				{"trees/x", "is not the name of a document", nil, fixUnused},
				{"releases/y", "is not the name of a document", nil, fixUnused},
			}
		}},
	"damaged object that nobody needs": {
		func(t *testing.T, m *machine) error {
			o := store.Object{Digest: digest.Of([]byte("unused")), Size: 6}
			return errors.Join(os.MkdirAll(filepath.Dir(m.path(o.Name())), 0o755), os.WriteFile(m.path(o.Name()), nil, 0o444))
		},
		func(m *machine, deployed string) []Finding {
			o := store.Object{Digest: digest.Of([]byte("unused")), Size: 6}
			return []Finding{{o.Name(), fmt.Sprintf("%v: content %s: %v (have %s)", o, o.Digest.Short(), digest.ErrMismatch, digest.Of(nil).Short()), nil, fixUnused}}
		}},
	"missing documents": {
		func(t *testing.T, m *machine) error {
			return errors.Join(os.Remove(m.path(store.ReleaseName(m.in.Release))), os.Remove(m.path(store.TreeName(m.in.Tree.Digest))))
		},
		func(m *machine, deployed string) []Finding {
			return []Finding{
				{store.ReleaseName(m.in.Release), "is missing", []string{m.in.Ref}, fixRepair},
				{store.TreeName(m.in.Tree.Digest), "is missing", []string{m.in.Ref}, fixRepair},
			}
		}},
	"missing deployment": {
		func(t *testing.T, m *machine) error { return os.RemoveAll(m.path("deployments")) },
		func(m *machine, deployed string) []Finding {
			return []Finding{{deployed, "is missing", []string{m.in.Ref}, fixRepair}}
		}},
	"missing tree of a deployment": {
		func(t *testing.T, m *machine) error {
			return os.RemoveAll(filepath.Join(m.path("deployments"), m.in.Release.String()+".hardlink", "tree"))
		},
		func(m *machine, deployed string) []Finding {
			return []Finding{{deployed, "the deployment is damaged: it has no tree", []string{m.in.Ref}, fixRepair}}
		}},
	"link in place of the tree, to the same files": {
		func(t *testing.T, m *machine) error {
			in := filepath.Join(m.path("deployments"), m.in.Release.String()+".hardlink", "tree")
			elsewhere := filepath.Join(t.TempDir(), "tree")
			return errors.Join(os.Rename(in, elsewhere), os.Symlink(elsewhere, in))
		},
		func(m *machine, deployed string) []Finding {
			return []Finding{{deployed, "the deployment is damaged: it has no tree", []string{m.in.Ref}, fixRepair}}
		}},
	"file of a deployment replaced, another too many": {
		func(t *testing.T, m *machine) error {
			in := filepath.Join(m.path("deployments"), m.in.Release.String()+".hardlink", "tree")
			data, err := os.ReadFile(filepath.Join(in, "file1"))
			data[7] ^= 1
			return errors.Join(err, os.Remove(filepath.Join(in, "file1")), os.WriteFile(filepath.Join(in, "file1"), data, 0o644),
				os.WriteFile(filepath.Join(in, "more"), nil, 0o644), os.Chtimes(filepath.Join(in, "file1"), time.Unix(0, 0), time.Unix(0, 0)), os.Chtimes(in, time.Unix(0, 0), time.Unix(0, 0)))
		},
		func(m *machine, deployed string) []Finding {
			return []Finding{
				{deployed + "/tree/file1", "has other content", []string{m.in.Ref + ": /file1"}, fixRepair},
				{deployed + "/tree/more", "is not in the tree", []string{m.in.Ref + ": /more"}, fixRepair},
			}
		}},
}

func TestStoreAndDeployment(t *testing.T) {
	for name, c := range ruins {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			if err := c.ruin(t, m); err != nil {
				t.Fatal(err)
			}
			m.store.Close() // its handles may be on what was removed
			deployed := deploy.Deployment{Name: m.in.Release.String(), Backend: "hardlink"}.Folder()
			found := slices.DeleteFunc(m.check(t), func(f Finding) bool { // a store's own file shows its mode and time in both places
				return strings.HasPrefix(f.Where, deployed+"/tree/file0")
			})
			if diff := cmp.Diff(c.want(m, deployed), found); diff != "" {
				t.Errorf("findings (-want +have):\n%s", diff)
			}
		})
	}
}

func TestMuchAffected(t *testing.T) {
	c := storeCheck{wrong: map[string]*Finding{}}
	for i := range 100 {
		c.need("objects/x", fmt.Sprint(i))
	}
	if list := c.wrong["objects/x"].Affects; len(list) != mostAffected+1 || list[mostAffected] != "and more" {
		t.Errorf("affects %v", list)
	}
}

func TestCanceled(t *testing.T) {
	m := newMachine(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ignore := func(Finding) {}
	if _, err := Store(ctx, m.store, []Installed{m.in}, true, ignore); !errors.Is(err, context.Canceled) {
		t.Errorf("store: error %v", err)
	}
	if err := Deployment(ctx, hardlink.Backend{}, m.site(), m.store, m.in, ignore); !errors.Is(err, context.Canceled) {
		t.Errorf("deployment: error %v", err)
	}
}

package content

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/fetch"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/bounded"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/transport"
	folders "github.com/larch-project/larch/transport/file"
	"github.com/larch-project/larch/transport/web"
	"github.com/larch-project/larch/tree"
	"github.com/larch-project/larch/trust"
)

// whole: package install does not build for 32 bits; what it alone looks for is not
// tried here.
const whole = false

// errRelease stands for the errors of package install.
var errRelease = errAny

// machine is what a client is below package install: trust, fetch and a store, and a
// file with the release that it has.
type machine struct {
	dir   string
	root  *beneath.Dir
	store *store.Store
	trust *trust.Client
	from  transport.Transport
	notes []string
	has   []fetch.Start
}

func newMachine(t testing.TB, dir, url string, p *publisher) *machine {
	t.Helper()
	m := &machine{dir: dir}
	var err error
	if strings.HasPrefix(url, "http") {
		m.from, err = web.New(url, web.Options{})
	} else {
		m.from, err = folders.New(url)
	}
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, "trust"), 0o755)
	}
	if err == nil {
		m.root, err = beneath.Open(dir)
	}
	if err == nil {
		m.store, err = store.Open(m.root)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.store.Close(); m.root.Close() })
	kept, err := beneath.Open(filepath.Join(dir, "trust"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	m.trust = trust.NewClient(kept, m.metadata, func() time.Time { return p.start.Add(24 * time.Hour) })
	if err := m.trust.Bootstrap(t.Context(), p.fingerprint); err != nil {
		t.Fatal(err)
	}
	return m
}

// metadata is a trust.Fetch.
func (m *machine) metadata(ctx context.Context, name string, limit int64, _ string) (trust.Document, error) {
	data, err := m.read(ctx, name, limit)
	return trust.Document{Data: data}, err
}

func (m *machine) read(ctx context.Context, name string, limit int64) ([]byte, error) {
	res, err := m.from.Fetch(ctx, transport.Request{Name: name})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return bounded.ReadAll(res.Body, limit)
}

func (m *machine) begin(ctx context.Context) error { return m.update(ctx) }

func (m *machine) back(ctx context.Context) error { return m.update(ctx) }

// update brings all of the newest release into the store.
func (m *machine) update(ctx context.Context) error {
	m.notes = nil
	if err := m.trust.Refresh(ctx); err != nil {
		return err
	}
	format, err := m.read(ctx, repo.FormatName, 4096)
	if err == nil {
		err = repo.ParseFormat(format)
	}
	if err != nil {
		return err
	}
	target, err := m.trust.Target(hello.String())
	if err != nil {
		return err
	}
	d := target.Custom.Release
	rel, data, err := fetch.Release(ctx, m.from, fetch.Target{Digest: d, SHA256: target.SHA256, Length: target.Length})
	if err != nil {
		return err
	}
	if _, err := release.ParseMetadata([]byte(rel.Metadata)); err != nil {
		return err
	}
	if err := m.bring(ctx, d, rel); err != nil {
		return err
	}
	if _, err := m.store.PutRelease(data); err != nil {
		return err
	}
	m.has = []fetch.Start{{Release: d, Tree: rel.Tree.Info()}}
	return os.WriteFile(filepath.Join(m.dir, "version"), []byte(rel.Version), 0o644)
}

// bring fetches a tree and its contents.
func (m *machine) bring(ctx context.Context, d digest.Digest, rel *release.Release) error {
	info := rel.Tree.Info()
	to := fetch.Destination{Head: d, Release: d, Tree: info}
	if len(rel.Previous) > 0 {
		to.Previous = rel.Previous[0].Release
	}
	road, err := fetch.FindRoad(ctx, m.from, m.store, to, fetch.RoadOptions{Starts: m.has, Note: m.note})
	if err != nil {
		return err
	}
	defer road.Close()
	if road != nil {
		err = road.AddTree(ctx, m.store)
	} else {
		err = fetch.Tree(ctx, m.from, info, m.store)
	}
	if err != nil {
		return err
	}
	need, err := fetch.Survey(ctx, ruledBy(m.store.Tree(info.Digest, info.Size), info), m.store)
	if err != nil {
		return err
	}
	var plan *fetch.Plan
	index := func(ctx context.Context) (*repo.Index, error) { return fetch.Index(ctx, m.from, d, info) }
	if err = fetch.ErrNoPlace; road != nil {
		plan, err = road.NewPlan(need, m.store, m.store, nil)
	}
	if errors.Is(err, fetch.ErrNoPlace) || errors.Is(err, repo.ErrIndex) {
		var ix *repo.Index
		if ix, err = index(ctx); err != nil {
			return err
		}
		if road != nil {
			plan, err = road.NewPlan(need, m.store, m.store, ix)
		} else {
			plan, err = fetch.NewPlan(need, ix)
		}
	}
	if err != nil {
		return err
	}
	batch := m.store.NewBatch(ctx)
	defer batch.Close()
	return errors.Join(plan.Run(ctx, m.from, batch, index, func(int64) {}), m.store.End())
}

func (m *machine) note(text string) { m.notes = append(m.notes, text) }

// ruledBy judges entries by the rules of applications, and their sums.
func ruledBy(entries func(func(*tree.Entry, error) bool), info tree.Info) func(func(*tree.Entry, error) bool) {
	return func(yield func(*tree.Entry, error) bool) {
		var found tree.Info
		for e, err := range entries {
			if err == nil {
				found.Entries++
				if e.Kind == tree.Regular {
					found.Files++
					found.Bytes += e.Size
				}
				err = tree.ApplicationRules().Check(e)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
		if found.Entries != info.Entries || found.Files != info.Files || found.Bytes != info.Bytes {
			yield(nil, fmt.Errorf("the tree has %+v, not %+v", found, info))
		}
	}
}

func (m *machine) version(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(m.dir, "version"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(data)
}

// findings are the objects and documents that are not what their names say.
func (m *machine) findings(t testing.TB) (list []string) {
	t.Helper()
	for found, err := range m.store.Walk(background()) {
		if err == nil && found.Problem == "" {
			_, err = m.store.Verify(found.Object, false)
		}
		if err != nil || found.Problem != "" {
			list = append(list, fmt.Sprintf("%s %s%v", found.Name, found.Problem, err))
		}
	}
	err := m.store.VerifyDocuments(background(), func(name string, err error) { list = append(list, name+" "+err.Error()) })
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// collect removes what the newest release does not need.
func (m *machine) collect(t testing.TB) {
	t.Helper()
	live := map[string]bool{}
	for _, s := range m.has {
		live[s.Release.String()], live[s.Tree.Digest.String()] = true, true
		for e, err := range m.store.Tree(s.Tree.Digest, s.Tree.Size) {
			if err != nil {
				t.Fatal(err)
			}
			if e.External() {
				live[store.ObjectOf(e).Name()] = true
			}
		}
	}
	releases, err := m.store.Releases()
	trees, failed := m.store.Trees()
	for _, d := range releases {
		if !live[d.String()] {
			err = errors.Join(err, m.store.RemoveRelease(d))
		}
	}
	for _, d := range trees {
		if !live[d.String()] {
			err = errors.Join(err, m.store.RemoveTree(d))
		}
	}
	for found, bad := range m.store.Walk(background()) {
		if bad == nil && !live[found.Object.Name()] {
			bad = m.store.Remove(found.Object)
		}
		err = errors.Join(err, bad)
	}
	if err = errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
}

// compare reads all contents of a tree back from the store.
func (m *machine) compare(t testing.TB, info tree.Info, text []byte) {
	t.Helper()
	for e, err := range tree.Verified(bytes.NewReader(text), info) {
		if err != nil {
			t.Fatal(err)
		}
		if !e.External() {
			continue
		}
		if _, err := m.store.Verify(store.ObjectOf(e), false); err != nil {
			t.Errorf("%s: %v", e.Path.Quoted(), err)
		}
	}
}

// mend removes what a test has damaged, and fetches it again.
func (m *machine) mend(t testing.TB) {
	t.Helper()
	for found, err := range m.store.Walk(background()) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.store.Verify(found.Object, false); err != nil {
			if err := m.store.Remove(found.Object); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := m.update(t.Context()); err != nil {
		t.Fatal(err)
	}
}

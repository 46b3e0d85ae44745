package fetch_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/fetch"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/sealed"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/transport/file"
	"github.com/larch-project/larch/tree"
)

// item is one file of a tree.
type item struct {
	name string // without slashes
	data string
	run  bool
}

// noise gives bytes that do not compress, the same for the same seed.
func noise(seed uint64, n int) string {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(p)
	return string(p)
}

// many gives n files of a size that do not compress.
func many(n, size int) (items []item) {
	for i := range n {
		items = append(items, item{fmt.Sprintf("f%05d", i), noise(uint64(i), size), i%3 == 0})
	}
	return items
}

// packing is how contents are put into packs; the zero value is how publishers do
// it.
type packing struct {
	shared  int   // where a frame that contents share is closed
	maxPack int64 // where a pack is
}

// published is a repository with one release, made by hand.
type published struct {
	t       testing.TB
	dir     string
	items   []item
	release digest.Digest
	data    []byte // of the release document
	info    tree.Info
	text    []byte
	index   *repo.Index
}

func publish(t testing.TB, items []item, how packing) *published {
	t.Helper()
	how.shared = cmp.Or(how.shared, repo.SharedSize)
	how.maxPack = cmp.Or(how.maxPack, repo.MaxPack)
	p := &published{t: t, dir: t.TempDir(), items: items}
	slices.SortFunc(p.items, func(a, b item) int { return strings.Compare(a.name, b.name) })
	p.writeTree()
	p.pack(how)
	p.writeRelease()
	p.writeIndex()
	return p
}

func (p *published) entries() iter.Seq2[*tree.Entry, error] {
	return tree.Verified(bytes.NewReader(p.text), p.info)
}

func (p *published) write(name string, data []byte) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *published) seal(name string, data []byte) {
	p.t.Helper()
	doc, err := sealed.Encode(data)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(name, doc)
}

func entryOf(i item) *tree.Entry {
	e := &tree.Entry{
		Path: tree.Path("/" + i.name), Kind: tree.Regular, Mode: 0o644, Size: int64(len(i.data)), Nlink: 1,
		Digest: digest.Of([]byte(i.data)),
	}
	if i.run {
		e.Mode = 0o755
	}
	if e.Size > 0 && e.Size <= tree.InlineMax {
		e.Inline = []byte(i.data)
	}
	return e
}

func (p *published) writeTree() {
	var text bytes.Buffer
	enc := tree.NewEncoder(&text)
	all := []*tree.Entry{{Path: "/", Kind: tree.Directory, Mode: 0o755, Nlink: 1}}
	for _, i := range p.items {
		all = append(all, entryOf(i))
	}
	for _, e := range all {
		if err := enc.Write(e); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := enc.Close(); err != nil {
		p.t.Fatal(err)
	}
	p.text, p.info = text.Bytes(), enc.Info()
	p.seal(repo.TreeName(p.info.Digest), p.text)
}

// pack fills in the index and writes the packs.
func (p *published) pack(how packing) {
	p.index = &repo.Index{}
	w := &packer{p: p, how: how}
	for e, err := range repo.Contents(p.entries()) {
		if err != nil {
			p.t.Fatal(err)
		}
		i, _ := slices.BinarySearchFunc(p.items, string(e.Path[1:]), func(i item, name string) int { return strings.Compare(i.name, name) })
		w.add(p.items[i].data)
	}
	w.closeFrame()
	w.closePack()
}

// packer is the simplest one that follows spec/5-repository.md.
type packer struct {
	p     *published
	how   packing
	frame []byte // being filled
	pack  []byte
}

func (w *packer) add(data string) {
	ix := w.p.index
	if len(data) < 128<<10 {
		if len(w.frame) > 0 && len(w.frame)+len(data) > w.how.shared {
			w.closeFrame()
		}
		ix.Objects = append(ix.Objects, repo.Location{Frame: int32(len(ix.Frames)), Offset: int32(len(w.frame))})
		w.frame = append(w.frame, data...)
		return
	}
	w.closeFrame()
	ix.Objects = append(ix.Objects, repo.Location{Frame: int32(len(ix.Frames))})
	for rest := data; rest != ""; {
		n := min(len(rest), repo.FrameSize)
		w.frame = append(w.frame, rest[:n]...)
		w.closeFrame()
		rest = rest[n:]
	}
}

func (w *packer) closeFrame() {
	if len(w.frame) == 0 {
		return
	}
	stored := compress(w.frame)
	if int64(len(w.pack)+len(stored)) > w.how.maxPack {
		w.closePack()
	}
	ix := w.p.index
	ix.Frames = append(ix.Frames, repo.Frame{
		Pack: int32(len(ix.Packs)), Offset: int64(len(w.pack)), Length: int32(len(stored)), Raw: int32(len(w.frame)),
	})
	w.pack = append(w.pack, stored...)
	w.frame = w.frame[:0]
}

func (w *packer) closePack() {
	if len(w.pack) == 0 {
		return
	}
	d := digest.Of(w.pack)
	w.p.write(repo.PackName(d), w.pack)
	w.p.index.Packs = append(w.p.index.Packs, repo.Pack{Digest: d, Size: int64(len(w.pack))})
	w.pack = nil
}

var encoder, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(repo.FrameSize), zstd.WithLowerEncoderMem(true))

func compress(p []byte) []byte { return encoder.EncodeAll(p, nil) }

func (p *published) writeRelease() {
	r := &release.Release{
		Ref:     release.Ref{Kind: release.App, ID: "org.example.Test", Arch: "x86_64", Channel: "stable"},
		Version: "1", Created: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), Tree: release.NewTree(p.info),
	}
	var err error
	if p.data, p.release, err = r.Encode(); err != nil {
		p.t.Fatal(err)
	}
	p.write(repo.ReleaseName(p.release), p.data)
}

func (p *published) target() fetch.Target {
	return fetch.Target{Digest: p.release, SHA256: sha256.Sum256(p.data), Length: int64(len(p.data))}
}

func (p *published) writeIndex() {
	p.t.Helper()
	var b bytes.Buffer
	if err := p.index.Encode(&b); err != nil {
		p.t.Fatal(err)
	}
	p.seal(repo.IndexName(p.release), b.Bytes())
}

// packPath is where a pack is on disk.
func (p *published) packPath(n int) string {
	return filepath.Join(p.dir, repo.PackName(p.index.Packs[n].Digest))
}

// spoil flips a bit in the frame of a content and gives the error that says so.
func (p *published) spoil(content int) *fetch.DamageError {
	p.t.Helper()
	f := p.index.Frames[p.index.Objects[content].Frame]
	flip(p.t, p.packPath(int(f.Pack)), f.Offset+int64(f.Length)/2)
	return &fetch.DamageError{Pack: p.index.Packs[f.Pack].Digest, Offset: f.Offset}
}

func flip(t testing.TB, path string, at int64) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// open gives a transport of the folder that counts.
func (p *published) open() (transport.Transport, *transport.Stats) {
	p.t.Helper()
	folder, err := file.New(p.dir)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { folder.Close() })
	stats := new(transport.Stats)
	return transport.Counting(folder, stats), stats
}

// again reads the index anew.
func (p *published) again(t transport.Transport) fetch.Again {
	return func(ctx context.Context) (*repo.Index, error) { return fetch.Index(ctx, t, p.release, p.info) }
}

// machine has a store.
type machine struct {
	t     testing.TB
	dir   *beneath.Dir
	store *store.Store
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	return useMachine(t, quick(t))
}

// quick gives an empty folder: in memory where that is possible, since these tests
// are not about what survives power loss, and barriers are what takes time.
func quick(t testing.TB) *beneath.Dir {
	t.Helper()
	path, err := os.MkdirTemp("/dev/shm", "larch-fetch-")
	if err != nil {
		path = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(path) })
	dir, err := beneath.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func useMachine(t testing.TB, dir *beneath.Dir) *machine {
	t.Helper()
	st, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		st.Close()
		dir.Close()
	})
	return &machine{t, dir, st}
}

// plan surveys and plans.
func (m *machine) plan(p *published, seeds ...string) (*fetch.Need, *fetch.Plan) {
	m.t.Helper()
	ctx := context.Background()
	need, err := fetch.Survey(ctx, p.entries(), m.store)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := need.Seed(ctx, seeds); err != nil {
		m.t.Fatal(err)
	}
	plan, err := fetch.NewPlan(need, p.index)
	if err != nil {
		m.t.Fatal(err)
	}
	return need, plan
}

// run carries out a plan, and checks what it tells on the way.
func (m *machine) run(ctx context.Context, p *published, plan *fetch.Plan, t transport.Transport) error {
	m.t.Helper()
	batch := m.store.NewBatch(ctx)
	defer batch.Close()
	var told atomic.Int64
	err := plan.Run(ctx, t, batch, p.again(t), func(n int64) {
		if n <= 0 {
			m.t.Errorf("progress of %d bytes", n)
		}
		told.Add(n)
	})
	if n := told.Load(); n > plan.Bytes || err == nil && n != plan.Bytes {
		m.t.Errorf("told of %d bytes of %d", n, plan.Bytes)
	}
	m.sound()
	return err
}

// fetch plans and runs.
func (m *machine) fetch(p *published, t transport.Transport) error {
	m.t.Helper()
	_, plan := m.plan(p)
	return m.run(context.Background(), p, plan, t)
}

// sound fails the test if a name in the store lies.
func (m *machine) sound() {
	m.t.Helper()
	for f, err := range m.store.Walk(context.Background()) {
		if err == nil {
			_, err = m.store.Verify(f.Object, false)
		}
		if err != nil || f.Problem != "" {
			m.t.Errorf("the store has %s: %v %s", f.Name, err, f.Problem)
		}
	}
}

// holds counts the objects of a tree that the store has.
func (m *machine) holds(p *published) (n int) {
	m.t.Helper()
	for e, err := range p.entries() {
		if err != nil {
			m.t.Fatal(err)
		}
		if e.Kind == tree.Regular && e.Size > tree.InlineMax && m.store.Has(store.ObjectOf(e)) {
			n++
		}
	}
	return n
}

// expectAll fails the test unless the store has all that a tree needs.
func (m *machine) expectAll(p *published) {
	m.t.Helper()
	want := 0
	for _, i := range p.items {
		if len(i.data) > tree.InlineMax {
			want++
		}
	}
	if have := m.holds(p); have != want {
		m.t.Errorf("%d of %d files have their content", have, want)
	}
}

// put stores objects as another release would have.
func (m *machine) put(items ...item) {
	m.t.Helper()
	batch := m.store.NewBatch(context.Background())
	defer batch.Close()
	for _, i := range items {
		w, err := batch.Create(store.ObjectOf(entryOf(i)))
		if err == nil {
			_, err = io.WriteString(w, i.data)
		}
		if err == nil {
			err = w.Commit()
		}
		if err != nil {
			m.t.Fatal(err)
		}
	}
	if err := batch.Flush(context.Background()); err != nil {
		m.t.Fatal(err)
	}
}

// transportFunc is a transport made of a function.
type transportFunc func(context.Context, transport.Request) (*transport.Response, error)

func (f transportFunc) Fetch(ctx context.Context, req transport.Request) (*transport.Response, error) {
	return f(ctx, req)
}

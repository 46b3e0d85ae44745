package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/fetch"
	"github.com/larch-project/larch/internal/bounded"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/transport"
)

func TestDocuments(t *testing.T) {
	p, m := publish(t, many(30, 4000), packing{}), newMachine(t)
	honest, stats := p.open()
	ctx := t.Context()
	rel, data, err := fetch.Release(ctx, honest, p.target())
	if err != nil || !bytes.Equal(data, p.data) || rel.Tree.Info() != p.info {
		t.Errorf("%+v, %v", rel, err)
	}
	if rel, data, err = fetch.Previous(ctx, honest, p.release); err != nil || !bytes.Equal(data, p.data) || rel.Version != "1" {
		t.Errorf("%+v, %v", rel, err)
	}
	if err := fetch.Tree(ctx, honest, p.info, m.store); err != nil || !m.store.HasTree(p.info.Digest, p.info.Size) {
		t.Error(err)
	}
	if ix, err := fetch.Index(ctx, honest, p.release, p.info); err != nil || len(ix.Objects) != 30 {
		t.Errorf("%+v, %v", ix, err)
	}
	if n := stats.Requests.Load(); n != 4 {
		t.Errorf("%d requests", n)
	}
	if err := fetch.Tree(ctx, honest, p.info, m.store); err != nil || stats.Requests.Load() != 4 {
		t.Errorf("the tree was fetched again: %v", err)
	}
}

// fetchAll fetches the four documents and gives their errors.
func fetchAll(ctx context.Context, p *published, m *machine, t transport.Transport) map[string]error {
	_, _, rel := fetch.Release(ctx, t, p.target())
	_, _, previous := fetch.Previous(ctx, t, p.release)
	_, index := fetch.Index(ctx, t, p.release, p.info)
	return map[string]error{
		"release": rel, "previous": previous, "index": index, "tree": fetch.Tree(ctx, t, p.info, m.store),
	}
}

func TestMissingDocuments(t *testing.T) {
	p, m := publish(t, many(3, 400), packing{}), newMachine(t)
	for _, name := range []string{repo.ReleaseName(p.release), repo.TreeName(p.info.Digest), repo.IndexName(p.release)} {
		if err := os.Remove(filepath.Join(p.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	honest, _ := p.open()
	for what, err := range fetchAll(t.Context(), p, m, honest) {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestDocumentsOfGarbage(t *testing.T) {
	p, m := publish(t, many(3, 400), packing{}), newMachine(t)
	gone := errors.New("gone")
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}
	for name, garbage := range map[string]io.Reader{
		"zeros":     zeros{},
		"nothing":   bytes.NewReader(nil),
		"broken":    io.MultiReader(bytes.NewReader(p.data[:20]), readerFunc(func([]byte) (int, error) { return 0, gone })),
		"no frames": readerFunc(func(p []byte) (int, error) { return copy(p, skippable), nil }),
	} {
		garbled := transportFunc(func(context.Context, transport.Request) (*transport.Response, error) {
			return &transport.Response{Body: body(garbage), Size: -1}, nil
		})
		for what, err := range fetchAll(t.Context(), p, m, garbled) {
			known := errors.Is(err, digest.ErrMismatch) || errors.Is(err, repo.ErrIndex) || errors.Is(err, bounded.ErrTooLarge)
			if !known && (name != "broken" || !errors.Is(err, gone)) {
				t.Errorf("%s of %s: %v", what, name, err)
			}
		}
	}
	if m.store.HasTree(p.info.Digest, p.info.Size) {
		t.Error("a tree was kept")
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestEveryFlippedByteOfADocument(t *testing.T) {
	p := publish(t, many(3, 400), packing{})
	honest, _ := p.open()
	for what, name := range map[string]string{
		"release": repo.ReleaseName(p.release), "tree": repo.TreeName(p.info.Digest), "index": repo.IndexName(p.release),
	} {
		path := filepath.Join(p.dir, name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		m := newMachine(t)
		for at := range info.Size() {
			flip(t, path, at)
			errs := fetchAll(t.Context(), p, m, honest)
			if errs[what] == nil || what == "release" && errs["previous"] == nil {
				t.Errorf("%s, byte %d: no error", name, at)
			}
			if what == "release" && !errors.Is(errs[what], digest.ErrMismatch) {
				t.Errorf("%s, byte %d: %v", name, at, errs[what])
			}
			flip(t, path, at)
			if what != "tree" {
				m.store.RemoveTree(p.info.Digest)
			}
		}
	}
}

// The head may name a document that is not the one of that digest: all it says
// has to be true.
func TestReleaseMustBeAllThatIsSaidOfIt(t *testing.T) {
	p := publish(t, many(1, 400), packing{})
	honest, _ := p.open()
	for name, spoil := range map[string]func(*fetch.Target){
		"digest":  func(t *fetch.Target) { t.Digest[0]++ },
		"hash":    func(t *fetch.Target) { t.SHA256[0]++ },
		"shorter": func(t *fetch.Target) { t.Length-- },
		"longer":  func(t *fetch.Target) { t.Length++ },
		"huge":    func(t *fetch.Target) { t.Length = release.MaxSize + 1 },
	} {
		target := p.target()
		spoil(&target)
		_, _, err := fetch.Release(t.Context(), honest, target)
		if !errors.Is(err, digest.ErrMismatch) && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIndexOfLargePacks(t *testing.T) {
	p := publish(t, many(1, 400), packing{})
	p.index.Packs[0].Size = repo.MaxPack + 1
	p.writeIndex()
	honest, _ := p.open()
	if _, err := fetch.Index(t.Context(), honest, p.release, p.info); !errors.Is(err, repo.ErrIndex) {
		t.Errorf("error %v", err)
	}
}

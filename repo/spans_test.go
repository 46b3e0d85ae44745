package repo_test

import (
	"bytes"
	"errors"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/tree"
)

// largeTree has contents of these sizes, in this order.
func largeTree(sizes ...int) (entries []*tree.Entry, contents map[digest.Digest][]byte) {
	contents = map[digest.Digest][]byte{}
	for i, size := range sizes {
		data := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(size), byte(size >> 8)}).Read(data)
		e := &tree.Entry{Path: tree.Path("/" + string(rune('a'+i))), Kind: tree.Regular, Mode: 0o644, Nlink: 1, Size: int64(size), Digest: digest.Of(data)}
		entries = append(entries, e)
		contents[e.Digest] = data
	}
	return entries, contents
}

func each(entries []*tree.Entry) iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// the list as spec/5-repository.md section 5.8 has it
func spansText(entries []*tree.Entry, contents map[digest.Digest][]byte) []byte {
	var b bytes.Buffer
	b.WriteString("larch spans 1\n")
	seen := map[digest.Digest]bool{}
	for _, e := range entries {
		if e.Size <= 1<<20 || seen[e.Digest] {
			continue
		}
		seen[e.Digest] = true
		_, spans, _ := digest.SumSpans(bytes.NewReader(contents[e.Digest]))
		spans.WriteTo(&b)
	}
	return b.Bytes()
}

func TestReadSpans(t *testing.T) {
	entries, contents := largeTree(10, 1<<20, 1<<20+1, 3<<20, 1<<20+1)
	text := spansText(entries, contents)
	all, err := repo.ReadSpans(bytes.NewReader(text), each(entries))
	if err != nil || len(all) != 2 {
		t.Fatalf("%d contents, error %v", len(all), err)
	}
	for d, spans := range all {
		if err := spans.Verify(0, contents[d]); err != nil {
			t.Error(err)
		}
	}
	for i := range text {
		wrong := bytes.Clone(text)
		wrong[i] ^= 4
		if _, err := repo.ReadSpans(bytes.NewReader(wrong), each(entries)); !errors.Is(err, repo.ErrSpans) && !errors.Is(err, digest.ErrMismatch) {
			t.Errorf("flipped at %d: error %v", i, err)
		}
		if _, err := repo.ReadSpans(bytes.NewReader(text[:i]), each(entries)); !errors.Is(err, repo.ErrSpans) {
			t.Errorf("cut at %d: error %v", i, err)
		}
	}
	if _, err := repo.ReadSpans(bytes.NewReader(append(text, 0)), each(entries)); !errors.Is(err, repo.ErrSpans) {
		t.Errorf("something behind the end: error %v", err)
	}
}

// what is published is found by check, and by prune to be needed
func TestSpansArePublished(t *testing.T) {
	w := newWorld(t)
	done := w.publish(hello, "1", files{"bin/hello": "hello", "large": noise(1, 5<<20)})
	name := filepath.Join(w.path, repo.SpansName(done.Tree.Digest))
	if _, err := os.Stat(name); err != nil {
		t.Fatal(err)
	}
	w.expectClean()
	if _, err := w.repo.Prune(t.Context(), 0, now.Add(48*time.Hour), false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); err != nil {
		t.Errorf("prune: %v", err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	w.overwrite(name, data)
	if found := w.findings(); len(found) != 1 || found[0].Where != repo.SpansName(done.Tree.Digest) {
		t.Errorf("after a flipped bit: %+v", found)
	}
}

func FuzzReadSpans(f *testing.F) {
	entries, contents := largeTree(1<<20+1, 2<<20)
	f.Add(spansText(entries, contents))
	f.Add([]byte("larch spans 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := repo.ReadSpans(bytes.NewReader(text), each(entries))
		if err == nil && !bytes.Equal(text, spansText(entries, contents)) {
			t.Errorf("%d contents out of another text", len(all))
		}
	})
}

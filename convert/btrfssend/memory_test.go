package btrfssend

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/tree"
)

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// manyFiles is a tree of folders of 1,000 files of 70 bytes each, without a text.
func manyFiles(folders int) Subvolume {
	content := strings.Repeat("7", 70)
	file := tree.Entry{Kind: tree.Regular, Mode: 0o644, Nlink: 1, Size: 70, Digest: digest.Of([]byte(content))}
	return Subvolume{
		Name: "many", Tree: digest.Of([]byte{byte(folders)}),
		Entries: func(yield func(*tree.Entry, error) bool) {
			if !yield(&tree.Entry{Path: "/", Kind: tree.Directory, Mode: 0o755, Nlink: 1}, nil) {
				return
			}
			for i := range folders * 1001 {
				e := file
				e.Path = tree.Path(fmt.Sprintf("/folder%04d/file%04d", i/1001, i%1001))
				if i%1001 == 0 {
					e = tree.Entry{Path: e.Path.Parent(), Kind: tree.Directory, Mode: 0o755, Nlink: 1}
				}
				if !yield(&e, nil) {
					return
				}
			}
		},
		Open: func(*tree.Entry) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil },
	}
}

// watched measures the memory that is in use at some points of a stream.
type watched struct {
	most     int64
	passed   int64
	measured int64
}

func (w *watched) Write(p []byte) (int, error) {
	if w.passed += int64(len(p)); w.passed-w.measured > 4<<20 {
		w.measured = w.passed
		w.most = max(w.most, heap())
	}
	return len(p), nil
}

// TestMemoryOfWrite streams 100,000 files, and the changes when all but a few stay,
// in less than 4 MiB.
func TestMemoryOfWrite(t *testing.T) {
	before := heap()
	w := &watched{}
	must(t, Write(t.Context(), w, manyFiles(100), nil, Options{}))
	if used := w.most - before; w.measured == 0 || used > 4<<20 {
		t.Errorf("%d KiB for a whole tree of %d MiB", used>>10, w.passed>>20)
	}
	parent := manyFiles(100)
	sub := parent
	sub.Tree = digest.Of([]byte("another"))
	sub.Entries = func(yield func(*tree.Entry, error) bool) {
		for e, err := range parent.Entries {
			if strings.HasSuffix(string(e.Path), "0500") {
				e.Mode = 0o755
			}
			if !yield(e, err) {
				return
			}
		}
	}
	var out bytes.Buffer
	var most int64
	counted := sub.Entries
	sub.Entries = func(yield func(*tree.Entry, error) bool) {
		i := 0
		for e, err := range counted {
			if i++; i%20000 == 0 {
				most = max(most, heap())
			}
			if !yield(e, err) {
				return
			}
		}
	}
	must(t, Write(t.Context(), &out, sub, &parent, Options{}))
	if n := commands(t, out.Bytes())["chmod"]; n != 100 {
		t.Errorf("%d modes change", n)
	}
	if used := most - before; most == 0 || used > 4<<20 {
		t.Errorf("%d KiB for the changes", used>>10)
	}
}

// TestMemoryOfOpen keeps 40,000 files in less than 400 bytes each.
func TestMemoryOfOpen(t *testing.T) {
	r, w := io.Pipe()
	go func() { w.CloseWithError(Write(t.Context(), w, manyFiles(40), nil, Options{})) }()
	before := heap()
	s, err := Open(t.Context(), []Input{{"pipe", r}}, OpenOptions{Rules: rules()})
	must(t, err)
	defer s.Close()
	if used := heap() - before; used > 400*40_000 || s.files != 40_000 {
		t.Errorf("%d bytes for %d files", used, s.files)
	}
}

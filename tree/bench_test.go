package tree

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/larch-project/larch/digest"
)

// entries makes a tree of n files in directories of 100, of the kind that
// applications have.
func entries(n int) []*Entry {
	out := []*Entry{{Path: "/", Kind: Directory, Mode: 0o755, Nlink: 1}}
	dir := Path("/")
	for i := range n {
		if i%100 == 0 {
			dir = Path(fmt.Sprintf("/src%06d.vendor.package", i/100))
			out = append(out, &Entry{Path: dir, Kind: Directory, Mode: 0o755, Nlink: 1})
		}
		content := fmt.Appendf(nil, "content number %d\n", i)
		e := &Entry{Path: dir.Join(fmt.Sprintf("implementation_%06d.go", i)), Kind: Regular, Mode: 0o644, Nlink: 1, Digest: digest.Of(content)}
		if i%20 == 0 {
			e.Size, e.Inline = int64(len(content)), content
		} else {
			e.Size = int64(1000 + i)
		}
		out = append(out, e)
	}
	return out
}

func text(t testing.TB, all []*Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := NewEncoder(&b)
	for _, e := range all {
		if err := enc.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func BenchmarkEncode12k(b *testing.B) {
	all := entries(12000)
	b.ReportAllocs()
	for b.Loop() {
		enc := NewEncoder(io.Discard)
		for _, e := range all {
			if err := enc.Write(e); err != nil {
				b.Fatal(err)
			}
		}
		enc.Close()
	}
}

func BenchmarkDecode12k(b *testing.B) {
	data := text(b, entries(12000))
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range Decode(bytes.NewReader(data)) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkDiff12k(b *testing.B) {
	all := entries(12000)
	seq := func(yield func(*Entry, error) bool) {
		for e := range slices.Values(all) {
			if !yield(e, nil) {
				return
			}
		}
	}
	for b.Loop() {
		for range Diff(seq, seq) {
			b.Fatal("a difference")
		}
	}
}

func BenchmarkScanGOROOT(b *testing.B) {
	for b.Loop() {
		if _, err := Scan(context.Background(), "/usr/local/go", ApplicationRules(), io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

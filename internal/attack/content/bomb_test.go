//go:build !386

package content

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
)

// zeros is a frame of so many MiB of zeros.
func zeros(t testing.TB, mib int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(1<<20), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 1<<20)
	for range mib {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sealedFrame is a sealed document whose frame is this.
func sealedFrame(t testing.TB, frame []byte) []byte {
	d := digest.Of(frame)
	return append(append(bytes.Clone(frame), 0x5e, 0x2a, 0x4d, 0x18, digest.Size, 0, 0, 0), d[:]...)
}

// TestBombs is about little that becomes much: the real command meets it, in a process
// whose peak memory is measured.
func TestBombs(t *testing.T) {
	huge := zeros(t, 2048)
	fresh := noise(11, 30_000)
	good := application(file("/files/b", fresh))
	trust := []int{4} // what exit code 4 is about: the server gives wrong bytes
	t.Run("F-01 2 GiB in some KiB, and windows of 2 GiB", func(t *testing.T) {
		w := realWorld(t)
		w.p.keep([]byte(fresh))
		document := func(name func(*told) string, data []byte) func(*told) {
			return func(made *told) { made.publisher.write(t, name(made), data) }
		}
		tree := func(made *told) string { return repo.TreeName(made.tree.Digest) }
		index := func(made *told) string { return repo.IndexName(made.release) }
		other := func(n int) []byte { return application(file("/files/b", fresh), file("/files/c", fmt.Sprint(n))) }
		w.bomb(t, "a frame", &lie{text: good, frame: func([]byte) []byte { return huge }}, trust, byFiles)
		w.bomb(t, "a window in a frame", &lie{text: good, frame: wide}, trust, byFiles)
		w.bomb(t, "frames in a frame", &lie{text: good, frame: func([]byte) []byte { return bytes.Repeat(compress(make([]byte, 1<<20)), 1000) }}, trust, byFiles)
		w.bomb(t, "a tree", &lie{text: other(1), after: document(tree, sealedFrame(t, huge))}, trust, byFiles)
		w.bomb(t, "a window in a tree", &lie{text: other(2), after: document(tree, sealedFrame(t, wide(other(2))))}, trust, byFiles)
		w.bomb(t, "an index", &lie{text: other(3), after: document(index, sealedFrame(t, huge))}, trust, byFiles)
		w.bomb(t, "a window in an index", &lie{text: other(4), after: document(index, sealedFrame(t, wide(nil)))}, trust, byFiles)
		w.bomb(t, "10^6 empty blocks in an index", &lie{text: other(5), after: document(index, sealedFrame(t, blocks(1e6)))}, trust, byFiles)
		w.heal(t)
	})
	t.Run("G-06 deltas that expand", func(t *testing.T) {
		w := realWorld(t)
		w.p.keep([]byte(fresh))
		ok := []int{0} // a delta costs its bytes alone; packs do
		w.bomb(t, "its plan", &lie{text: good, delta: func(d *rawDelta) { d.packed = func([]byte) []byte { return huge } }}, ok, byDelta, byStream)
		w.bomb(t, "a window in its plan", &lie{text: good, delta: func(d *rawDelta) { d.packed = wide }}, ok, byDelta)
		w.bomb(t, "the tree", &lie{text: good, delta: func(d *rawDelta) { d.frame = huge }}, ok, byDelta, byStream)
		w.bomb(t, "a declared tree of a PiB", &lie{text: good, delta: func(d *rawDelta) { d.size = 1 << 50 }}, ok, byDelta, byStream)
		w.bomb(t, "a stream", &lie{text: good, delta: func(d *rawDelta) { d.groups = []rawGroup{{news: []int64{0}, frame: huge}} }}, ok, byDelta, byStream)
		w.bomb(t, "a window in a stream", &lie{text: good, delta: func(d *rawDelta) { d.groups = []rawGroup{{news: []int64{0}, frame: wide([]byte(fresh))}} }}, ok, byStream)
		w.bomb(t, "a patch", w.grouped(t, func(d *rawDelta) { d.groups[0].frame = huge }), ok, byDelta)
		w.bomb(t, "a list", &lie{text: good, delta: func(d *rawDelta) {
			d.declared = func(e *repo.Edge) { e.Size = 1 << 49 }
		}, after: func(made *told) { made.publisher.write(t, repo.DeltaMapName(made.release), sealedFrame(t, huge)) }}, ok, byStream)
		w.heal(t)
	})
	t.Run("C-17 trees of more entries than anybody has", func(t *testing.T) {
		w := realWorld(t)
		n := 20_000
		if os.Getenv("LARCH_TEST_LONG") != "" {
			n = 200_000
		}
		w.bomb(t, fmt.Sprintf("%d in one folder", n), &lie{text: crowd(n)}, []int{0}, byFiles)
		if n == 200_000 {
			w.bomb(t, "5 million in one folder", &lie{text: crowd(5_000_000)}, trust, byFiles)
		}
		w.heal(t)
	})
	t.Run("L-03 texts that act on a terminal", func(t *testing.T) {
		w := realWorld(t)
		w.p.keep([]byte(fresh))
		evil := "\x1b[2J\x1b]0;owned\x07\x1b]8;;http://x\x1b\\link\r\b\u202e\u2066\x7f\u0085" + strings.Repeat("\u0301", 300)
		notes := map[string]string{"title": evil, "summary": evil, "homepage": evil, "license": evil, "other\x1b[2J": evil, "long": strings.Repeat("w", 4096)}
		w.p.tell(t, &lie{text: good, document: func(r *release.Release) { r.Annotations, r.Message = notes, evil }}, byFiles)
		target := w.p.signed
		target.Custom.Title = "\x1b[2J\x1b]0;owned\x07\u202e"
		w.p.sign(t, target)
		for _, verb := range [][]string{{"search", ""}, {"search", "hello"}, {"info", hello.String()}, {"update", "--dry-run"}, {"update", "--yes"}, {"list"}, {"info", hello.String()}, {"history"}, {"verify"}, {"du"}} {
			for _, form := range [][]string{nil, {"--json"}} {
				r := run(t, w.m.dir, append(verb, form...)...)
				for _, bad := range []string{"\x1b", "\r", "\b", "\x07", "\u202e", "\u2066", "\x7f", "\u0085", strings.Repeat("\u0301", 5)} {
					if strings.Contains(r.err, bad) || form == nil && strings.Contains(r.out, bad) {
						t.Errorf("larch %s: %q in %q%q", verb, bad, r.out, r.err)
					}
				}
				if r.code != 0 || form != nil && !validJSON(r.out) {
					t.Errorf("larch %s: exit code %d: %s %s", verb, r.code, r.out, r.err)
				}
			}
		}
		w.back(t)
		w.heal(t)
	})
}

// crowd is an application with so many empty files.
func crowd(n int) []byte {
	var b bytes.Buffer
	b.Write(text(folder("/"), folder("/export"), folder("/files")))
	for i := range n {
		fmt.Fprintf(&b, "/files/%08d 0 100644 1 0 0 0 0.0 - - -\n", i)
	}
	b.WriteString(file("/metadata", metadata).String())
	return b.Bytes()
}

package content

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/repo"
)

// skippable is a frame that decoders pass over.
func skippable(n int) []byte {
	return append(binary.LittleEndian.AppendUint32([]byte{0x50, 0x2a, 0x4d, 0x18}, uint32(n)), make([]byte, n)...)
}

// wide is a frame whose header asks for a window of 2 GiB, with one raw block.
func wide(p []byte) []byte {
	// RFC 8878 §3.1.1: magic, descriptor without single segment, window descriptor
	// with exponent 21 (1 KiB << 21), then a last raw block
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3}
	header := uint32(len(p))<<3 | 1
	b = append(b, byte(header), byte(header>>8), byte(header>>16))
	return append(b, p...)
}

// blocks is a frame of so many empty blocks.
func blocks(n int) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50}
	b = append(b, make([]byte, 3*n)...)
	return append(b, 1, 0, 0)
}

// TestObjects is about contents, their packs and their compression.
func TestObjects(t *testing.T) {
	same := program("2")["files/share/same"]
	fresh := noise(11, 30_000)
	good := application(file("/files/a", same), file("/files/b", fresh))
	begin := func(t *testing.T) *world {
		w := newWorld(t)
		w.p.keep([]byte(fresh))
		return w
	}
	wrong := []error{anyOf{digest.ErrMismatch, repo.ErrIndex}}
	t.Run("F-02 frames that end too early", func(t *testing.T) {
		w := begin(t)
		for n := 1; n < 30_000; n += 1024 {
			w.refuse(t, fmt.Sprintf("behind %d bytes", n), &lie{text: good, frame: func(p []byte) []byte { return compress(p)[:min(n, len(compress(p)))] }}, []error{digest.ErrMismatch}, byFiles)
		}
		w.refuse(t, "the end of the last block is missing", &lie{text: good, frame: func(p []byte) []byte { f := compress(p); return f[:len(f)-8] }}, []error{digest.ErrMismatch})
		w.heal(t)
	})
	t.Run("F-03 what stands behind a frame, or is none", func(t *testing.T) {
		w := begin(t)
		for what, frame := range map[string]func([]byte) []byte{
			"garbage": func(p []byte) []byte { return append(compress(p), "garbage"...) }, "another frame": func(p []byte) []byte { return append(compress(p), compress([]byte("more"))...) },
			"nothing but a skippable frame":     func(p []byte) []byte { return skippable(100) },
			"no frame":                          func(p []byte) []byte { return []byte("this is no Zstandard at all") },
			"200,000 empty blocks, and nothing": func(p []byte) []byte { return blocks(200_000) },
			"a NUL behind":                      func(p []byte) []byte { return append(compress(p), 0) },
		} {
			w.refuse(t, what, &lie{text: good, frame: frame}, wrong)
		}
		for what, frame := range map[string]func([]byte) []byte{
			"a skippable frame before it": func(p []byte) []byte { return append(skippable(10), compress(p)...) },
			"an empty frame behind it":    func(p []byte) []byte { return append(compress(p), compress(nil)...) },
		} {
			w.either(t, what, &lie{text: good, frame: frame}, wrong)
		}
		w.heal(t)
	})
	t.Run("F-04 dictionaries that nobody has", func(t *testing.T) {
		w := begin(t)
		with, err := zstd.NewWriter(nil, zstd.WithEncoderDictRaw(4711, []byte(noise(12, 20_000))))
		if err != nil {
			t.Fatal(err)
		}
		w.refuse(t, "by its number", &lie{text: good, frame: func(p []byte) []byte { return with.EncodeAll(p, nil) }}, wrong)
		w.heal(t)
	})
	t.Run("F-05 a line that breaks is no end", func(t *testing.T) {
		w := begin(t)
		files := w.serve
		w.serve = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.URL.Path, "/packs/") {
				files.ServeHTTP(rw, r)
				return
			}
			rw.Header().Set("Content-Length", "40000")
			rw.Write([]byte(noise(13, 100)))
			panic(http.ErrAbortHandler)
		})
		w.refuse(t, "in a pack", &lie{text: good, delta: func(d *rawDelta) { d.packed = func([]byte) []byte { return nil } }}, []error{errAny}, byStream)
		w.serve = files
		w.heal(t)
	})
	t.Run("F-06 contents are named, not their compression", func(t *testing.T) {
		w := begin(t)
		fast, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
		if err != nil {
			t.Fatal(err)
		}
		w.accept(t, "another compression", &lie{text: good, frame: func(p []byte) []byte { return fast.EncodeAll(p, nil) }})
		w.refuse(t, "another content", &lie{text: good, frame: func(p []byte) []byte { return compress([]byte(noise(99, len(p)))) }}, wrong)
		w.refuse(t, "another bit", &lie{text: good, frame: func(p []byte) []byte { q := bytes.Clone(p); q[len(q)-1] ^= 1; return compress(q) }}, wrong)
		w.heal(t)
	})
	t.Run("F-07 files under each other's names", func(t *testing.T) {
		w := begin(t)
		other := func(n int) []byte { // what was fetched for one of them is not asked for again
			return application(file("/files/a", same), file("/files/b", fresh), file("/files/c", fmt.Sprint(n)))
		}
		w.refuse(t, "a pack", &lie{text: other(1), after: func(made *told) {
			made.publisher.write(t, repo.PackName(made.packs[0]), []byte(noise(14, 40_000)))
		}}, wrong)
		for n, by := range roads {
			w.refuse(t, "a tree", &lie{text: other(2 + n), delta: func(d *rawDelta) { d.packed = func([]byte) []byte { return nil } }, after: func(made *told) {
				made.publisher.write(t, repo.TreeName(made.tree.Digest), seal(t, w.p.old))
			}}, []error{digest.ErrMismatch}, by)
			w.refuse(t, "a document", &lie{text: other(5 + n), after: func(made *told) {
				made.publisher.write(t, repo.ReleaseName(made.release), readFile(t, w.p.file(repo.ReleaseName(w.p.first.Release))))
			}}, []error{digest.ErrMismatch}, by)
		}
		w.refuse(t, "all contents in pairs", &lie{text: other(9), index: func(ix *repo.Index) {
			n := len(ix.Objects)
			ix.Objects[n-1], ix.Objects[n-2] = ix.Objects[n-2], ix.Objects[n-1]
		}}, wrong, byFiles, byStream)
		w.heal(t)
	})
	t.Run("F-08 pieces that do not make the whole", func(t *testing.T) {
		w := newWorld(t)
		large := noise(15, 3<<20)
		w.p.keep([]byte(large))
		text := application(file("/files/a", large))
		for what, change := range map[string]func(*repo.Index){
			"one too few": func(ix *repo.Index) { ix.Frames = ix.Frames[:2] }, "one too small": func(ix *repo.Index) { ix.Frames[1].Raw-- },
			"the last too small": func(ix *repo.Index) { ix.Frames[2].Raw -= 100 }, "one twice": func(ix *repo.Index) { ix.Frames[1] = ix.Frames[0] },
			"one on the other": func(ix *repo.Index) { ix.Frames[1].Offset -= 100 }, "another order": func(ix *repo.Index) { ix.Frames[0], ix.Frames[1] = ix.Frames[1], ix.Frames[0] },
			"in the middle": func(ix *repo.Index) { ix.Objects[0].Offset = 5 },
		} {
			w.refuse(t, what, &lie{text: text, index: change}, []error{anyOf{digest.ErrMismatch, repo.ErrIndex, repo.ErrDelta}}, byFiles)
		}
		w.refuse(t, "an empty piece", &lie{text: text, columns: func(b []byte) []byte {
			i := bytes.LastIndex(b, binary.AppendUvarint(nil, repo.FrameSize))
			return append(append(bytes.Clone(b[:i]), 0), b[i+3:]...)
		}}, []error{repo.ErrIndex}, byFiles)
		w.heal(t)
	})
	t.Run("F-10 an index that points to other contents", func(t *testing.T) {
		w := begin(t)
		for what, change := range map[string]func(*repo.Index){
			"the first": func(ix *repo.Index) { ix.Objects[len(ix.Objects)-1] = repo.Location{} }, "inside of another": func(ix *repo.Index) {
				ix.Objects[len(ix.Objects)-1] = repo.Location{Frame: ix.Objects[0].Frame, Offset: 3}
			},
			"another pack": func(ix *repo.Index) { ix.Packs[0] = w.p.index(t).Packs[0] },
			"no pack":      func(ix *repo.Index) { ix.Packs[0].Digest = digest.Of([]byte("none")) },
		} {
			w.refuse(t, what, &lie{text: good, index: change}, []error{anyOf{digest.ErrMismatch, repo.ErrIndex, repo.ErrDelta, os.ErrNotExist}}, byFiles)
		}
		w.heal(t)
	})
	t.Run("F-11 places outside of packs, and indexes without end", func(t *testing.T) {
		w := begin(t)
		for what, change := range map[string]func(*repo.Index){
			"beyond the end": func(ix *repo.Index) { ix.Frames[0].Offset = 1 << 40 }, "far beyond": func(ix *repo.Index) { ix.Frames[0].Offset = 1<<62 - 1 },
			"before the beginning": func(ix *repo.Index) { ix.Frames[0].Offset = -1 }, "empty": func(ix *repo.Index) { ix.Frames[0].Length = 0 },
			"a pack of a TiB":   func(ix *repo.Index) { ix.Packs[0].Size = 1 << 40 },
			"contents too many": func(ix *repo.Index) { ix.Objects = append(ix.Objects, ix.Objects...) }, "contents too few": func(ix *repo.Index) { ix.Objects = nil },
			"frames too many": func(ix *repo.Index) { ix.Frames = append(ix.Frames, make([]repo.Frame, 3000)...) },
		} {
			w.refuse(t, what, &lie{text: good, index: change}, []error{repo.ErrIndex}, byFiles)
		}
		w.refuse(t, "10^8 entries that are not there", &lie{text: good, columns: func([]byte) []byte {
			return append([]byte("larch index 1\n"), binary.AppendUvarint(binary.AppendUvarint([]byte{1}, 1e8), 1e8)...)
		}}, []error{repo.ErrIndex}, byFiles)
		w.refuse(t, "an index of zeros without end", &lie{text: good, columns: func([]byte) []byte {
			return append([]byte("larch index 1\n"), make([]byte, 32<<20)...)
		}}, []error{repo.ErrIndex}, byFiles)
		w.heal(t)
	})
	t.Run("F-13 a content that a crash has cut", func(t *testing.T) {
		w := begin(t)
		path := w.object(t, []byte(same))
		if err := os.Truncate(path, 100); err != nil {
			t.Fatal(err)
		}
		w.p.tell(t, &lie{text: good}, byFiles)
		if err := w.m.update(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.m.mend(t) // of what the test damaged, and which the first release's form shares
		w.back(t)
		w.accept(t, "afterwards", &lie{text: good})
		w.heal(t)
	})
}

// object gives where the machine has a content.
func (w *world) object(t *testing.T, data []byte) string {
	t.Helper()
	d := digest.Of(data).String()
	path := filepath.Join(w.m.dir, "objects", d[:2], d[2:])
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return path
}

package content

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/sealed"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/tree"
)

// decoder is a reader of foreign bytes: a good input, and a function that decodes it
// and gives the bytes that its content is written as, nil where it has no writer.
type decoder struct {
	good  []byte
	read  func([]byte) (again []byte, err error)
	exact bool // nothing but good is accepted: a digest covers it
}

// decoders are those of the documents of a repository.
func decoders(t testing.TB, p *publisher) map[string]decoder {
	rel := readFile(t, p.file(repo.ReleaseName(p.next.Release)))
	info := p.next.Tree
	plainIndex := encodeIndex(t, p.index(t))
	list, err := repo.EncodeDeltaMap(p.next.Deltas)
	if err != nil || len(p.next.Deltas) == 0 {
		t.Fatal(p.next.Deltas, err)
	}
	return map[string]decoder{
		"tree": {p.text(t, info), func(b []byte) ([]byte, error) {
			var out bytes.Buffer
			enc := tree.NewEncoder(&out)
			for e, err := range tree.Decode(bytes.NewReader(b)) {
				if err == nil {
					err = enc.Write(e)
				}
				if err != nil {
					return nil, err
				}
			}
			return out.Bytes(), errors.Join(enc.Close())
		}, false},
		"release": {rel, func(b []byte) ([]byte, error) {
			r, err := release.Decode(b)
			if err != nil {
				return nil, err
			}
			again, _, err := r.Encode()
			return again, err
		}, false},
		"index": {plainIndex, func(b []byte) ([]byte, error) {
			ix, err := repo.ReadIndex(bytes.NewReader(b), info.Files, 1000)
			if err != nil {
				return nil, err
			}
			return encodeIndex(t, ix), nil
		}, false},
		"sealed index": {seal(t, plainIndex), func(b []byte) ([]byte, error) {
			_, err := repo.ReadSealedIndex(bytes.NewReader(b), info.Files, info.Bytes)
			return nil, err
		}, true},
		"list of deltas": {list, func(b []byte) ([]byte, error) {
			_, err := repo.ReadDeltaMap(bytes.NewReader(b))
			return nil, err
		}, true},
		"sealed tree": {readFile(t, p.file(repo.TreeName(info.Digest))), func(b []byte) ([]byte, error) {
			r, err := sealed.NewReader(bytes.NewReader(b), info.Size)
			if err != nil {
				return nil, err
			}
			defer r.Close()
			_, err = io.Copy(io.Discard, r)
			return nil, err
		}, true},
		"spans": {readFile(t, p.file(repo.SpansName(info.Digest))), func(b []byte) ([]byte, error) {
			_, err := repo.ReadSealedSpans(bytes.NewReader(b), info.Bytes, p.repo.Tree(info))
			return nil, err
		}, true},
		"plan of a delta": {p.planOf(t), func(b []byte) ([]byte, error) {
			_, err := repo.ReadDelta(bufio.NewReader(bytes.NewReader(b)), 1<<20)
			return nil, err
		}, true},
		"larch.json":   {[]byte(`{"features":[],"format":1}` + "\n"), func(b []byte) ([]byte, error) { return nil, repo.ParseFormat(b) }, true},
		"retired.json": {[]byte(`{"packs/` + info.Digest.String() + `.pack":"2026-11-22T12:00:00Z"}` + "\n"), func(b []byte) ([]byte, error) { _, err := repo.ParseRetired(b); return nil, err }, false},
		"metadata":     {[]byte(metadata), func(b []byte) ([]byte, error) { _, err := release.ParseMetadata(b); return nil, err }, false},
	}
}

// index gives that of the second release.
func (p *publisher) index(t testing.TB) *repo.Index {
	t.Helper()
	ix, err := p.repo.Index(p.next.Release, release.NewTree(p.next.Tree))
	if err != nil {
		t.Fatal(err)
	}
	return ix
}

// planOf gives the beginning of the delta between the honest releases: its plan.
func (p *publisher) planOf(t testing.TB) []byte {
	t.Helper()
	data := readFile(t, p.file(repo.DeltaName(p.next.Release, p.first.Release)))
	d, err := repo.ReadDelta(bufio.NewReader(bytes.NewReader(data)), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return data[:d.Head-d.TreeFrame()]
}

// TestEncodings is about the bytes of documents.
func TestEncodings(t *testing.T) {
	p := newPublisher(t)
	all := decoders(t, p)
	each := func(t *testing.T, do func(t *testing.T, d decoder)) {
		for what, d := range all {
			t.Run(what, func(t *testing.T) {
				if again, err := d.read(d.good); err != nil || again != nil && !bytes.Equal(again, d.good) {
					t.Fatalf("the good one: %v", err)
				}
				do(t, d)
			})
		}
	}
	t.Run("E-01 every truncation, of what a crash or a stranger left", func(t *testing.T) {
		each(t, func(t *testing.T, d decoder) {
			for n := range len(d.good) {
				again, err := d.read(d.good[:n])
				if err == nil && (d.exact || again != nil && !bytes.Equal(again, d.good[:n])) {
					t.Errorf("accepted %d of %d bytes", n, len(d.good))
				}
				if err != nil {
					judgeMessage(t, err)
				}
			}
		})
	})
	t.Run("E-02 every byte replaced, as decay and liars do", func(t *testing.T) {
		each(t, func(t *testing.T, d decoder) {
			for n := range d.good {
				for _, by := range []byte{0x00, 0xff, 0x7f, 0x80} {
					bad := bytes.Clone(d.good)
					if bad[n] = by; bytes.Equal(bad, d.good) {
						continue
					}
					again, err := d.read(bad)
					if err == nil && (d.exact || again != nil && !bytes.Equal(again, bad)) {
						t.Errorf("accepted %#x at %d", by, n)
					}
					if err != nil {
						judgeMessage(t, err)
					}
				}
			}
		})
	})
	t.Run("E-07 nesting that a recursion does not survive", func(t *testing.T) {
		for what, bad := range map[string]string{"lists": strings.Repeat("[", 1e6), "objects": strings.Repeat(`{"tree":`, 1e5), "a list in a field": `{"annotations":` + strings.Repeat("[", 1e6)} {
			for _, name := range []string{"release", "larch.json", "retired.json"} {
				t.Run(what+" in "+name, func(t *testing.T) {
					_, err := all[name].read([]byte(bad))
					expectError(t, err, []error{errAny})
				})
			}
		}
	})
	t.Run("E-08 strings that are too long, or no text", func(t *testing.T) {
		w := newWorld(t)
		good := application(file("/files/a", "x"))
		add := func(field string) func([]byte) []byte {
			return func(b []byte) []byte { return replace(t, b, `"message":""`, `"message":"`+field+`"`) }
		}
		for what, text := range map[string]string{
			"4,097 bytes": strings.Repeat("a", 4097), "900 KiB": strings.Repeat("a", 900<<10),
			"no UTF-8": "\xff", "a lone surrogate": `\ud800`, "a raw NUL": "\x00", "a raw newline": "\n",
		} {
			w.refuse(t, what, &lie{text: good, raw: add(text)}, []error{anyOf{release.ErrFormat, digest.ErrMismatch}}, byFiles)
		}
		w.heal(t)
	})
	t.Run("E-09 bytes behind the end", func(t *testing.T) {
		each(t, func(t *testing.T, d decoder) {
			for _, more := range []string{"\x00", "\n", " ", "x", string(d.good)} {
				bad := append(bytes.Clone(d.good), more...)
				again, err := d.read(bad)
				if err == nil && again == nil && d.exact && !strings.HasPrefix(string(d.good), "larch delta") {
					t.Errorf("accepted with %.5q behind", more)
				}
				if err == nil && again != nil && !bytes.Equal(again, bad) {
					t.Errorf("accepted with %.5q behind, and written without", more)
				}
			}
		})
	})
	t.Run("E-10 numbers that are none", func(t *testing.T) {
		w := newWorld(t)
		good := application(file("/files/a", "x"))
		for _, n := range []string{"1e400", "NaN", "-0", "1.5", "2.0", "99999999999999999999", "-1", "9223372036854775808", `"2"`, "null", "true", "[]", "0x2", "02", "+2", "Infinity", ""} {
			w.refuse(t, n, &lie{text: good, raw: func(b []byte) []byte { return replace(t, b, `"files":2`, `"files":`+n) }}, []error{release.ErrFormat}, byFiles)
		}
		w.heal(t)
	})
}

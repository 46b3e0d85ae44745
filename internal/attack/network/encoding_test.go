package network

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/install"
	"github.com/larch-project/larch/internal/bounded"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/transport/transporttest"
	"github.com/larch-project/larch/trust"
)

// document is a file that an update reads.
type document struct {
	name  string
	data  []byte            // the right ones
	serve func(data []byte) // has the machine meet other bytes, signed or listed anew where that can be
	kinds []error           // of which an error is
}

// documents lists them in an order in which none is in the way of the next.
func documents(w *world, f *forger) []document {
	put := func(name string) func([]byte) {
		return func(data []byte) { w.server.put(state{name: data}) }
	}
	listed := func(role string) func([]byte) {
		return func(data []byte) { f.list(role, f.newest(role), data) }
	}
	snapshot := func(data []byte) {
		f.serve(state{"3.snapshot.json": data})
		f.head(leadTo(3, data))
	}
	signed := func(data []byte) {
		f.ahead++ // what was signed for another one counts
		f.release(data)
	}
	name := w.newRelease()
	tree := repo.TreeName(must(release.Decode(w.server.files[name]))(w.t).Tree.Digest)
	index := strings.Replace(name, "releases/", "index/", 1) + ".zst"
	files := w.server.files
	return []document{
		{"larch.json", files["larch.json"], put("larch.json"), []error{repo.ErrFormat, bounded.ErrTooLarge}},
		{"trust/2.root.json", f.next("root", nothing), put("trust/2.root.json"), tuf},
		{"trust/timestamp.json", files["trust/timestamp.json"], put("trust/timestamp.json"), tuf},
		{tree, files[tree], put(tree), []error{digest.ErrMismatch, bounded.ErrTooLarge}},
		{index, files[index], put(index), []error{repo.ErrIndex, bounded.ErrTooLarge}},
		{"trust/3.snapshot.json", files["trust/3.snapshot.json"], snapshot, tuf},
		{"trust/1.targets.json", files["trust/1.targets.json"], listed("targets"), tuf},
		{"trust/3.publisher-main.json", files["trust/3.publisher-main.json"], listed("publisher-main"), tuf},
		{name, files[name], signed, []error{release.ErrFormat, digest.ErrMismatch, fs.ErrNotExist, trust.ErrFormat, install.ErrRelease}}, // another release has no index
	}
}

// tuf are all kinds of errors for signed metadata. What was changed may be a version or
// a time.
var tuf = []error{trust.ErrFormat, trust.ErrSignature, trust.ErrRollback, trust.ErrExpired, digest.ErrMismatch, bounded.ErrTooLarge}

func leadTo(version int, snapshot []byte) func(object) {
	return func(head object) { head["meta"] = object{"snapshot.json": describe(snapshot, version)} }
}

// mangled has one file after the other changed by every one of some functions, and
// judges at the end. Contents come by packs, so that all documents are needed.
func mangled(t *testing.T, changes func(data []byte) [][]byte) {
	t.Helper()
	w := newWorld(t)
	w.server.lie("deltas/", missing)
	f, honest := w.forger(), w.server.files
	for _, d := range documents(w, f) {
		for n, data := range changes(d.data) {
			if bytes.Equal(data, d.data) || len(data) == 0 {
				continue
			}
			d.serve(data)
			w.refused(fmt.Sprintf("%s, change %d", d.name, n), d.kinds...)
			w.server.serve(honest)
		}
	}
	w.before = w.look()
	f.serve(state{"timestamp.json": []byte("{}")})
	w.judge(w.update(), verdict{err: trust.ErrFormat, heal: "timestamp"})
}

var missing = transporttest.Status(404)

// TestEncodings has every document in every wrong form, signed as it should be.
func TestEncodings(t *testing.T) {
	t.Run("E-01 documents that end early", func(t *testing.T) {
		mangled(t, func(data []byte) (all [][]byte) {
			for n := 1; n < len(data); n += 1 + len(data)/20 {
				all = append(all, data[:n])
			}
			return append(all, data[:len(data)-1])
		})
	})
	t.Run("E-02 documents with another byte", func(t *testing.T) {
		mangled(t, func(data []byte) (all [][]byte) {
			for n := 0; n < len(data); n += 1 + len(data)/6 {
				for _, b := range []byte{0, 0xff, 0x7f, 0x80} {
					other := slices.Clone(data)
					other[n] = b
					all = append(all, other)
				}
			}
			return all
		})
	})
	t.Run("E-07 documents that are nested a million times", func(t *testing.T) {
		mangled(t, func([]byte) [][]byte {
			return [][]byte{bytes.Repeat([]byte("["), 15_000), bytes.Repeat([]byte(`{"a":`), 200_000), []byte(strings.Repeat("[", 5000) + strings.Repeat("]", 5000))}
		})
	})
	t.Run("E-08 texts without end, and that are none", func(t *testing.T) {
		mangled(t, func(data []byte) [][]byte {
			return [][]byte{
				append(append(bytes.Clone(data[:1]), `"a":"`...), bytes.Repeat([]byte("x"), 2<<20)...),
				append(append(bytes.Clone(data[:1]), "\"\xff\xfe\":1,"...), data[1:]...),
				append(append(bytes.Clone(data[:1]), "\"\\u0000\\ud800\":1,"...), data[1:]...),
			}
		})
	})
	t.Run("E-09 documents with something behind their end", func(t *testing.T) {
		mangled(t, func(data []byte) (all [][]byte) {
			for _, more := range []string{" ", "\n", "\x00", "{}", "x", string(data)} {
				all = append(all, append(bytes.Clone(data), more...))
			}
			return all
		})
	})
	t.Run("E-10 numbers that are no whole numbers", func(t *testing.T) {
		w := newWorld(t)
		f := w.forger()
		honest := w.server.files
		for _, n := range []string{"1e400", "NaN", "-0", "1.5", "99999999999999999999", "1e1", "0x10", "01", "+1", `"1"`, "null", "1.0", "Infinity"} {
			for what, serve := range map[string]func(text string){
				"version": func(text string) {
					f.serve(state{"timestamp.json": resign(f, "timestamp", strings.Replace(text, `"version":4}`, `"version":`+n+`}`, 1))})
				},
				"length": func(text string) {
					f.serve(state{"timestamp.json": resign(f, "timestamp", replaceNumber(text, `"length":`, n))})
				},
			} {
				head := f.document("timestamp.json")
				head["version"] = 4
				serve(string(compact(head)))
				w.refused(what+" "+n, trust.ErrFormat)
				w.server.serve(honest)
			}
			w.server.put(state{"larch.json": []byte(`{"features":[],"format":` + n + "}\n")})
			w.refused("format "+n, repo.ErrFormat)
			w.server.serve(honest)
		}
		w.server.put(state{"larch.json": []byte("{\"features\":[],\"format\":1.0}\n")})
		w.judge(w.update(), verdict{err: repo.ErrFormat})
	})
	t.Run("E-05 lengths that disagree", func(t *testing.T) {
		w := newWorld(t)
		f := w.forger()
		honest := w.server.files
		for _, off := range []int{-1, 1, 1000} {
			f.head(func(head object) {
				meta := describe(honest["trust/3.snapshot.json"], 3)
				meta["length"] = meta["length"].(int) + off
				head["meta"] = object{"snapshot.json": meta}
			})
			w.refused(fmt.Sprint("a snapshot's, by ", off), tuf...)
			w.server.serve(honest)
			f.snapshot(func(s object) {
				meta := describe(honest["trust/3.publisher-main.json"], 3)
				meta["length"] = meta["length"].(int) + off
				s["meta"].(object)["publisher-main.json"] = meta
			})
			w.refused(fmt.Sprint("a publisher's, by ", off), tuf...)
			w.server.serve(honest)
		}
		f.publisher(func(doc object) { target(doc)["length"] = number(target(doc)["length"]) + 1 })
		w.judge(w.update(), verdict{err: digest.ErrMismatch, trusts: afterOne})
	})
}

// resign signs the text of a signed part with a role's keys, whatever it is.
func resign(f *forger, role, text string) []byte {
	var list []string
	for _, k := range f.keys[role] {
		list = append(list, string(compact(signature(k, []byte(text)))))
	}
	return []byte(`{"signatures":[` + strings.Join(list, ",") + `],"signed":` + text + `}`)
}

// replaceNumber replaces the number behind the first such member.
func replaceNumber(text, member, number string) string {
	before, after, _ := strings.Cut(text, member)
	return before + member + number + strings.TrimLeft(after, "0123456789")
}

// TestRoads has a signature that is wrong come by every way by which metadata comes.
func TestRoads(t *testing.T) {
	for what, address := range map[string]func(w *world, folder string) string{
		"a folder":        func(_ *world, folder string) string { return folder },
		"a file address":  func(_ *world, folder string) string { return "file://" + folder },
		"a web server":    func(w *world, _ string) string { return w.address },
		"a mirror of two": func(w *world, _ string) string { w.mirrors = []string{w.address}; return w.address },
	} {
		t.Run("A-12 by "+what, func(t *testing.T) {
			w := emptyWorld(t, base(t))
			folder := filepath.Join(t.TempDir(), "copy")
			check(t, os.MkdirAll(folder, 0o755))
			w.serves = func(files state) { write(t, folder, files) }
			w.address = address(w, folder)
			w.serves(w.site.versions[1])
			w.trust()
			w.install()
			for _, role := range []string{"timestamp", "publisher-main"} {
				w.server.serve(w.site.versions[2])
				f := w.forger()
				if role == "timestamp" {
					f.head(nothing, newKey("a stranger"))
				} else {
					f.publisher(nothing, newKey("a stranger"))
				}
				w.serves(w.server.files)
				w.refused(role, trust.ErrSignature)
			}
			w.judge(w.update(), verdict{err: trust.ErrSignature})
		})
	}
}

// write replaces the files of a folder.
func write(t *testing.T, folder string, files state) {
	t.Helper()
	check(t, os.RemoveAll(folder))
	for name, data := range files {
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755))
		check(t, os.WriteFile(filepath.Join(folder, name), data, 0o644))
	}
}

package content

import (
	"strings"
	"testing"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
)

// TestShapes is about what entries are to each other.
func TestShapes(t *testing.T) {
	t.Run("C-07 a name that is there twice can be two things", func(t *testing.T) {
		w := newWorld(t)
		for what, lines := range map[string][]line{
			"twice the same":       {file("/files/a", "x"), file("/files/a", "x")},
			"a file and a folder":  {file("/files/a", "x"), folder("/files/a")},
			"a folder and a file":  {folder("/files/a"), file("/files/a", "x")},
			"a folder twice":       {folder("/files/a"), file("/files/a/x", "x"), folder("/files/a")},
			"not in order":         {file("/files/b", "x"), file("/files/a", "x")},
			"in the order of text": {folder("/files/a"), file("/files/a-b", "x"), file("/files/a/b", "x")},
			"a folder comes back":  {folder("/files/a"), folder("/files/b"), file("/files/a/x", "x")},
		} {
			w.refuse(t, what, &lie{text: application(lines...)}, []error{ruled("F5")})
		}
		w.heal(t)
	})
	t.Run("C-08 children written through a link of the folder's name (CVE-2024-45593)", func(t *testing.T) {
		w := newWorld(t)
		for what, lines := range map[string][]line{
			"link, folder, child": {link("/files/d", "../../canary"), folder("/files/d"), file("/files/d/file", "x")},
			"folder, link, child": {folder("/files/d"), link("/files/d", "../../canary"), file("/files/d/file", "x")},
			"folder, child, link": {folder("/files/d"), file("/files/d/file", "x"), link("/files/d", "/etc")},
		} {
			w.refuse(t, what, &lie{text: application(lines...)}, []error{ruled("F5")})
		}
		w.heal(t)
	})
	t.Run("C-10 names that the installation itself uses are plain names in a tree", func(t *testing.T) {
		w := newWorld(t)
		var lines []line
		for _, n := range []string{
			"lock", ".lock", "tmp", "objects", "trees", "releases", "current", "tree", "note", "unclean", "generations",
			".new-a", ".files-1", ".tmp-1", "installation.json", "generation.json", ".ref", "larch.json", "journal", "data", "image",
		} {
			lines = append(lines, file("/files/"+n, n), link("/export/"+n, "x"))
		}
		var export, below []line
		for _, l := range lines {
			if strings.HasPrefix(l.path, "/export") {
				export = append(export, l)
			} else {
				below = append(below, l)
			}
		}
		sortLines(export)
		sortLines(below)
		all := append(append([]line{folder("/"), folder("/export")}, export...), folder("/files"))
		w.accept(t, "all", &lie{text: text(append(append(all, below...), file("/metadata", metadata))...)})
		w.heal(t)
	})
	t.Run("C-13 links are data and never followed", func(t *testing.T) {
		w := newWorld(t)
		for _, target := range []string{"/etc", "../../../canary", "..", "/dev/shm"} {
			w.refuse(t, "a file below a link to "+target, &lie{text: application(link("/files/d", target), file("/files/d/passwd", "x"))}, []error{ruled("F5")})
			w.refuse(t, "a folder below a link to "+target, &lie{text: application(link("/files/d", target), folder("/files/d/bin"))}, []error{ruled("F5")})
		}
		w.refuse(t, "below a file", &lie{text: application(file("/files/d", "x"), file("/files/d/x", "x"))}, []error{ruled("F5")})
		var chain []line
		for n := range 42 {
			chain = append(chain, link("/files/"+string(rune('A'+n)), string(rune('A'+n+1))))
		}
		chain = append(chain, link("/files/self", "self"), link("/files/up", ".."), link("/files/root", "/"), link("/files/canary", "../../../../canary/bin/file"), link("/files/long", strings.Repeat("l", 4095)))
		w.accept(t, "a chain, a ring, and links that lead out", &lie{text: sorted(chain...)})
		w.refuse(t, "an empty target", &lie{text: application(link("/files/d", ""))}, []error{ruled("F8")})
		w.refuse(t, "a target with NUL", &lie{text: application(link("/files/d", "a\x00b"))}, []error{ruled("F8")})
		w.refuse(t, "a target of 4,096 bytes", &lie{text: application(link("/files/d", strings.Repeat("l", 4096)))}, []error{ruled("F8")})
		w.heal(t)
	})
	t.Run("C-14 the places that the installer itself reads are links", func(t *testing.T) {
		w := newWorld(t)
		if !whole {
			return
		}
		top := func(export, files, meta line) *lie { return &lie{text: text(folder("/"), export, files, meta)} }
		w.refuse(t, "metadata", top(folder("/export"), folder("/files"), link("/metadata", "../../../passwd")), []error{errRelease})
		w.refuse(t, "files", top(folder("/export"), link("/files", "/"), file("/metadata", metadata)), []error{errRelease})
		w.refuse(t, "export", top(link("/export", "/usr"), folder("/files"), file("/metadata", metadata)), []error{errRelease})
		w.refuse(t, "files is a file", top(folder("/export"), file("/files", "x"), file("/metadata", metadata)), []error{errRelease})
		w.refuse(t, "metadata is a folder", top(folder("/export"), folder("/files"), folder("/metadata")), []error{errRelease})
		w.refuse(t, "metadata is executable and elsewhere", &lie{text: text(folder("/"), folder("/export"), folder("/files"), file("/files/metadata", metadata))}, []error{errRelease})
		w.heal(t)
	})
	t.Run("C-15 what contains or needs itself", func(t *testing.T) {
		w := newWorld(t)
		good := application(file("/files/share", "x"))
		ring := func(edges ...repo.Edge) func(*told) {
			return func(made *told) {
				all := []repo.Edge{}
				for _, e := range edges {
					if e.To.IsZero() {
						e.To = made.release
					}
					e.Head, e.Size = 10, 100
					all = append(all, e)
				}
				list, err := repo.EncodeDeltaMap(all)
				if err != nil {
					t.Fatal(err)
				}
				made.publisher.write(t, repo.DeltaMapName(made.release), list)
			}
		}
		a, b := digest.Of([]byte("a")), digest.Of([]byte("b"))
		w.accept(t, "deltas in a ring", &lie{text: good, after: ring(repo.Edge{From: a}, repo.Edge{From: b, To: a}, repo.Edge{From: a, To: b})}, byFiles, byStream)
		w.accept(t, "a delta from itself", &lie{text: good, after: func(made *told) { ring(repo.Edge{From: made.release})(made) }}, byFiles, byStream)
		w.accept(t, "a release that requires itself", &lie{text: good, document: func(r *release.Release) { r.Requires = []release.Ref{r.Ref} }})
		w.accept(t, "a release that is its own past", &lie{text: good, document: func(r *release.Release) {
			r.Previous = []release.Previous{{Release: a, Version: "1"}, {Release: a, Version: "1"}}
		}})
		w.heal(t)
	})
}

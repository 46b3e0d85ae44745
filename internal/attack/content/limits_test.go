package content

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/tree"
)

// TestTotals is about whole trees: their digests, sums and forms.
func TestTotals(t *testing.T) {
	t.Run("C-05 digests that are none", func(t *testing.T) {
		w := newWorld(t)
		good := file("/files/a", program("2")["files/share/same"])
		bad := map[string]string{
			"a path": "../../x", "63 digits": good.digest[:63], "65 digits": good.digest + "0", "upper case": strings.ToUpper(good.digest),
			"an algorithm": "sha256:" + good.digest, "no digits": strings.Repeat("g", 64), "zero": strings.Repeat("0", 64), "none": "-",
		}
		for what, d := range bad {
			l := good.with(func(l *line) { l.digest = d })
			if len(d) == 64 {
				l.payload = d[:2] + "/" + d[2:]
			}
			w.refuse(t, what+" in a tree", &lie{text: application(l)}, []error{anyOf{ruled("F9"), ruled("F2")}})
			w.refuse(t, what+" in a release", &lie{text: application(good), raw: func(doc []byte) []byte {
				return replace(t, doc, digest.Of(application(good)).String(), d)
			}}, []error{release.ErrFormat})
		}
		w.refuse(t, "a payload of another digest", &lie{text: application(good.with(func(l *line) { l.payload = "../../../etc/passwd" }))}, []error{ruled("F2")})
		w.heal(t)
	})
	t.Run("C-16 what says it expands without end", func(t *testing.T) {
		w := newWorld(t)
		var huge []line
		for n := range 20 {
			huge = append(huge, claimed(fmt.Sprintf("/files/%04d", n), 1<<50))
		}
		w.refuse(t, "8 EiB in 20 lines", &lie{text: sorted(huge...)}, []error{ruled("F12")})
		w.refuse(t, "4 PiB that nobody has", &lie{text: application(claimed("/files/a", 1<<52))}, []error{anyOf{repo.ErrIndex, repo.ErrDelta}})
		w.refuse(t, "names without end for one file", &lie{text: application(file("/files/a", "x").with(func(l *line) { l.nlink = "4294967295" }))}, []error{ruled("F10")})
		many := make([]line, 0, 3000)
		same := program("2")["files/share/same"]
		for n := range cap(many) {
			many = append(many, file(fmt.Sprintf("/files/%05d", n), same))
		}
		w.accept(t, "one content with 3,000 names", &lie{text: sorted(many...)})
		w.heal(t)
	})
	t.Run("C-18 the smallest trees must work", func(t *testing.T) {
		w := newWorld(t)
		w.accept(t, "no files", &lie{text: application()})
		w.accept(t, "an empty file", &lie{text: application(file("/files/a", ""))})
		w.accept(t, "links alone", &lie{text: sorted(link("/files/a", "b"), link("/files/b", "a"))})
		w.accept(t, "no folders for it", &lie{text: text(folder("/"), file("/metadata", metadata))})
		if !whole {
			return
		}
		w.refuse(t, "a root alone", &lie{text: text(folder("/")), document: func(r *release.Release) { r.Metadata = "" }}, []error{errRelease})
		w.heal(t)
	})
	t.Run("C-19 sums that are not those of the tree", func(t *testing.T) {
		w := newWorld(t)
		l := application(file("/files/a", program("2")["files/share/same"]))
		for what, change := range map[string]func(*release.Tree){
			"a byte less": func(i *release.Tree) { i.Bytes-- }, "a byte more": func(i *release.Tree) { i.Bytes++ },
			"a file less": func(i *release.Tree) { i.Files-- }, "a file more": func(i *release.Tree) { i.Files++ },
			"an entry less": func(i *release.Tree) { i.Entries-- }, "an entry more": func(i *release.Tree) { i.Entries++ },
			"huge": func(i *release.Tree) { i.Bytes = 1 << 60 }, "nothing": func(i *release.Tree) { i.Bytes = 0 },
		} {
			w.refuse(t, what, &lie{text: l, declare: change}, []error{anyOf{errRelease, ruled("F12")}})
		}
		w.refuse(t, "a shorter text", &lie{text: l, declare: func(i *release.Tree) { i.Size-- }}, []error{digest.ErrMismatch})
		w.refuse(t, "a longer text", &lie{text: l, declare: func(i *release.Tree) { i.Size++ }}, []error{digest.ErrMismatch})
		w.heal(t)
	})
	t.Run("C-20 what only a later version could understand", func(t *testing.T) {
		w := newWorld(t)
		l := application(file("/files/a", "x"))
		w.refuse(t, "a key", &lie{text: l, raw: func(doc []byte) []byte { return replace(t, doc, `{"annotations"`, `{"aaa":1,"annotations"`) }}, []error{release.ErrFormat})
		w.refuse(t, "a key in the tree", &lie{text: l, raw: func(doc []byte) []byte { return replace(t, doc, `"tree":{`, `"tree":{"algorithm":"blake3",`) }}, []error{release.ErrFormat})
		w.refuse(t, "a kind", &lie{text: l, raw: func(doc []byte) []byte { return replace(t, doc, `"ref":"app/`, `"ref":"daemon/`) }}, []error{release.ErrFormat})
		w.refuse(t, "a field in a line", &lie{text: replace(t, l, "- x -", "- x - future")}, []error{ruled("F11")})
		w.refuse(t, "a kind of file", &lie{text: application(file("/files/a", "x").with(func(l *line) { l.mode = "160644" }))}, []error{ruled("F6")})
		format := filepath.Join(w.p.path, repo.FormatName)
		for _, text := range []string{`{"features":["later"],"format":1}` + "\n", `{"features":[],"format":2}` + "\n", `{"features":[],"format":1,"more":1}` + "\n"} {
			good := readFile(t, format)
			w.refuse(t, text, &lie{text: l, after: func(made *told) { made.publisher.write(t, repo.FormatName, []byte(text)) }}, []error{repo.ErrFormat})
			w.p.write(t, repo.FormatName, good)
		}
		w.heal(t)
	})
	t.Run("C-21 two forms of one document have two digests", func(t *testing.T) {
		w := newWorld(t)
		l := application(file("/files/a", "x"))
		for what, change := range map[string]func([]byte) []byte{
			"a space":      func(b []byte) []byte { return replace(t, b, `{"annotations":`, `{"annotations": `) },
			"no newline":   func(b []byte) []byte { return bytes.TrimSpace(b) },
			"two newlines": func(b []byte) []byte { return append(b, '\n') },
			"a key twice":  func(b []byte) []byte { return replace(t, b, `"version":"3"`, `"version":"2","version":"3"`) },
			"another case": func(b []byte) []byte { return replace(t, b, `"version":`, `"Version":`) },
			"an escape":    func(b []byte) []byte { return replace(t, b, `"version":"3"`, `"version":"\u0033"`) },
			"another order": func(b []byte) []byte {
				return replace(t, replace(t, b, `,"version":"3"`, ""), `{"annotations"`, `{"version":"3","annotations"`)
			},
			"null":          func(b []byte) []byte { return replace(t, b, `"requires":[]`, `"requires":null`) },
			"a float":       func(b []byte) []byte { return replace(t, b, `"files":2`, `"files":2.0`) },
			"an exponent":   func(b []byte) []byte { return replace(t, b, `"files":2`, `"files":2e0`) },
			"a sign":        func(b []byte) []byte { return replace(t, b, `"files":2`, `"files":+2`) },
			"a zone":        func(b []byte) []byte { return replace(t, b, `:00Z"`, `:00+00:00"`) },
			"a mark":        func(b []byte) []byte { return append([]byte("\ufeff"), b...) },
			"two documents": func(b []byte) []byte { return append(b, b...) },
		} {
			w.refuse(t, "a release, "+what, &lie{text: l, raw: change}, []error{release.ErrFormat}, byFiles, byStream)
		}
		a := file("/files/a", "x")
		for what, made := range map[string][]byte{
			"two spaces":           replace(t, l, "/files/a 1", "/files/a  1"),
			"a zero in front":      replace(t, l, "/files/a 1", "/files/a 01"),
			"an escape too many":   replace(t, l, "/files/a", `/files/\x61`),
			"digits in upper case": replace(t, application(a.with(func(l *line) { l.path = "/files/\xff" })), `\xff`, `\xFF`),
			"a tab":                replace(t, l, "/files/a 1", "/files/a\t1"),
			"a carriage return":    replace(t, l, "- x -\n", "- x -\r\n"),
			"no newline at end":    bytes.TrimSuffix(l, []byte("\n")),
			"an empty line":        append(bytes.Clone(l), '\n'),
			"a digest of 1 byte":   application(a.with(func(l *line) { l.digest = digest.Of([]byte("x")).String() })),
			"octal with a zero":    application(a.with(func(l *line) { l.mode = "0100644" })),
			"a plain dash content": application(file("/files/a", "-").with(func(l *line) { l.content = "-" })),
		} {
			w.refuse(t, "a tree, "+what, &lie{text: made}, []error{tree.ErrFormat}, byFiles, byStream)
		}
		w.heal(t)
	})
	t.Run("C-22 hardlinks to what is no file before them", func(t *testing.T) {
		w := newWorld(t)
		first := file("/files/a", program("2")["files/share/same"]).with(func(l *line) { l.nlink = "2" })
		to := func(target string) line {
			return again(first, "/files/b").with(func(l *line) { l.payload = escaped(target) })
		}
		for what, lines := range map[string][]line{
			"outside":             {first, to("/etc/passwd")},
			"above":               {first, to("../../passwd")},
			"missing":             {first, to("/files/none")},
			"a folder":            {first, folder("/files/aa"), to("/files/aa")},
			"a symlink":           {first, link("/files/aa", "a"), to("/files/aa")},
			"itself":              {first, to("/files/b")},
			"forward":             {again(first, "/files/0"), first},
			"another mode":        {first, to("/files/a").with(func(l *line) { l.mode = "@100755" })},
			"one name too many":   {first, to("/files/a"), again(first, "/files/c")},
			"one name too few":    {first},
			"a link to a link":    {first.with(func(l *line) { l.nlink = "3" }), again(first, "/files/b").with(func(l *line) { l.nlink = "3" }), to("/files/b").with(func(l *line) { l.path, l.nlink = "/files/c", "3" })},
			"xattrs of a link":    {first, to("/files/a").with(func(l *line) { l.xattrs = " user.a=b" })},
			"a hardlinked folder": {first, to("/files/a").with(func(l *line) { l.mode = "@40755" })},
		} {
			w.refuse(t, what, &lie{text: application(lines...)}, []error{anyOf{ruled("F10"), ruled("F6")}})
		}
		w.accept(t, "a pair", &lie{text: application(first, to("/files/a"))})
		w.heal(t)
	})
}

// claimed is a file of a size that nobody has.
func claimed(path string, size int64) line {
	l := file(path, path+strings.Repeat("x", 100))
	l.size = fmt.Sprint(size)
	return l
}

package content

import (
	"fmt"
	"strings"
	"testing"

	"github.com/larch-project/larch/tree"
)

// refused is what an entry is refused with that the rules of its kind of release
// forbid.
func refused(rule string) []error { return []error{ruled(rule), errRelease} }

// TestNames is about single names in trees.
func TestNames(t *testing.T) {
	t.Run("C-01 a name .. leads out of the folder that is made", func(t *testing.T) {
		w := newWorld(t)
		for what, path := range map[string]string{
			"first": "/..", "middle": "/files/../../passwd", "last": "/files/..",
			"child": "/files/../x",
		} {
			w.refuse(t, what, &lie{text: application(file(path, "x"))}, []error{ruled("F4")})
		}
		w.heal(t)
	})
	t.Run("C-02 a name that is several, or begins at the root", func(t *testing.T) {
		w := newWorld(t)
		for what, path := range map[string]string{
			"absolute": "//etc/passwd", "double": "/files//x", "relative": "files/x", "behind": "/files/x/", "only": "//",
		} {
			w.refuse(t, what, &lie{text: application(file(path, "x"))}, []error{ruled("F4")})
		}
		w.refuse(t, "a parent that is missing", &lie{text: application(file("/files/a/b", "x"))}, []error{ruled("F5")})
		w.heal(t)
	})
	t.Run("C-03 empty names, and a root that is a link to elsewhere (CVE-2021-29136)", func(t *testing.T) {
		w := newWorld(t)
		all := func(root line) *lie {
			return &lie{text: text(root, folder("/export"), folder("/files"), file("/metadata", metadata))}
		}
		w.refuse(t, "empty path", &lie{text: application(file("", "x"))}, []error{anyOf{ruled("F4"), ruled("F2")}})
		w.refuse(t, "dot", &lie{text: application(file("/files/.", "x"))}, []error{ruled("F4")})
		w.refuse(t, "dot in the middle", &lie{text: application(file("/files/./x", "x"))}, []error{ruled("F4")})
		w.refuse(t, "root is a symlink", all(link("/", "/etc")), []error{ruled("F5")})
		w.refuse(t, "root is a file", all(file("/", "x")), []error{ruled("F5")})
		w.refuse(t, "no root", &lie{text: text(folder("/files"), file("/metadata", metadata))}, []error{ruled("F5")})
		w.refuse(t, "a second root", &lie{text: application(folder("/files/a"), folder("/"))}, []error{ruled("F5")})
		w.heal(t)
	})
	t.Run("C-04 control bytes act on terminals and on line-based tools (CVE-2025-48384)", func(t *testing.T) {
		w := newWorld(t)
		w.refuse(t, "NUL", &lie{text: application(file("/files/a\x00b", "x"))}, []error{ruled("F4")})
		for _, name := range []string{"a\nb", "a\rb", "a\x1b[2J", "a\x7f", "a\r", "\x01"} {
			w.refuse(t, fmt.Sprintf("%q", name), &lie{text: application(file("/files/"+name, "x"))}, refused("R1"))
			w.refuse(t, fmt.Sprintf("a folder %q", name), &lie{text: application(folder("/files/" + name))}, refused("R1"))
			w.refuse(t, fmt.Sprintf("a link %q", name), &lie{text: application(link("/files/"+name, "x"))}, refused("R1"))
		}
		w.accept(t, "a space or dot at the end", &lie{text: sorted(file("/files/a ", "x"), file("/files/a.", "y"), file("/files/ ", "z"), file("/files/...", "w"))})
		w.heal(t)
	})
	t.Run("C-06 names that are no text are bytes, the same for all", func(t *testing.T) {
		w := newWorld(t)
		names := []string{"\xff\xfe", "a\xc0\xafb", "\ufeffb", "\xed\xa0\x80"}
		var lines []line
		content := program("2")
		for _, n := range names {
			lines = append(lines, file("/files/"+n, "x"))
			content["files/"+n] = "x"
		}
		w.accept(t, "in a tree", &lie{text: sorted(lines...)})
		done := w.p.publish(t, "4", content)
		if err := w.m.update(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.m.compare(t, done.Tree, w.p.text(t, done.Tree))
		w.back(t)
		w.heal(t)
	})
	t.Run("C-11 names that are too long for a file system", func(t *testing.T) {
		w := newWorld(t)
		w.accept(t, "255 bytes", &lie{text: application(file("/files/"+strings.Repeat("n", 255), "x"))})
		for _, n := range []int{256, 65_536} {
			w.refuse(t, fmt.Sprintf("%d bytes", n), &lie{text: application(file("/files/"+strings.Repeat("n", n), "x"))}, []error{ruled("F4"), tree.ErrFormat})
			w.refuse(t, fmt.Sprintf("%d odd bytes", n), &lie{text: application(file("/files/"+strings.Repeat("\xff", n), "x"))}, []error{anyOf{ruled("F4"), ruled("F1")}})
		}
		w.refuse(t, "200,000 bytes", &lie{text: application(file("/files/"+strings.Repeat("n", 200_000), "x"))}, []error{ruled("F1")})
		w.heal(t)
	})
	t.Run("C-12 paths that no call takes, and depth that a recursion does not survive", func(t *testing.T) {
		w := newWorld(t)
		w.accept(t, "256 names", &lie{text: application(nested("d", 255)...)})
		w.accept(t, "4,095 bytes", &lie{text: application(longest()...), deep: true}, byFiles, byDelta)
		for _, n := range []int{256, 1000} {
			w.refuse(t, fmt.Sprintf("%d names below", n), &lie{text: application(nested("d", n)...)}, []error{ruled("F4")})
		}
		w.refuse(t, "5,000 bytes", &lie{text: application(nested(strings.Repeat("d", 249), 20)...)}, []error{ruled("F4")})
		deep := "/files" + strings.Repeat("/d", 100_000)
		w.refuse(t, "100,000 names", &lie{text: application(folder(deep))}, []error{ruled("F1")})
		w.refuse(t, "60,000 names", &lie{text: application(folder("/files" + strings.Repeat("/d", 60_000)))}, []error{ruled("F4")})
		w.heal(t)
	})
}

// nested gives n folders, each in the one before.
func nested(name string, n int) (lines []line) {
	path := "/files"
	for range n {
		path += "/" + name
		lines = append(lines, folder(path))
	}
	return lines
}

// longest gives folders down to a file whose path has 4,095 bytes.
func longest() []line {
	lines := nested(strings.Repeat("d", 249), 16)
	last := lines[len(lines)-1].path
	return append(lines, file(last+"/"+strings.Repeat("f", 4095-len(last)-1), "x"))
}

package content

import (
	"strings"
	"testing"

	"github.com/larch-project/larch/tree"
)

// TestTrees is about names in trees, and their shape.
func TestTrees(t *testing.T) {
	t.Run("C-01 a name .. leads out of the folder that is made", func(t *testing.T) {
		w := newWorld(t)
		for what, path := range map[string]string{
			"first": "/..", "middle": "/files/../../passwd", "last": "/files/..",
			"child": "/files/../x",
		} {
			lines := []line{folder("/files/..").with(func(l *line) { l.path = path })}
			w.refuse(t, what, &lie{text: application(lines...)}, []error{ruled("F4")})
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
	t.Run("C-11 names that are too long for a file system", func(t *testing.T) {
		w := newWorld(t)
		w.accept(t, "255 bytes", &lie{text: application(file("/files/"+strings.Repeat("n", 255), "x"))})
		w.refuse(t, "256 bytes", &lie{text: application(file("/files/"+strings.Repeat("n", 256), "x"))}, []error{ruled("F4"), tree.ErrFormat})
		w.heal(t)
	})
}

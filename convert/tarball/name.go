package tarball

import (
	"cmp"
	"strings"
	"unique"

	"github.com/larch-project/larch/tree"
)

// name is a path in two parts: that of a directory is held once for all that is
// in it. The root is the empty name in itself.
type name struct {
	dir  unique.Handle[tree.Path]
	base string
}

func nameOf(p tree.Path) name { return name{unique.Make(p.Parent()), strings.Clone(p.Base())} }

func (n name) path() tree.Path {
	if n.base == "" {
		return "/"
	}
	return n.dir.Value().Join(n.base)
}

// compare is tree.Path.Compare, without putting the parts together.
func (n name) compare(o name) int {
	if n.dir == o.dir {
		return cmp.Compare(n.base, o.base)
	}
	a, b := n.dir.Value(), o.dir.Value()
	switch {
	case b.Within(a):
		return cmp.Or(cmp.Compare(n.base, childOf(a, b)), -1)
	case a.Within(b):
		return -o.compare(n)
	}
	return a.Compare(b)
}

// childOf gives the name in dir by which p, somewhere below it, is reached.
func childOf(dir, p tree.Path) string {
	rest := strings.TrimPrefix(strings.TrimPrefix(string(p), string(dir)), "/")
	child, _, _ := strings.Cut(rest, "/")
	return child
}

package store

import (
	"iter"
	"os"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/tree"
)

// Contents gives the contents of a tree's entries to a deployment's backend: it
// is what package deploy asks for.
type Contents struct {
	s    *Store
	tree func(name string) iter.Seq2[*tree.Entry, error]
}

// Contents gives the store's objects by entries of trees, and trees by the names of
// releases, which the caller knows: it finds the one that was signed.
func (s *Store) Contents(tree func(name string) iter.Seq2[*tree.Entry, error]) Contents {
	return Contents{s, tree}
}

// Tree gives the entries of the release of this name.
func (c Contents) Tree(name string) iter.Seq2[*tree.Entry, error] { return c.tree(name) }

// Open opens the content of a regular file of more than tree.InlineMax bytes.
func (c Contents) Open(e *tree.Entry) (*os.File, error) { return c.s.Open(ObjectOf(e)) }

// Link is [Store.Link] for the entry's object.
func (c Contents) Link(e *tree.Entry, to *beneath.Dir, name string) error {
	return c.s.Link(ObjectOf(e), to, name)
}

// Locate says where the object is, as a path below the folder objects/, and
// checks it first if it is in doubt.
func (c Contents) Locate(e *tree.Entry) (string, error) {
	o := ObjectOf(e)
	return o.Name(), c.s.settle(o)
}

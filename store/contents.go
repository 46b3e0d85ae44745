package store

import (
	"os"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/tree"
)

// Contents gives the contents of a tree's entries to a deployment's backend: it
// is what package deploy asks for.
type Contents struct{ s *Store }

// Contents gives the store's objects by entries of trees.
func (s *Store) Contents() Contents { return Contents{s} }

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

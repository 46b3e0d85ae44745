package store

import (
	"iter"
	"os"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/tree"
)

// Contents gives the contents of a tree's entries to a deployment's backend: it
// is what package deploy asks for.
type Contents struct {
	s *Store
	Releases
}

// Releases finds what was signed by the names of releases.
type Releases interface {
	// Tree gives the entries of the release of this name.
	Tree(name string) iter.Seq2[*tree.Entry, error]
	// Image gives the digest of its composefs image; zero if it does not say.
	Image(name string) (digest.Digest, error)
}

// Contents gives the store's objects by entries of trees.
func (s *Store) Contents(releases Releases) Contents { return Contents{s, releases} }

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

package install

import (
	"iter"

	"github.com/larch-project/larch/tree"
)

// Tree gives the tree of what is installed under a full or short name, and what its
// release says of it.
func (i *Installation) Tree(short string) (*Installed, iter.Seq2[*tree.Entry, error], error) {
	current, err := i.Current()
	if err != nil {
		return nil, nil, err
	}
	in, err := current.Resolve(short)
	if err != nil {
		return nil, nil, err
	}
	return in, releases{i}.Tree(in.Release.String()), nil
}

package install

import (
	"errors"
	"fmt"
	"iter"
	"os"

	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/tree"
)

// Kept is a release that is on this machine, with its tree and contents.
type Kept struct {
	Installed
	Document *release.Release
	inst     *Installation
}

// Kept finds a release that is installed or in a generation of the past that is
// still here, the newest generation first: by REF, full or short, or REF@VERSION.
// Errors match ErrNotInstalled or release.ErrAmbiguous.
func (i *Installation) Kept(name string) (*Kept, error) {
	wanted := ParseWanted(name)
	generations, err := i.History()
	if err != nil {
		return nil, err
	}
	for _, g := range generations {
		in, err := g.Resolve(wanted.Ref)
		if errors.Is(err, release.ErrAmbiguous) {
			return nil, err
		}
		if err != nil || wanted.Version != "" && in.Version != wanted.Version {
			continue
		}
		document, err := i.document(in.Release)
		if err != nil {
			return nil, fmt.Errorf("release %s: %w", in.Release.Short(), err)
		}
		return &Kept{*in, document, i}, nil
	}
	return nil, fmt.Errorf("%.80q: %w, and not in the history", name, ErrNotInstalled)
}

// Entries gives its tree.
func (k *Kept) Entries() iter.Seq2[*tree.Entry, error] {
	return k.inst.store.Tree(k.Document.Tree.Digest, k.Document.Tree.Size)
}

// Open opens the content of a regular file of more than tree.InlineMax bytes:
// fs.ErrNotExist if it was never fetched, as with on-demand installations.
func (k *Kept) Open(e *tree.Entry) (*os.File, error) {
	return k.inst.store.Contents(releases{k.inst}).Open(e)
}

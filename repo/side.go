package repo

import (
	"fmt"
	"io"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/sealed"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/tree"
)

// side is one of two releases between which a delta is made.
type side struct {
	listing
	index *Index
	tree  release.Tree
}

// side reads which contents a release has, and where.
func (r *Repository) side(ix *Index, t release.Tree) (*side, error) {
	s := &side{listing: listing{paths: map[tree.Path]int32{}}, index: ix, tree: t}
	numbers := map[digest.Digest]int32{}
	for e, err := range r.Tree(t.Info()) {
		if err != nil {
			return nil, err
		}
		if e.Kind != tree.Regular || e.Size <= tree.InlineMax {
			continue
		}
		n, known := numbers[e.Digest]
		if !known {
			n = int32(len(s.contents))
			if int(n) >= len(ix.Objects) {
				return nil, fmt.Errorf("%w: it has fewer contents than the tree", ErrIndex)
			}
			if _, _, err := ix.Span(ix.Objects[n], e.Size); err != nil {
				return nil, err
			}
			numbers[e.Digest] = n
			s.contents = append(s.contents, LocatedContent{e.Path, e.Digest, e.Size, ix.Objects[n]})
		}
		s.paths[e.Path] = n
	}
	return s, nil
}

// nothing is the side that a fresh install starts from.
func nothing() *side { return &side{index: &Index{}} }

func (s *side) empty() bool { return s.tree.Digest.IsZero() }

// lacking gives the numbers of the contents that other has not.
func (s *side) lacking(other *side) (list []int32) {
	has := make(map[digest.Digest]struct{}, len(other.contents))
	for _, c := range other.contents {
		has[c.Digest] = struct{}{}
	}
	for n, c := range s.contents {
		if _, common := has[c.Digest]; !common {
			list = append(list, int32(n))
		}
	}
	return list
}

// treeText gives the text of a tree.
func (r *Repository) treeText(t release.Tree) (*blob, error) {
	f, err := r.dir.Open(TreeName(t.Digest))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := sealed.NewReader(f, t.Size)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	b := &blob{dir: r.dir}
	if _, err := io.Copy(b, digest.NewReader(text, t.Digest, t.Size)); err != nil {
		b.close()
		return nil, fmt.Errorf("%s: %w", TreeName(t.Digest), err)
	}
	return b, nil
}

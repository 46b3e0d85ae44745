package install

import (
	"iter"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/tree"
)

// maxKept bounds the texts of trees that one transaction keeps decoded, in bytes: their
// entries take about as much memory.
const maxKept = 8 << 20

// trees reads the trees of one transaction. Small ones it keeps, so that they are read
// and checked once, however many steps go through them. The zero value is ready for use.
type trees struct {
	kept map[digest.Digest][]*tree.Entry
	size int64 // of their texts
}

// has tells whether the text of a tree is in a store, whole.
func (t *trees) has(s *store.Store, info tree.Info) bool {
	return t.keep(s, info) || s.HasTree(info.Digest, info.Size)
}

// keep reads a tree, and tells whether it keeps it: it is small, and all of it is right.
func (t *trees) keep(s *store.Store, info tree.Info) bool {
	if t.kept[info.Digest] != nil {
		return true
	}
	if info.Size > maxKept-t.size {
		return false
	}
	var entries []*tree.Entry
	for e, err := range s.Tree(info.Digest, info.Size) {
		if err != nil {
			return false
		}
		entries = append(entries, e)
	}
	if t.kept == nil {
		t.kept = map[digest.Digest][]*tree.Entry{}
	}
	t.kept[info.Digest], t.size = entries, t.size+info.Size
	return true
}

// forget gives the memory back: what is kept for later must not be in the way of what
// is fetched meanwhile.
func (t *trees) forget() { *t = trees{} }

// of gives the entries of a tree that a store has; t may be nil.
func (t *trees) of(s *store.Store, info tree.Info) iter.Seq2[*tree.Entry, error] {
	if t == nil || t.kept[info.Digest] == nil {
		return s.Tree(info.Digest, info.Size)
	}
	entries := t.kept[info.Digest]
	return func(yield func(*tree.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

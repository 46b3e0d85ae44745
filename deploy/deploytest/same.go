package deploytest

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"testing"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/tree"
)

func numbered(i int) tree.Path { return tree.Path(fmt.Sprintf("/%02d", i)) }

var errCut = errors.New("the tree breaks off")

// cut gives the first n entries of a tree and then an error.
func cut(entries func() iter.Seq2[*tree.Entry, error], n int) func() iter.Seq2[*tree.Entry, error] {
	return func() iter.Seq2[*tree.Entry, error] {
		return func(yield func(*tree.Entry, error) bool) {
			left := n
			for e, err := range entries() {
				if left--; left < 0 {
					yield(nil, errCut)
					return
				}
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

// problems gives all that is different in a view from a tree.
func problems(t *testing.T, view *deploy.View, spec deploy.Spec) []deploy.Difference {
	t.Helper()
	found, err := examine(t, view, spec)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// same fails the test unless the view shows the tree.
func same(t *testing.T, view *deploy.View, spec deploy.Spec) {
	t.Helper()
	for _, d := range problems(t, view, spec) {
		t.Errorf("%q %s", d.Path, d.Problem)
	}
}

// normal takes away from a tree what the contract lets a form change.
func normal(entries iter.Seq2[*tree.Entry, error]) iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		first := map[string]*tree.Entry{}
		for e, err := range entries {
			if err != nil {
				yield(nil, err)
				return
			}
			if uid, gid := uint32(os.Getuid()), uint32(os.Getgid()); uid != 0 && e.UID == uid && e.GID == gid {
				own := *e
				own.UID, own.GID = 0, 0
				e = &own
			}
			if e.Kind == tree.Hardlink {
				same := *first[e.Target]
				same.Path = e.Path
				e = &same
			} else if e.Kind == tree.Regular {
				e.Mode &^= 0o222
				e.Nlink = 1
				first[string(e.Path)] = e
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

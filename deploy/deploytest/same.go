package deploytest

import (
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/internal/beneath"
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

// problems gives all that Compare finds in a folder.
func problems(t *testing.T, dir string, spec deploy.Spec) (all []deploy.Difference) {
	t.Helper()
	root, err := beneath.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for d, err := range deploy.Compare(t.Context(), root, spec.Tree(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// same fails the test unless the folder is the tree, by Compare and, so that its
// mistakes are not the suite's, by what publishing the folder would find.
func same(t *testing.T, dir string, spec deploy.Spec) {
	t.Helper()
	for _, d := range problems(t, dir, spec) {
		t.Errorf("%q %s", d.Path, d.Problem)
	}
	rules := tree.OSRules()
	rules.KeepTimes = true
	folder, err := tree.Folder(dir, rules)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	for c, err := range tree.Diff(normal(spec.Tree()), normal(tree.Hash(t.Context(), folder, 2))) {
		if err != nil {
			t.Fatal(err)
		}
		t.Errorf("%q: %+v instead of %+v", c.Path(), c.New, c.Old)
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

package deploy

import (
	"errors"
	"iter"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/tree"
)

// finding is what the walk hands on: an entry whose name is there, or a
// difference that needs no further look.
type finding struct {
	dir        *handle
	entry      *tree.Entry
	difference Difference
}

func (f finding) release() {
	if f.dir != nil {
		f.dir.release()
	}
}

// walker follows the tree through the folder.
type walker struct {
	yield  func(finding, error) bool
	open   []*level
	linked map[tree.Path]*tree.Entry // first names of files that have several
}

// level is a directory that is being walked.
type level struct {
	dir   *handle // nil if it is missing: all below it was reported with it
	path  tree.Path
	names []string // those not met yet, sorted
}

func walk(root *beneath.Dir, want iter.Seq2[*tree.Entry, error]) iter.Seq2[finding, error] {
	return func(yield func(finding, error) bool) {
		w := walker{yield: yield, linked: map[tree.Path]*tree.Entry{}}
		defer w.leave(0)
		for e, err := range want {
			if err != nil {
				yield(finding{}, err)
				return
			}
			if !w.step(root, e) {
				return
			}
		}
		w.finish(0)
	}
}

// step meets the next entry of the tree; false ends the walk.
func (w *walker) step(root *beneath.Dir, e *tree.Entry) bool {
	if e.Path == "/" {
		dir, err := root.OpenDir(".")
		return w.enter(dir, err, e, nil)
	}
	if !w.finish(depth(e.Path.Parent())) {
		return false
	}
	top := w.open[len(w.open)-1]
	if top.dir == nil {
		return w.pretend(e)
	}
	here, ok := w.meet(top, e.Path.Base())
	switch {
	case !ok:
		return false
	case !here:
		return w.differ(e.Path, "is missing") && w.pretend(e)
	case e.Kind != tree.Directory:
		return w.yield(finding{dir: top.dir.share(), entry: w.file(e)}, nil)
	}
	dir, err := top.dir.OpenDir(e.Path.Base())
	return w.enter(dir, err, e, top)
}

// file gives what is to be found under e's name: for a further name of a file,
// that file.
func (w *walker) file(e *tree.Entry) *tree.Entry {
	if e.Kind == tree.Regular && e.Nlink > 1 {
		w.linked[e.Path] = e
	}
	if first := w.linked[tree.Path(e.Target)]; e.Kind == tree.Hardlink && first != nil {
		file := *first
		file.Path = e.Path
		return &file
	}
	return e
}

// depth is the number of directories above what is in dir.
func depth(dir tree.Path) int {
	if dir == "/" {
		return 1
	}
	return 1 + strings.Count(string(dir), "/")
}

// enter goes on with a directory's entries.
func (w *walker) enter(dir *beneath.Dir, err error, e *tree.Entry, above *level) bool {
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return w.differ(e.Path, "is no directory") && w.pretend(e)
	}
	if problem := unreadable(err); problem != "" {
		return w.differ(e.Path, problem) && w.pretend(e)
	}
	if err != nil {
		return w.yield(finding{}, err)
	}
	h := newHandle(dir)
	names, err := dir.ReadDir(".")
	if err != nil {
		h.release()
		return w.yield(finding{}, err)
	}
	w.open = append(w.open, &level{h, e.Path, names})
	return w.yield(finding{dir: h.share(), entry: e}, nil)
}

// pretend enters a directory that is not there.
func (w *walker) pretend(e *tree.Entry) bool {
	if e.Kind == tree.Directory {
		w.open = append(w.open, &level{path: e.Path})
	}
	return true
}

// meet passes over the names before name, which are too many, and tells whether
// name is there.
func (w *walker) meet(l *level, name string) (here, ok bool) {
	for len(l.names) > 0 && l.names[0] < name {
		if !w.extra(l) {
			return false, false
		}
	}
	if len(l.names) == 0 || l.names[0] != name {
		return false, true
	}
	l.names = l.names[1:]
	return true, true
}

func (w *walker) extra(l *level) bool {
	name := l.names[0]
	l.names = l.names[1:]
	return w.differ(l.path.Join(name), "is not in the tree")
}

// finish leaves all levels below the first n; their names left over are too many.
func (w *walker) finish(n int) bool {
	for len(w.open) > n {
		top := w.open[len(w.open)-1]
		for len(top.names) > 0 {
			if !w.extra(top) {
				return false
			}
		}
		w.leave(len(w.open) - 1)
	}
	return true
}

func (w *walker) leave(n int) {
	for _, l := range w.open[n:] {
		if l.dir != nil {
			l.dir.release()
		}
	}
	w.open = w.open[:n]
}

func (w *walker) differ(p tree.Path, problem string) bool {
	return w.yield(finding{difference: Difference{p, problem}}, nil)
}

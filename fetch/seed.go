package fetch

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/pipeline"
	"github.com/larch-project/larch/store"
)

// seeds are local files that have contents which are wanted.
type seeds struct {
	folders []string
	files   []seedFile // by content
}

type seedFile struct {
	content, folder int32
	name            string
}

// Seed looks for what is missing in local folders. Files of a size that is wanted
// are read and named, on all cores; what is found will be copied, and checked
// again then. Links are not followed; what cannot be read is passed over, but it
// is an error if a folder itself cannot.
func (n *Need) Seed(ctx context.Context, dirs []string) error {
	sizes := n.sizes()
	if len(sizes) == 0 {
		return nil
	}
	for _, dir := range dirs {
		found := pipeline.Ordered(ctx, runtime.GOMAXPROCS(0), candidates(ctx, dir, sizes), n.nameSeed)
		for f, err := range found {
			if err != nil {
				return err
			}
			n.takeSeed(f)
		}
	}
	slices.SortFunc(n.seeds.files, func(a, b seedFile) int { return int(a.content) - int(b.content) })
	n.count()
	return nil
}

// sizes gives the sizes of what has to be fetched, sorted.
func (n *Need) sizes() []int64 {
	var sizes []int64
	for i := range n.contents.count {
		if n.contents.mark(i).byNetwork() {
			sizes = append(sizes, n.contents.size(i))
		}
	}
	slices.Sort(sizes)
	return slices.Compact(sizes)
}

// candidates gives the regular files below a folder that have one of these sizes.
func candidates(ctx context.Context, dir string, sizes []int64) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil && path == dir:
				return err
			case err != nil || !d.Type().IsRegular():
				return nil
			}
			info, err := d.Info()
			if err != nil {
				return nil
			}
			if _, wanted := slices.BinarySearch(sizes, info.Size()); wanted && !yield(path, nil) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield("", err)
		}
	}
}

// namedFile is a file and its content's number, -1 if nobody wants it.
type namedFile struct {
	path    string
	content int32
}

// nameSeed reads a file. An error in it is no error: the file is of no use.
func (n *Need) nameSeed(_ context.Context, path string) (namedFile, error) {
	useless := namedFile{path, -1}
	f, err := openSeed(path)
	if err != nil {
		return useless, nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return useless, nil
	}
	d, size, err := digest.Sum(io.LimitReader(f, info.Size()+1)) // it may be growing
	i := n.contents.find(d)
	if err != nil || i < 0 || n.contents.size(i) != size {
		return useless, nil
	}
	return namedFile{path, i}, nil
}

// takeSeed notes a file if its content is still to be fetched.
func (n *Need) takeSeed(f namedFile) {
	if f.content < 0 || !n.contents.mark(f.content).byNetwork() {
		return
	}
	*n.contents.mark(f.content) |= seeded
	s := &n.seeds
	folder, name := filepath.Split(f.path)
	if len(s.folders) == 0 || s.folders[len(s.folders)-1] != folder {
		s.folders = append(s.folders, folder)
	}
	s.files = append(s.files, seedFile{f.content, int32(len(s.folders) - 1), name})
}

// path gives the file that has a content.
func (s *seeds) path(content int32) string {
	i, _ := slices.BinarySearchFunc(s.files, content, func(f seedFile, n int32) int { return int(f.content) - int(n) })
	return s.folders[s.files[i].folder] + s.files[i].name
}

// openSeed opens a regular file; it never waits for a fifo.
func openSeed(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fs.ErrInvalid, err, f.Close())
	}
	return f, nil
}

// copySeed stores an object from a local file.
func copySeed(path string, o store.Object, to *store.Batch) error {
	f, err := openSeed(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := to.Create(o)
	if err != nil {
		return err
	}
	if err := w.CopyFrom(f); err != nil {
		w.Abort()
		return err
	}
	return w.Commit()
}

package fuse

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/pipeline"
	"github.com/larch-project/larch/tree"
)

// maker makes the leaves of an index's contents, for the file of that name.
type maker struct {
	site     deploy.Site
	lazy     bool // contents may be missing
	index    *index
	wanted   []*tree.Entry // for each content
	previous *leafFile     // of another deployment, or nil
}

// write makes all leaves, in the order of contents.
func (m *maker) write(ctx context.Context, to io.Writer) error {
	w := bufio.NewWriterSize(to, 1<<20)
	for leaves, err := range pipeline.Ordered(ctx, runtime.GOMAXPROCS(0), m.numbers(), m.leaves) {
		if err != nil {
			return err
		}
		if _, err := w.Write(leaves); err != nil {
			return err
		}
	}
	return w.Flush()
}

// numbers counts the contents.
func (m *maker) numbers() iter.Seq2[uint32, error] {
	return func(yield func(uint32, error) bool) {
		for i := range m.wanted {
			if !yield(uint32(i), nil) {
				return
			}
		}
	}
}

// leaves makes sure that a content is there, and gives the leaves that are kept of it:
// zeros if it is not and need not be.
func (m *maker) leaves(_ context.Context, i uint32) ([]byte, error) {
	c := m.index.content(i)
	switch err := present(m.site.Root, m.index.path(c), c); {
	case m.lazy && errors.Is(err, fs.ErrNotExist):
		return make([]byte, leavesSize(c.size())), nil
	case err != nil || leavesSize(c.size()) == 0:
		return nil, err
	}
	if m.previous != nil {
		if t, err := m.previous.find(c.digest(), c.size()); err == nil {
			return t.Leaves(), nil
		}
	}
	f, err := m.site.Content.Open(m.wanted[i])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := buildTree(f, c)
	if err != nil {
		return nil, err
	}
	return t.Leaves(), nil
}

// present makes sure that a content has a file of the right size.
func present(root *beneath.Dir, name string, c content) error {
	st, err := root.Lstat(name)
	if err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size != c.size()) {
		err = &digest.MismatchError{Want: c.digest(), WantSize: c.size(), HaveSize: st.Size}
	}
	return err
}

// buildTree hashes a whole content.
func buildTree(r io.Reader, c content) (*digest.Tree, error) {
	t, err := digest.BuildTree(io.LimitReader(r, c.size()+1))
	if err != nil {
		return nil, err
	}
	if have := t.Digest(); have != c.digest() {
		return nil, &digest.MismatchError{Want: c.digest(), Have: have, WantSize: c.size(), HaveSize: t.Size()}
	}
	return t, nil
}

// leafFile is the leaves of a deployment's contents.
type leafFile struct {
	index *index
	file  *os.File
	by    map[digest.Digest]uint32 // contents; nil before prepare
}

// openLeaves opens a deployment's index and its leaves.
func openLeaves(folder *beneath.Dir) (*leafFile, error) {
	x, err := readIndex(folder)
	if err != nil {
		return nil, err
	}
	f, err := folder.Open(leavesName)
	if err != nil {
		return nil, err
	}
	return &leafFile{index: x, file: f}, nil
}

func readIndex(folder *beneath.Dir) (*index, error) {
	data, err := folder.ReadFile(indexName, maxIndex)
	if err != nil {
		return nil, err
	}
	return parseIndex(data)
}

func (l *leafFile) close() { l.file.Close() }

// tree reads the tree of a content. Leaves that do not lead to its digest match
// digest.ErrMismatch.
func (l *leafFile) tree(c content) (*digest.Tree, error) {
	leaves := make([]byte, leavesSize(c.size()))
	if _, err := l.file.ReadAt(leaves, c.leavesAt()); err != nil {
		if err == io.EOF {
			err = &digest.MismatchError{Want: c.digest(), WantSize: c.size(), HaveSize: c.size()}
		}
		return nil, err
	}
	return digest.ParseTree(leaves, c.digest(), c.size())
}

// find is tree for a content that may be any of the index, once prepare was called.
func (l *leafFile) find(d digest.Digest, size int64) (*digest.Tree, error) {
	i, ok := l.by[d]
	if !ok || l.index.content(i).size() != size {
		return nil, fs.ErrNotExist
	}
	return l.tree(l.index.content(i))
}

// prepare makes find possible.
func (l *leafFile) prepare() {
	l.by = map[digest.Digest]uint32{}
	for i := range uint32(len(l.index.contents) / contentSize) {
		l.by[l.index.content(i).digest()] = i
	}
}

// blank makes sure that zeros stand for the leaves of a content.
func (l *leafFile) blank(c content) error {
	leaves := make([]byte, leavesSize(c.size()))
	_, err := l.file.ReadAt(leaves, c.leavesAt())
	if err == nil && len(bytes.TrimLeft(leaves, "\x00")) > 0 {
		err = fmt.Errorf("leaves of content %s: %w", c.digest().Short(), digest.ErrMismatch)
	}
	return err
}

// whole tells whether all leaves lead to their contents; those of contents that are
// not there need not, if lazy.
func (l *leafFile) whole(ctx context.Context, root *beneath.Dir, lazy bool) (bool, error) {
	for i := range uint32(len(l.index.contents) / contentSize) {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		c := l.index.content(i)
		switch err := present(root, l.index.path(c), c); {
		case lazy && errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return false, err
		}
		if leavesSize(c.size()) == 0 {
			continue
		}
		_, err := l.tree(c)
		if lazy && errors.Is(err, digest.ErrMismatch) {
			err = l.blank(c) // it has come since: the server makes them
		}
		if errors.Is(err, digest.ErrMismatch) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	return true, nil
}

package tarball

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/tree"
)

// ErrFormat is matched when a file is not an archive that can be read.
var ErrFormat = errors.New("not a tar archive that can be read")

// Source is an archive as a tree.Source. It is safe for concurrent use.
type Source struct {
	name  string
	file  *os.File // the archive, or its uncompressed copy
	size  int64    // bytes
	stamp stamp    // of file, when it was indexed
	rules tree.Rules
	index *index
}

// Open reads the headers of an archive, which is untrusted. Errors are a
// *tree.RuleError for what cannot be part of such a tree, match ErrFormat for
// anything that is no archive, or io.ErrUnexpectedEOF for one that was cut off.
// Close it after use.
func Open(path string, rules tree.Rules) (*Source, error) {
	s, err := open(path, rules)
	if err != nil {
		return nil, fmt.Errorf("reading the archive %s: %w", path, err)
	}
	return s, nil
}

func open(path string, rules tree.Rules) (s *Source, err error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // does not wait for a fifo's writer
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a regular file", ErrFormat)
	}
	plain, err := uncompressed(file)
	if err != nil {
		return nil, err
	}
	if plain != file {
		file.Close()
		file = plain
	}
	s = &Source{name: path, file: file, rules: rules}
	if s.stamp, s.size, err = look(file); err != nil {
		return nil, err
	}
	if s.index, err = readIndex(file, s.size, rules); err != nil {
		return nil, err
	}
	return s, nil
}

// Close releases the archive.
func (s *Source) Close() error { return s.file.Close() }

// Totals implements tree.Source.
func (s *Source) Totals(context.Context) (files, bytes int64, err error) {
	return s.index.files, s.index.bytes, nil
}

// Entries implements tree.Source.
func (s *Source) Entries(ctx context.Context) iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		if len(s.index.records) == 0 && !yield(madeDirectory("/"), nil) {
			return
		}
		last := tree.Path("")
		for i := range s.index.records {
			e, err := s.entry(ctx, i)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, dir := range missingParents(last, e.Path) {
				if !yield(madeDirectory(dir), nil) {
					return
				}
			}
			if !yield(e, nil) {
				return
			}
			last = e.Path
		}
	}
}

// entry reads the header of one name again.
func (s *Source) entry(ctx context.Context, i int) (*tree.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &s.index.records[i]
	path := r.path()
	h, _, err := readHeader(s.file, r.header, s.size)
	if err != nil {
		return nil, s.changed(path, err)
	}
	e, err := describe(path, h, s.rules)
	if err != nil {
		return nil, err
	}
	first := &s.index.records[r.first]
	if e.Kind == tree.Regular {
		e.Nlink = first.names
	}
	if int(r.first) != i {
		e.Kind, e.Target, e.Xattrs = tree.Hardlink, string(first.path()), nil
	}
	return e, nil
}

// changed says that the archive is not what it was when it was indexed.
func (s *Source) changed(p tree.Path, err error) error {
	return &tree.ChangedError{Path: p, Err: fmt.Errorf("the archive %s changed: %w", s.name, err)}
}

// Open implements tree.Source.
func (s *Source) Open(ctx context.Context, e *tree.Entry) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	i, found := s.index.find(e.Path)
	if !found {
		return nil, &fs.PathError{Op: "open", Path: s.name + ":" + string(e.Path), Err: fs.ErrNotExist}
	}
	r := &s.index.records[i]
	h, at, err := readHeader(s.file, r.header, s.size)
	if err != nil {
		return nil, s.changed(e.Path, err)
	}
	if !isRegular(h) {
		return nil, &fs.PathError{Op: "open", Path: s.name + ":" + string(e.Path), Err: errNotFile}
	}
	return &content{io.NewSectionReader(s.file, at, h.Size), s, e.Path}, nil
}

var errNotFile = errors.New("not a regular file")

// content is the content of one file in the archive.
type content struct {
	*io.SectionReader
	source *Source
	path   tree.Path
}

// Close implements io.Closer; it tells whether the archive is still the same.
func (c *content) Close() error {
	now, _, err := look(c.source.file)
	if err == nil && now != c.source.stamp {
		err = c.source.changed(c.path, errors.New("its size or time is another"))
	}
	return err
}

// stamp changes when a file does.
type stamp struct {
	size         int64
	mtime, ctime unix.Timespec
}

func look(f *os.File) (stamp, int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return stamp{}, 0, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return stamp{st.Size, st.Mtim, st.Ctim}, st.Size, nil
}

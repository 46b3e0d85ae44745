package tree

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Open implements Source. A file that is not the one that Entries described, or
// is not the same before and after it was read, is a *ChangedError.
func (s *FolderSource) Open(ctx context.Context, e *Entry) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if v := checkPath(e.Path); v != nil {
		return nil, v.at(0, e.Path)
	}
	name := string(e.Path[1:])
	before, seen := s.recent.find(e.Path)
	if !seen {
		var err error
		if before, err = s.look(name, e.Path); err != nil {
			return nil, err
		}
	}
	file, err := s.root.Open(name) // does not wait, should it have become a fifo
	if err != nil {
		return nil, changed(e.Path, err)
	}
	c := &content{file: file, path: e.Path, before: before}
	if err := c.check(); err != nil {
		file.Close()
		return nil, err
	}
	return c, nil
}

// look describes a file that Entries did not give lately; it is not opened unless
// it is a regular file.
func (s *FolderSource) look(name string, p Path) (state, error) {
	if p == "/" {
		name = "."
	}
	st, err := s.root.Lstat(name)
	if err != nil {
		return state{}, err
	}
	e, v := newEntry(p, &st)
	if v != nil {
		return state{}, v.at(0, p)
	}
	if e.Kind != Regular {
		return state{}, &fs.PathError{Op: "open", Path: s.root.Path() + string(p), Err: errNotFile}
	}
	return stateOf(&st), nil
}

var errNotFile = errors.New("not a regular file")

// content reads one file and finds changes meanwhile.
type content struct {
	file    *os.File
	path    Path
	before  state
	checked bool // at the end
}

// check compares the file with what it was before.
func (c *content) check() error {
	info, err := c.file.Stat()
	if err != nil {
		return err
	}
	now, ok := info.Sys().(*syscall.Stat_t)
	if !ok || now.Mode&unix.S_IFMT != unix.S_IFREG || stateOfOpen(now) != c.before {
		return &ChangedError{Path: c.path}
	}
	return nil
}

// Read implements io.Reader; its end says that the file was the same all along.
func (c *content) Read(p []byte) (int, error) {
	n, err := c.file.Read(p)
	if err == io.EOF && !c.checked {
		c.checked = true
		if changed := c.check(); changed != nil {
			return n, changed
		}
	}
	return n, err
}

// Close implements io.Closer. It checks too, where the end was not read.
func (c *content) Close() error {
	var err error
	if !c.checked {
		c.checked = true
		err = c.check()
	}
	return errors.Join(err, c.file.Close())
}

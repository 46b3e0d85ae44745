// Package file reads a repository that is a folder on this machine: a disk, a
// stick, a network mount, or the publisher's own folder.
//
// Only regular files strictly below the folder are read: symlinks are not
// followed, so whoever may write in the folder cannot point at anything else.
// There are no retries: what a disk refuses once it refuses again.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/transport"
)

// Transport reads files of one folder. It has to be closed.
type Transport struct{ dir *beneath.Dir }

var errNotRegular = errors.New("not a regular file")

// New opens a folder. A missing one is an error that matches fs.ErrNotExist.
func New(dir string) (*Transport, error) {
	d, err := beneath.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("opening repository: %w", err)
	}
	return &Transport{d}, nil
}

// Close releases the folder. Bodies that are open stay readable.
func (t *Transport) Close() error { return t.dir.Close() }

// Fetch implements transport.Transport. The validator is made of size, time of
// change and inode: it sees a file that was replaced, not one that was
// overwritten in place within one tick of the clock.
func (t *Transport) Fetch(ctx context.Context, req transport.Request) (*transport.Response, error) {
	if err := req.Check(); err != nil {
		return nil, err
	}
	res, err := t.open(ctx, req)
	if err != nil {
		return nil, t.fail(req.Name, err)
	}
	return res, nil
}

func (t *Transport) fail(name string, err error) error {
	return &transport.Error{Name: name, From: t.dir.Path(), Err: err}
}

func (t *Transport) open(ctx context.Context, req transport.Request) (*transport.Response, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := t.dir.Open(req.Name)
	if err != nil {
		return nil, cause(err)
	}
	res, err := t.respond(ctx, f, req)
	if err != nil || res.NotModified {
		f.Close()
	}
	return res, err
}

// respond makes the answer, which owns f unless it says NotModified.
func (t *Transport) respond(ctx context.Context, f *os.File, req transport.Request) (*transport.Response, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errNotRegular
	}
	res := &transport.Response{
		Offset:    req.Offset,
		Size:      st.Size,
		Validator: fmt.Sprintf(`"%x-%x.%x-%x"`, st.Size, st.Mtim.Sec, st.Mtim.Nsec, st.Ino),
	}
	if req.Validator == res.Validator {
		res.NotModified, res.Body = true, nothing{}
		return res, nil
	}
	if req.Offset > 0 && req.Offset >= st.Size {
		return nil, fmt.Errorf("%w: offset %d of %d", transport.ErrRange, req.Offset, st.Size)
	}
	end := st.Size
	if req.Length > 0 {
		end = min(end, req.End())
	}
	if _, err := f.Seek(req.Offset, io.SeekStart); err != nil {
		return nil, cause(err)
	}
	res.Body = &body{ctx: ctx, t: t, name: req.Name, file: f, left: end - req.Offset}
	return res, nil
}

// cause strips what transport.Error says already. A name below a file, or too long
// for a file system, is a missing one.
func cause(err error) error {
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ENAMETOOLONG) {
		return fs.ErrNotExist
	}
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		return pathErr.Err
	}
	return err
}

// body is a range of an open file.
type body struct {
	ctx  context.Context
	t    *Transport
	name string
	file *os.File
	left int64
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, b.t.fail(b.name, err)
	}
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.file.Read(p)
	b.left -= int64(n)
	switch {
	case err == io.EOF:
		return n, b.t.fail(b.name, fmt.Errorf("%w: it became shorter", transport.ErrChanged))
	case err != nil:
		return n, b.t.fail(b.name, cause(err))
	}
	return n, nil
}

func (b *body) Close() error { return b.file.Close() }

// nothing is the body of an answer without one.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }
func (nothing) Close() error             { return nil }

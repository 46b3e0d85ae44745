package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/pipeline"
)

// Source is something from which a tree can be made: a folder, an archive.
type Source interface {
	// Entries gives everything in canonical order, the root first. Contents are not
	// read yet: of regular files Digest is zero, Inline nil, Size what the source
	// declares. An error is the last thing that is given.
	Entries(ctx context.Context) iter.Seq2[*Entry, error]
	// Open reads the content of the regular file at e.Path; no other field of e
	// counts. If nothing has that name, the error matches fs.ErrNotExist. The last
	// Read, or Close, gives a *ChangedError if the content changed while it was
	// read. Open is safe for concurrent use.
	Open(ctx context.Context, e *Entry) (io.ReadCloser, error)
	// Totals gives the number of regular files, each counted once however many
	// names it has, and the sum of their sizes in bytes.
	Totals(ctx context.Context) (files, bytes int64, err error)
}

// ChangedError names a file or directory of a source that changed, or vanished,
// while it was read.
type ChangedError struct {
	Path Path
	Err  error // how it was noticed; may be nil
}

func (e *ChangedError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s changed while it was read: %v", e.Path.Quoted(), e.Err)
	}
	return fmt.Sprintf("%s changed while it was read", e.Path.Quoted())
}

// Unwrap gives what was noticed.
func (e *ChangedError) Unwrap() error { return e.Err }

// Hash reads the contents of a source, up to workers files at a time, and gives
// its entries in order with Digest and Inline filled in. Memory is bounded by
// the number of workers. A file whose content has not the size that its entry
// says is a *ChangedError.
func Hash(ctx context.Context, src Source, workers int) iter.Seq2[*Entry, error] {
	return pipeline.Ordered(ctx, workers, src.Entries(ctx), func(ctx context.Context, e *Entry) (*Entry, error) {
		if e.Kind != Regular {
			return e, nil
		}
		return e, fill(ctx, src, e)
	})
}

// fill reads the content of one file.
func fill(ctx context.Context, src Source, e *Entry) (err error) {
	content, err := src.Open(ctx, e)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := content.Close(); err == nil {
			err = closeErr
		}
	}()
	var n int64
	if e.Size > InlineMax {
		e.Digest, n, err = digest.Sum(content)
	} else {
		n, err = fillInline(e, content)
	}
	if err == nil && n != e.Size {
		return &ChangedError{Path: e.Path, Err: fmt.Errorf("it had %d bytes, then %d", e.Size, n)}
	}
	return err
}

// fillInline keeps a small content.
func fillInline(e *Entry, content io.Reader) (int64, error) {
	data := make([]byte, InlineMax+1)
	n, err := io.ReadFull(content, data)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return int64(n), err
	}
	e.Digest = digest.Of(data[:n])
	if n > 0 {
		e.Inline = data[:n:n]
	}
	return int64(n), nil
}

// Scan reads a folder and writes the text of its tree to w.
func Scan(ctx context.Context, dir string, rules Rules, w io.Writer) (info Info, err error) {
	folder, err := Folder(dir, rules)
	if err != nil {
		return Info{}, err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	enc := NewEncoder(w)
	for e, err := range Hash(ctx, folder, runtime.GOMAXPROCS(0)+1) {
		if err == nil {
			err = enc.Write(e)
		}
		if err != nil {
			return Info{}, fmt.Errorf("scanning %s: %w", dir, err)
		}
	}
	if err := enc.Close(); err != nil {
		return Info{}, fmt.Errorf("scanning %s: %w", dir, err)
	}
	return enc.Info(), nil
}

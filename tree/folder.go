package tree

import (
	"context"
	"io"
	"iter"
)

// FolderSource is a folder as a Source.
type FolderSource struct {
}

// Folder opens a folder.
func Folder(dir string, rules Rules) (*FolderSource, error) { return &FolderSource{}, nil }

func (s *FolderSource) Close() error                                               { return nil }
func (s *FolderSource) Entries(ctx context.Context) iter.Seq2[*Entry, error]       { return nil }
func (s *FolderSource) Open(ctx context.Context, e *Entry) (io.ReadCloser, error)  { return nil, nil }
func (s *FolderSource) Totals(ctx context.Context) (files, bytes int64, err error) { return 0, 0, nil }

package fuse

import (
	"context"
	"io"

	"github.com/larch-project/larch/digest"
)

// Source gives contents that the store does not have, to the server: by fetching what
// is asked for. When a content has come into the store, the store's is used.
type Source interface {
	// Open begins to read a content. ctx ends when the program that asks is killed, and
	// counts for Open alone.
	Open(ctx context.Context, c Content) (Reader, error)
}

// Content is what a Source is asked for.
type Content struct {
	Digest digest.Digest
	Size   int64 // bytes; more than tree.InlineMax
}

// Reader reads a content. ReadAt waits until the bytes are here and verified: the server
// hands them on as they are. An error, which is to come within the time that the Source
// documents, is EIO for the program. ReadAt may be called concurrently, and while Close
// is; pieces begin at multiples of digest.BlockSize, and end at one or at the content's
// end.
type Reader interface {
	io.ReaderAt
	io.Closer
}

package repo

import (
	"fmt"
	"io"
	"io/fs"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/tree"
)

// Stored gives the contents of one release, out of packs and unchecked, by its
// tree's entries. It is not for concurrent use.
type Stored struct {
	reader *ContentReader
	places map[digest.Digest]Location
}

// Stored opens the contents of a release: about 60 bytes of memory for each. Close
// it after use.
func (r *Repository) Stored(l Logged) (*Stored, error) {
	ix, err := r.Index(l.Digest, l.Release.Tree)
	if err != nil {
		return nil, err
	}
	s := &Stored{places: make(map[digest.Digest]Location, len(ix.Objects))}
	for o, err := range r.Located(ix, l.Release.Tree) {
		if err != nil {
			return nil, err
		}
		s.places[o.Digest] = o.Location
	}
	s.reader, err = r.Reader(ix)
	return s, err
}

// Open gives the content of a regular file of more than tree.InlineMax bytes, as a
// stream that is good until the next call. The caller checks it.
func (s *Stored) Open(e *tree.Entry) (io.ReadCloser, error) {
	at, found := s.places[e.Digest]
	if !found {
		return nil, fmt.Errorf("content %s: %w", e.Digest.Short(), fs.ErrNotExist)
	}
	return io.NopCloser(s.reader.Content(at, e.Size)), nil
}

// Close releases the reader.
func (s *Stored) Close() { s.reader.Close() }

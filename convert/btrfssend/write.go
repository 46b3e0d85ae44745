package btrfssend

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/tree"
)

// Subvolume is a tree that a stream makes, or starts from.
type Subvolume struct {
	Name string        // of the subvolume: one name of at most 255 bytes
	Tree digest.Digest // of the tree's text
	// Entries gives the tree in canonical order. It is called several times.
	Entries iter.Seq2[*tree.Entry, error]
	// Open gives the content of a regular file of more than tree.InlineMax bytes. It
	// is called for one file of a tree at a time, and what it gives is checked.
	Open func(e *tree.Entry) (io.ReadCloser, error)
}

// Options are choices for Write. The zero value is version 1 of the format.
type Options struct {
	Version uint32 // of the format: 1 or 2; 0 is 1
}

// ErrName is matched when a name cannot be that of a subvolume.
var ErrName = errors.New("not the name of a subvolume")

// UUIDOf gives the UUID that the subvolume of a tree has in streams:
// spec/12-btrfs-send.md §12.3.
func UUIDOf(t digest.Digest) (u UUID) {
	h := sha256.New()
	io.WriteString(h, "larch btrfs-send\x00")
	h.Write(t[:])
	copy(u[:], h.Sum(nil))
	u[6] = u[6]&0x0f | 0x80 // version 8 of RFC 9562: made as its maker pleases
	u[8] = u[8]&0x3f | 0x80
	return u
}

// ctransid is the generation that all subvolumes have in streams.
const ctransid = 1

// Write writes the stream that makes sub: of nothing, or, if parent is not nil, of
// a snapshot of parent. The same trees, names and version give the same bytes. A
// content that is not what the tree says matches digest.ErrMismatch; after any
// error what was written is no whole stream, and "btrfs receive" refuses it.
//
// The stream of a whole tree takes the same memory for any tree; one of changes some
// hundred bytes for each name that changed.
func Write(ctx context.Context, w io.Writer, sub Subvolume, parent *Subvolume, opt Options) error {
	if opt.Version == 0 {
		opt.Version = 1
	}
	if opt.Version > 2 {
		return fmt.Errorf("version %d of the format is not written", opt.Version)
	}
	if err := tree.Path("/" + sub.Name).Check(); err != nil || tree.Path("/"+sub.Name).Parent() != "/" || sub.Name == "" {
		return fmt.Errorf("%q: %w", sub.Name, ErrName)
	}
	s := &streamer{encoder: newEncoder(w, opt.Version), ctx: ctx, sub: sub, chunk: make([]byte, dataSize(opt.Version))}
	var err error
	if parent == nil {
		err = s.full()
	} else {
		s.parent, s.oldChunk = *parent, make([]byte, dataSize(opt.Version))
		err = s.changes()
	}
	if err != nil {
		return fmt.Errorf("writing the stream of %s: %w", sub.Name, err)
	}
	s.begin(cmdEnd).end()
	return s.err
}

// streamer writes one stream.
type streamer struct {
	*encoder
	ctx             context.Context
	sub, parent     Subvolume
	chunk, oldChunk []byte
}

// full writes the stream that makes the tree of nothing. Times of directories come
// when all that is in them is there.
func (s *streamer) full() error {
	s.begin(cmdSubvol).text(attrPath, s.sub.Name).uuid(attrUUID, UUIDOf(s.sub.Tree)).number(attrCtransid, ctransid).end()
	var open []*tree.Entry
	leave := func(next tree.Path) {
		for n := len(open); n > 0 && (next == "" || !next.Within(open[n-1].Path)); n = len(open) {
			s.utimes(open[n-1].Path, open[n-1].Mtime)
			open = open[:n-1]
		}
	}
	for e, err := range s.sub.Entries {
		if err == nil {
			err = s.ctx.Err()
		}
		if err != nil {
			return err
		}
		leave(e.Path)
		if err := s.create(e); err != nil {
			return err
		}
		if e.Kind == tree.Directory {
			open = append(open, e)
		}
		if s.err != nil {
			return s.err
		}
	}
	leave("")
	return nil
}

// create makes what an entry says, but for the time of a directory.
func (s *streamer) create(e *tree.Entry) error {
	switch e.Kind {
	case tree.Hardlink:
		s.link(e.Path, tree.Path(e.Target))
		return nil
	case tree.Directory:
		if e.Path != "/" {
			s.make(cmdMkdir, e.Path).end()
		}
	case tree.Symlink:
		s.make(cmdSymlink, e.Path).text(attrPathLink, e.Target).end()
	default:
		s.make(cmdMkfile, e.Path).end()
		if err := s.content(e); err != nil {
			return fmt.Errorf("%q: %w", string(e.Path), err)
		}
	}
	s.attributes(e, nil, e.Kind == tree.Regular)
	if e.Kind != tree.Directory {
		s.utimes(e.Path, e.Mtime)
	}
	return nil
}

// content writes a new file. Pieces of zeros are left out: they are holes.
func (s *streamer) content(e *tree.Entry) error {
	r, err := contentOf(s.sub, e)
	if err != nil {
		return err
	}
	defer r.Close()
	for offset := int64(0); s.err == nil; {
		n, err := readChunk(r, s.chunk)
		if err != nil {
			return err
		}
		if n > 0 && !zero(s.chunk[:n]) {
			s.writeData(e.Path, offset, s.chunk[:n])
		}
		if offset += int64(n); n < len(s.chunk) {
			break
		}
		if err := s.ctx.Err(); err != nil {
			return err
		}
	}
	s.truncate(e.Path, e.Size)
	return s.err
}

// readChunk fills p, or gives less at the end of r and there alone.
func readChunk(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = r.Read(p[n:])
		n += more
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// contentOf opens a content, checked by its end.
func contentOf(sub Subvolume, e *tree.Entry) (io.ReadCloser, error) {
	if !e.External() {
		return io.NopCloser(bytes.NewReader(e.Inline)), nil
	}
	r, err := sub.Open(e)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{digest.NewReader(r, e.Digest, e.Size), r}, nil
}

// zeros is compared with.
var zeros [4096]byte

func zero(p []byte) bool {
	for len(p) > 0 {
		n := min(len(p), len(zeros))
		if !bytes.Equal(p[:n], zeros[:n]) {
			return false
		}
		p = p[n:]
	}
	return true
}

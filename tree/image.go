package tree

import (
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/erofs"
)

// Image lays out the composefs image of a tree, in format version 1; see
// spec/3-release.md §3.5. It needs some 500 bytes of memory for each entry.
// An image of more than 2 GiB matches erofs.ErrTooLarge.
func Image(entries iter.Seq2[*Entry, error]) (*erofs.Image, error) {
	b := erofs.NewBuilder()
	var n erofs.Node
	for e, err := range entries {
		if err != nil {
			return nil, err
		}
		e.node(&n)
		if err := b.Add(&n); err != nil {
			return nil, fmt.Errorf("composefs image: %w", err)
		}
	}
	return b.Finish(erofs.Larch)
}

// ImageDigest gives the digest of a tree's image; zero if it can have none.
func ImageDigest(entries iter.Seq2[*Entry, error]) (digest.Digest, error) {
	img, err := Image(entries)
	if errors.Is(err, erofs.ErrTooLarge) {
		return digest.Digest{}, nil
	}
	if err != nil {
		return digest.Digest{}, err
	}
	return WriteImage(io.Discard, img)
}

// WriteImage writes an image, and gives its digest.
func WriteImage(w io.Writer, img *erofs.Image) (digest.Digest, error) {
	var h digest.Hasher
	if _, err := img.WriteTo(io.MultiWriter(w, &h)); err != nil {
		return digest.Digest{}, err
	}
	return h.Digest(), nil
}

// node says what e is as an image has it.
func (e *Entry) node(n *erofs.Node) {
	*n = erofs.Node{
		Path: string(e.Path), Mode: e.Mode, Nlink: e.Nlink, UID: e.UID, GID: e.GID,
		Sec: e.Mtime.Sec, Nsec: e.Mtime.Nsec, Xattrs: n.Xattrs[:0],
	}
	for _, x := range e.Xattrs {
		n.Xattrs = append(n.Xattrs, erofs.Xattr{Name: x.Name, Value: x.Value})
	}
	switch e.Kind {
	case Directory:
		n.Mode |= typeDirectory
	case Symlink:
		n.Mode |= typeSymlink
		n.Target = e.Target
	case Hardlink:
		n.Link = e.Target
	case Regular:
		n.Mode |= typeRegular
		n.Size, n.Digest, n.Measured = uint64(e.Size), e.Digest, true
		if n.Content = e.Inline; n.Content == nil && e.Size > 0 {
			name := e.Digest.String()
			n.Object = name[:2] + "/" + name[2:]
		}
	}
}

package composefs

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/inode"
	"github.com/larch-project/larch/internal/verity"
	"github.com/larch-project/larch/tree"
)

// errLinks means that links are missing or lead elsewhere.
var errLinks = errors.New("links to contents are missing")

// maker makes an image, and the links that it needs.
type maker struct {
	look  *deploy.Look
	links *beneath.Dir
	there bool // the links are there: they are looked at, not made

	linked map[digest.Digest]bool
	sample deploy.Sample
}

// image lays the image out, and writes it below aside unless that is nil.
func (m *maker) image(ctx context.Context, entries iter.Seq2[*tree.Entry, error], aside *beneath.Dir) (n note, err error) {
	m.linked = map[digest.Digest]bool{}
	img, err := tree.Image(m.take(ctx, entries))
	if err != nil {
		return n, err
	}
	n.Size = img.Size()
	n.Sample = m.sample
	if aside == nil {
		n.Image, err = tree.WriteImage(io.Discard, img)
		return n, err
	}
	f, err := aside.Create(imageName, 0o644)
	if err != nil {
		return n, err
	}
	if err = aside.Change("write", imageName); err == nil {
		n.Image, err = tree.WriteImage(f, img)
	}
	if err == nil {
		err = f.Chmod(0o444)
	}
	if err != nil {
		f.Close()
		return n, err
	}
	return n, seal(f)
}

// seal closes the image, and has the kernel answer for it where it can.
func seal(f *os.File) error {
	sealed, _, err := verity.Enable(f)
	if errors.Is(err, verity.ErrUnsupported) {
		return f.Close()
	}
	if err != nil {
		return err
	}
	return sealed.Close()
}

// take passes entries on whose contents are where the image will look for them, and
// remembers the smallest.
func (m *maker) take(ctx context.Context, entries iter.Seq2[*tree.Entry, error]) iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		for e, err := range entries {
			if err == nil && ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			if err == nil && e.External() {
				err = m.content(e)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

func (m *maker) content(e *tree.Entry) error {
	name, err := m.look.At(e)
	if err != nil {
		return err
	}
	m.sample.Consider(e, name)
	if !e.Executable() || m.linked[e.Digest] {
		return nil
	}
	m.linked[e.Digest] = true
	text := e.Digest.String()
	folder, link := text[:2], text[:2]+"/"+text[2:]
	if m.there {
		return m.check(name, link)
	}
	if err := m.links.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	err = m.look.Site.Content.Link(e, m.links, link)
	if errors.Is(err, unix.EMLINK) {
		err = m.copy(e, link)
	}
	return err
}

// check tells whether a link leads to the content.
func (m *maker) check(name, link string) error {
	want, err := m.look.Site.Root.Lstat(name)
	if err != nil {
		return err
	}
	if have, err := m.links.Lstat(link); err != nil || have.Dev != want.Dev || have.Ino != want.Ino {
		return errLinks
	}
	return nil
}

// copy makes a file of its own of a content that can have no more names.
func (m *maker) copy(e *tree.Entry, link string) error {
	from, err := m.look.Site.Content.Open(e)
	if err != nil {
		return err
	}
	defer from.Close()
	f, err := m.links.Create(link, 0o444)
	if err != nil {
		return err
	}
	if err := inode.Copy(f, from, e.Size); err != nil {
		f.Close()
		return err
	}
	return seal(f)
}

package hardlink

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/inode"
	"github.com/larch-project/larch/tree"
)

// maker implements deploy.Maker: files are the store's own where they can be.
type maker struct{ content deploy.Content }

// Again implements deploy.Maker.
func (maker) Again(e *tree.Entry) bool { return linked(e) }

// File implements deploy.Maker.
func (m maker) File(dir *beneath.Dir, e *tree.Entry, name string) error {
	if linked(e) {
		err := m.content.Link(e, dir, name)
		if !errors.Is(err, unix.EMLINK) {
			return err
		}
	}
	return deploy.PlaceFile(m.content, dir, e, name, e.Mode&^0o222, inode.Copy)
}

// linked tells whether a file can be the store's own: the store's files belong
// to the installer, may be read by all, and are from 1970.
func linked(e *tree.Entry) bool {
	mode := e.Mode &^ 0o222
	return e.Size > tree.InlineMax && e.UID == 0 && e.GID == 0 && (mode == 0o444 || mode == 0o555) &&
		len(e.Xattrs) == 0 && e.Mtime == tree.Time{}
}

package btrfssend

import (
	"bytes"

	"github.com/larch-project/larch/tree"
)

// capability is the xattr that the kernel takes away when a file is written or
// given to somebody else.
const capability = "security.capability"

// privileged are the bits of a mode that it takes away then.
const privileged = 0o6000

// attributes gives an inode owner, mode and xattrs, in the order in which the kernel
// leaves them in place. old says what it has already; nil is a new one. written
// tells whether its content was written before this.
func (s *streamer) attributes(e, old *tree.Entry, written bool) {
	owned := old == nil || old.UID != e.UID || old.GID != e.GID
	if owned {
		s.chown(e.Path, e.UID, e.GID)
	}
	if e.Kind != tree.Symlink && (old == nil || old.Mode != e.Mode || (owned || written) && e.Mode&privileged != 0) {
		s.chmod(e.Path, e.Mode)
	}
	for _, x := range e.Xattrs {
		if old == nil || !has(old.Xattrs, x) || x.Name == capability && (owned || written) {
			s.setXattr(e.Path, x)
		}
	}
}

// removeXattrs takes away what only old has. It comes before anything by which the
// kernel could take one away itself.
func (s *streamer) removeXattrs(e, old *tree.Entry) {
	for _, x := range old.Xattrs {
		if find(e.Xattrs, x.Name) == nil {
			s.begin(cmdRemoveXattr).path(attrPath, e.Path).text(attrXattrName, x.Name).end()
		}
	}
}

func find(list []tree.Xattr, name string) *tree.Xattr {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

func has(list []tree.Xattr, x tree.Xattr) bool {
	have := find(list, x.Name)
	return have != nil && bytes.Equal(have.Value, x.Value)
}

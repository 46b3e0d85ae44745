package tree

import (
	"bytes"
	"slices"

	"github.com/larch-project/larch/digest"
)

// InlineMax is the size in bytes up to which the content of a regular file
// stands in the tree itself.
const InlineMax = 64

// Kind is what an entry is. The zero Kind is none of them.
type Kind uint8

// The kinds of entry. A tree has no devices, fifos or sockets.
const (
	Directory Kind = iota + 1
	Regular
	Symlink
	Hardlink // one more name of a regular file that comes before it
)

func (k Kind) String() string {
	switch k {
	case Directory:
		return "directory"
	case Regular:
		return "regular file"
	case Symlink:
		return "symlink"
	case Hardlink:
		return "hardlink"
	}
	return "unknown kind"
}

// Time is a time of modification, since 1970 in UTC.
type Time struct {
	Sec  int64  // seconds, 0 to MaxTime
	Nsec uint32 // nanoseconds, 0 to 999,999,999
}

// Xattr is one extended attribute.
type Xattr struct {
	Name  string // with its namespace: "user.mime_type"
	Value []byte // nil if empty
}

// Entry is one name in a tree and what it stands for. Which fields may differ
// from zero depends on Kind; an Encoder refuses the others (spec/2-tree.md).
type Entry struct {
	Path  Path
	Kind  Kind
	Mode  uint32 // permission bits 07777; of symlinks always 0777
	UID   uint32
	GID   uint32
	Size  int64  // bytes of content; of a symlink's target; of directories 0
	Nlink uint32 // how many names in this tree a regular file has; 1 for the other kinds
	Mtime Time

	Target string        // symlink: its text; hardlink: path of the file's first name
	Inline []byte        // content of a regular file of 1 to InlineMax bytes
	Digest digest.Digest // of the content of a regular file of any size; zero in what a Source gives
	Xattrs []Xattr       // sorted by name; a hardlink's stand at the first name
}

// Executable tells whether any of the run bits is set.
func (e *Entry) Executable() bool { return e.Mode&0o111 != 0 }

// External tells whether the content stands elsewhere than in the tree.
func (e *Entry) External() bool { return e.Kind == Regular && e.Size > InlineMax }

// equal tells whether two entries say the same, path included.
func (e *Entry) equal(o *Entry) bool {
	return e.Path == o.Path && e.sameInode(o) && e.Kind == o.Kind && e.Target == o.Target &&
		e.Digest == o.Digest && bytes.Equal(e.Inline, o.Inline) && slices.EqualFunc(e.Xattrs, o.Xattrs, sameXattr)
}

// sameInode compares what the names of one file have in common.
func (e *Entry) sameInode(o *Entry) bool {
	return e.Mode == o.Mode && e.UID == o.UID && e.GID == o.GID && e.Size == o.Size &&
		e.Nlink == o.Nlink && e.Mtime == o.Mtime
}

func sameXattr(a, b Xattr) bool { return a.Name == b.Name && bytes.Equal(a.Value, b.Value) }

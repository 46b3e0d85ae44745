package erofs

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/larch-project/larch/digest"
)

var (
	// ErrFormat is matched by every error about entries that make no tree, or a text
	// that is no dump.
	ErrFormat = errors.New("not a tree that an image can have")
	// ErrTooLarge is matched when an image would have more than MaxSize, or a file more
	// than an image can say.
	ErrTooLarge = errors.New("too large for an image")
)

// Limits of what an image can hold.
const (
	MaxSize    = 2 << 30 // bytes of an image
	MaxContent = 5000    // bytes of content in an image
	maxName    = 255
	maxTarget  = 4095
	maxXattrs  = 32767 // bytes of an inode's attributes, as upstream counts them:

	xattrGrowth = 7 // for each, beside its name and value
)

// Bits of modes.
const (
	typeBits  = 0o170000
	typeFifo  = 0o010000
	typeChar  = 0o020000
	typeDir   = 0o040000
	typeBlock = 0o060000
	typeFile  = 0o100000
	typeLink  = 0o120000
	typeSock  = 0o140000
)

// Node is one name of a tree and what it stands for.
type Node struct {
	Path  string // absolute
	Mode  uint32 // with the type, as st_mode
	Nlink uint32 // as it is to be shown; directories' are counted
	UID   uint32
	GID   uint32
	Rdev  uint32 // of devices, as st_rdev
	Size  uint64 // bytes, of regular files
	Sec   int64
	Nsec  uint32

	// Link, if not empty, makes the name one more of that file; of the rest only the
	// path counts.
	Link string
	// Target is the text of a symlink.
	Target string
	// Content, if not nil, is that of a regular file; otherwise it is elsewhere, unless
	// Size is 0.
	Content []byte
	// Object says where the content is that is elsewhere, below the folder of contents;
	// Digest what it measures, if Measured says that this is known.
	Object   string
	Digest   digest.Digest
	Measured bool
	Xattrs   []Xattr
}

// Xattr is an extended attribute.
type Xattr struct {
	Name  string
	Value []byte
}

// inode is a node as it is remembered.
type inode struct {
	parent int32
	target int32 // of a further name: the inode; -1 for what is one itself
	name   span  // in texts
	data   span  // in texts: content, a symlink's target, a further name's path
	xattrs span  // in lists

	size     uint64
	sec      int64
	nsec     uint32
	nlink    uint32
	uid, gid uint32
	rdev     uint32
	mode     uint16
	inside   bool // its content is in the image
	further  bool // one more name of another
	marked   bool // a directory that has the marks of a whiteout in it

	children span // in sorted

	// Of the layout:
	number uint32 // in the order of the image
	nid    uint32 // its place, in units of 32 bytes
	block  uint32 // of its first data block
	blocks uint32
	tail   uint32 // bytes behind the inode
}

// span is a part of one of the arenas.
type span struct{ at, n uint32 }

func (i *inode) kind() uint16 { return i.mode & typeBits }

// whiteout tells whether overlayfs takes it for a deleted file.
func (i *inode) whiteout() bool { return !i.further && i.kind() == typeChar && i.rdev == 0 }

// Builder takes the entries of a tree: the root first, parents before what is in them.
// It needs some 300 bytes of memory for each. An error makes it useless.
type Builder struct {
	nodes   []inode
	texts   []byte
	lists   []uint32 // numbers of pairs
	sorted  []int32  // children, by directory
	pairs   *pairs
	folders map[folderKey]int32
	recent  string // path of the directory that the last entry was in
	within  int32
}

type folderKey struct {
	parent int32
	name   string
}

// NewBuilder starts with nothing.
func NewBuilder() *Builder {
	return &Builder{pairs: newPairs(), folders: map[folderKey]int32{}}
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrFormat, fmt.Errorf(format, args...))
}

// Add takes the next entry; it keeps nothing of it. Input untrusted. Errors match
// ErrFormat or ErrTooLarge.
func (b *Builder) Add(n *Node) error {
	if int64(len(b.texts))+int64(len(b.pairs.values)) > MaxSize {
		return fmt.Errorf("%w: names and attributes of more than %d bytes", ErrTooLarge, int64(MaxSize))
	}
	i := inode{target: -1, mode: uint16(n.Mode), nlink: n.Nlink, uid: n.UID, gid: n.GID, size: n.Size, sec: n.Sec, nsec: n.Nsec}
	name, err := b.locate(n.Path, &i)
	if err != nil {
		return err
	}
	if n.Link != "" {
		if strings.TrimLeft(n.Link, "/") == strings.TrimLeft(n.Path, "/") {
			return bad("%q links to itself", n.Path)
		}
		if len(b.nodes) == 0 {
			return bad("the root is a link")
		}
		i.further, i.data = true, b.text(n.Link)
		b.insert(i, name)
		return nil
	}
	if err := n.check(); err != nil {
		return fmt.Errorf("%q: %w", n.Path, err)
	}
	if err := b.describe(&i, n); err != nil {
		return fmt.Errorf("%q: %w", n.Path, err)
	}
	if err := b.attributes(&i, n); err != nil {
		return fmt.Errorf("%q: %w", n.Path, err)
	}
	b.insert(i, name)
	return nil
}

// check looks at what is refused whatever the type.
func (n *Node) check() error {
	switch {
	case len(n.Object) > maxTarget:
		return bad("object with a path of %d bytes, limit %d", len(n.Object), maxTarget)
	case n.Content != nil && uint64(len(n.Content)) != n.Size:
		return bad("content of %d bytes in a file of %d", len(n.Content), n.Size)
	case len(n.Content) > MaxContent:
		return bad("content of %d bytes, limit %d", len(n.Content), MaxContent)
	}
	return nil
}

// describe takes what depends on the type.
func (b *Builder) describe(i *inode, n *Node) error {
	if len(b.nodes) == 0 && i.kind() != typeDir {
		return bad("the root must be a directory")
	}
	switch i.kind() {
	case typeDir:
		i.size = 0
	case typeLink:
		if len(n.Target) == 0 || len(n.Target) > maxTarget {
			return bad("symlink with a target of %d bytes", len(n.Target))
		}
		i.data, i.size = b.text(n.Target), uint64(len(n.Target))
	case typeFile:
		return b.file(i, n)
	case typeChar, typeBlock:
		i.rdev = n.Rdev
	case typeFifo, typeSock:
	default:
		return bad("mode %o has no type", n.Mode)
	}
	return nil
}

func (b *Builder) file(i *inode, n *Node) error {
	if n.Content == nil {
		if n.Size > 1<<53 { // upstream takes the very largest, whose chunks it counts with an overflow
			return fmt.Errorf("%w: file of %d bytes", ErrTooLarge, n.Size)
		}
		return nil
	}
	i.inside = len(n.Content) > 0
	i.data = b.text(string(n.Content))
	return nil
}

// attributes takes the attributes, and those by which overlayfs finds the content.
// Of two with one name the last counts; none before it may exceed the limit.
func (b *Builder) attributes(i *inode, n *Node) error {
	total := 12
	i.xattrs.at = uint32(len(b.lists))
	for _, x := range n.Xattrs {
		total += b.take(i, x)
		if len(x.Name) == 0 || len(x.Name) > maxName || total > maxXattrs {
			return bad("attribute %.40q: names have 1 to %d bytes, all attributes of a file at most %d", x.Name, maxName, maxXattrs)
		}
	}
	if i.kind() != typeFile || i.inside || i.size == 0 {
		return nil
	}
	var measure []byte
	if n.Measured {
		measure = append([]byte{0, 4 + digest.Size, 0, 1}, n.Digest[:]...)
	}
	b.set(i, metacopy, measure)
	if n.Object != "" {
		b.set(i, redirect, append([]byte{'/'}, n.Object...))
	}
	return nil
}

// take gives the inode that comes next an attribute of the source, and says by how much
// its attributes grow. It costs the same however many there are.
func (b *Builder) take(i *inode, x Xattr) (growth int) {
	name := x.Name
	if rest, ours := strings.CutPrefix(name, overlay); ours {
		name = escaped + rest
	}
	attribute := b.pairs.attribute(name)
	number := b.pairs.number(attribute, x.Value)
	a := &b.pairs.attributes[attribute]
	if a.inode == len(b.nodes)+1 {
		old := b.lists[a.at]
		b.lists[a.at] = number
		return len(x.Value) - int(b.pairs.list[old].size)
	}
	a.inode, a.at = len(b.nodes)+1, len(b.lists)
	b.lists = append(b.lists, number)
	i.xattrs.n++
	return xattrGrowth + len(x.Name) + len(x.Value)
}

// set gives an inode an attribute, in the place of one of that name, and says by how
// much its attributes grow. The inode's list is the last one.
func (b *Builder) set(i *inode, name string, value []byte) (growth int) {
	attribute := b.pairs.attribute(name)
	number := b.pairs.number(attribute, value)
	list := b.list(i)
	for k, have := range list {
		if b.pairs.list[have].attribute == attribute {
			list[k] = number
			return len(value) - int(b.pairs.list[have].size)
		}
	}
	b.lists = append(b.lists, number)
	i.xattrs.n++
	return xattrGrowth + len(name) + len(value)
}

func (b *Builder) list(i *inode) []uint32 { return b.lists[i.xattrs.at:][:i.xattrs.n] }

// change is set for an inode whose list is somewhere.
func (b *Builder) change(i *inode, name string, value []byte) (growth int) {
	old := b.list(i)
	if int(i.xattrs.at+i.xattrs.n) != len(b.lists) {
		i.xattrs.at = uint32(len(b.lists))
		b.lists = append(b.lists, old...)
	}
	return b.set(i, name, value)
}

func (b *Builder) text(s string) span {
	at := len(b.texts)
	b.texts = append(b.texts, s...)
	return span{uint32(at), uint32(len(s))}
}

func (b *Builder) bytes(s span) []byte { return b.texts[s.at:][:s.n] }

// locate finds the directory that an entry is in, and its name there.
func (b *Builder) locate(path string, i *inode) (name string, err error) {
	if path == "" {
		return "", bad("no path")
	}
	trimmed := strings.TrimLeft(path, "/")
	switch {
	case len(b.nodes) == 0 && path == "/":
		return "", nil
	case len(b.nodes) == 0:
		return "", bad("%q comes before the root", path)
	case trimmed == "":
		return "", bad("a second root")
	case len(b.nodes) == math.MaxInt32:
		return "", fmt.Errorf("%w: more than %d names", ErrTooLarge, math.MaxInt32)
	}
	cut := strings.LastIndexByte(path, '/') + 1
	dir, name := path[:cut], path[cut:]
	switch {
	case len(name) > maxName:
		return "", bad("name %.40q... of %d bytes, limit %d", name, len(name), maxName)
	case name == "" || name == "." || name == ".." || strings.IndexByte(name, 0) >= 0:
		return "", bad("%q: not a name", path)
	}
	if dir != b.recent || dir == "" {
		if b.within, err = b.folder(dir); err != nil {
			return "", err
		}
		b.recent = strings.Clone(dir)
	}
	i.parent = b.within
	return name, nil
}

// folder finds a directory that was added.
func (b *Builder) folder(path string) (at int32, err error) {
	for part := range strings.SplitSeq(path, "/") {
		if part == "" {
			continue
		}
		next, ok := b.folders[folderKey{at, part}]
		if !ok {
			return 0, bad("directory %q is not before what is in it", path)
		}
		at = next
	}
	return at, nil
}

func (b *Builder) insert(i inode, name string) {
	i.name = b.text(name)
	if len(b.nodes) > 0 && !i.further && i.kind() == typeDir {
		b.folders[folderKey{i.parent, strings.Clone(name)}] = int32(len(b.nodes))
	}
	b.nodes = append(b.nodes, i)
}

package fuse

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/tree"
)

const (
	// forever is how long the kernel may keep what it was told of a tree, in seconds: a
	// tree never changes.
	forever = 1 << 32
	// shortly is how long it may keep what it was told of the root, where deployments
	// come and go: a lookup a second.
	shortly = 1

	rootID   = gofuse.FUSE_ROOT_ID
	rootMode = unix.S_IFDIR | 0o755
)

// files answers the kernel's questions. Whatever would change something has no answer
// here: the mount is read-only, and the kernel says so itself.
type files struct {
	gofuse.RawFileSystem // for all other questions: ENOSYS, which the kernel remembers

	nodes *nodes
	ahead *ahead
	opens *opens   // nil if the kernel is not to tell of them
	loans sync.Map // *loan by the number of the request that it answers
	log   *logFile
	tell  func(name string) error // makes the kernel forget a deployment's name
}

// OpenDir says that nothing needs to be opened: from then on the kernel opens
// directories without asking, and keeps their pages.
func (*files) OpenDir(<-chan struct{}, *gofuse.OpenIn, *gofuse.OpenOut) gofuse.Status {
	return gofuse.ENOSYS
}

// Flush says that there is nothing to do when a file is closed.
func (*files) Flush(<-chan struct{}, *gofuse.FlushIn) gofuse.Status { return gofuse.ENOSYS }

// Access says that the kernel checks permissions by itself.
func (*files) Access(<-chan struct{}, *gofuse.AccessIn) gofuse.Status { return gofuse.ENOSYS }

// Lookup finds a name in a directory.
func (f *files) Lookup(_ <-chan struct{}, in *gofuse.InHeader, name string, out *gofuse.EntryOut) gofuse.Status {
	if in.NodeId == rootID {
		return f.lookupDeployment(name, out)
	}
	s, ok := f.nodes.find(in.NodeId)
	if !ok {
		return gofuse.Status(unix.ESTALE)
	}
	if s.r.kind() != tree.Directory {
		return gofuse.ENOTDIR
	}
	i, ok := s.index.child(s.r, name)
	if !ok {
		out.EntryValid = forever // no node: the kernel remembers that there is none
		return gofuse.OK
	}
	f.give(s.deployment, i, out)
	return gofuse.OK
}

func (f *files) lookupDeployment(name string, out *gofuse.EntryOut) gofuse.Status {
	if strings.Contains(name, ".") {
		return gofuse.ENOENT // no deployment has such a name
	}
	d, err := f.nodes.show(name)
	if errors.Is(err, fs.ErrNotExist) {
		return gofuse.ENOENT
	} else if err != nil {
		return gofuse.EIO
	}
	f.nodes.watch(d)
	f.give(d, 0, out)
	out.EntryValid = shortly
	return gofuse.OK
}

// give hands a node to the kernel.
func (f *files) give(d *deployment, i uint32, out *gofuse.EntryOut) {
	out.NodeId = d.idOf(i)
	out.EntryValid, out.AttrValid = forever, forever
	fillAttr(d, i, &out.Attr)
	f.nodes.give(out.NodeId)
}

// Forget notes that the kernel has forgotten a node.
func (f *files) Forget(id, times uint64) { f.nodes.forget(id, times) }

// GetAttr describes a node.
func (f *files) GetAttr(_ <-chan struct{}, in *gofuse.GetAttrIn, out *gofuse.AttrOut) gofuse.Status {
	if in.NodeId == rootID {
		out.AttrValid = shortly
		return f.rootAttr(&out.Attr)
	}
	s, ok := f.nodes.find(in.NodeId)
	if !ok {
		return gofuse.Status(unix.ESTALE)
	}
	out.AttrValid = forever
	fillAttr(s.deployment, s.i, &out.Attr)
	return gofuse.OK
}

// rootAttr describes the mount's root: it changes when deployments do.
func (f *files) rootAttr(out *gofuse.Attr) gofuse.Status {
	st, err := f.nodes.root.Lstat("deployments")
	if errors.Is(err, fs.ErrNotExist) {
		st, err = f.nodes.root.Lstat(".")
	}
	if err != nil {
		return gofuse.ToStatus(err)
	}
	out.Ino, out.Mode, out.Nlink, out.Blksize = rootID, rootMode, 2, 4096
	out.Uid, out.Gid = st.Uid, st.Gid
	out.Mtime, out.Mtimensec = uint64(st.Mtim.Sec), uint32(st.Mtim.Nsec)
	out.Ctime, out.Ctimensec = uint64(st.Ctim.Sec), uint32(st.Ctim.Nsec)
	return gofuse.OK
}

// fillAttr describes a record. The time of the last change of the inode is that of its
// content: there is no other.
func fillAttr(d *deployment, i uint32, out *gofuse.Attr) {
	r := d.index.record(i)
	size := uint64(d.index.size(r))
	*out = gofuse.Attr{
		Ino: d.idOf(i), Size: size, Blocks: (size + 511) / 512, Blksize: 4096,
		Mtime: r.sec(), Mtimensec: r.nsec(), Atime: r.sec(), Atimensec: r.nsec(), Ctime: r.sec(), Ctimensec: r.nsec(),
		Mode: r.mode(), Nlink: 1, Owner: gofuse.Owner{Uid: r.uid(), Gid: r.gid()},
	}
	if r.uid() == 0 && r.gid() == 0 {
		out.Owner = gofuse.Owner{Uid: d.owner.uid, Gid: d.owner.gid}
	}
}

// Readlink reads a symlink.
func (f *files) Readlink(_ <-chan struct{}, in *gofuse.InHeader) ([]byte, gofuse.Status) {
	s, ok := f.nodes.find(in.NodeId)
	if !ok {
		return nil, gofuse.Status(unix.ESTALE)
	}
	if s.r.kind() != tree.Symlink {
		return nil, gofuse.EINVAL
	}
	return s.index.text(s.r), gofuse.OK
}

// Read reads a piece of a file, into buf.
func (f *files) Read(cancel <-chan struct{}, in *gofuse.ReadIn, buf []byte) (gofuse.ReadResult, gofuse.Status) {
	s, ok := f.nodes.find(in.NodeId)
	if !ok {
		return nil, gofuse.Status(unix.ESTALE)
	}
	if s.r.kind() != tree.Regular {
		return nil, gofuse.EINVAL
	}
	size := s.index.size(s.r)
	offset := int64(min(in.Offset, uint64(size)))
	buf = buf[:min(int64(len(buf)), size-offset)]
	if s.r.inline() {
		copy(buf, s.index.text(s.r)[offset:])
	}
	if len(buf) == 0 || s.r.inline() {
		return inPlace(buf), gofuse.OK
	}
	c := s.index.content(s.r.a())
	f.nodes.noteRead(in.NodeId, c.digest())
	if l := f.ahead.lend(s.deployment, c, offset, int64(len(buf))); l != nil {
		f.loans.Store(in.Unique, l)
		return inPlace(buf), gofuse.OK
	}
	if err := f.ahead.blocks.read(cancel, s.deployment, c, offset, buf); err != nil {
		return nil, f.fail(s, c, err)
	}
	return inPlace(buf), gofuse.OK
}

// loan takes what Read has lent to answer a request, or nil: its bytes stand for those
// in the buffer.
func (f *files) loan(unique uint64) *loan {
	l, _ := f.loans.LoadAndDelete(unique)
	lent, _ := l.(*loan)
	return lent
}

// fail logs why a read is an error.
func (f *files) fail(s spot, c content, err error) gofuse.Status {
	name := s.name + string(s.index.pathOf(s.i))
	switch {
	case errors.Is(err, context.Canceled):
		return gofuse.EINTR
	case errors.Is(err, fs.ErrNotExist):
		f.log.printf("%s: content %s is missing: larch verify --repair fetches it", name, c.digest())
	case damaged(err):
		f.log.printf("%s: content %s: %v: larch verify --repair mends it", name, c.digest(), err)
	default:
		f.log.printf("%s: content %s: %v", name, c.digest(), err)
	}
	return gofuse.EIO
}

// inPlace is the result of a read whose bytes are where the answer wants them.
type inPlace []byte

func (r inPlace) Bytes([]byte) ([]byte, gofuse.Status) { return r, gofuse.OK }
func (r inPlace) Size() int                            { return len(r) }
func (inPlace) Done()                                  {}
func (r inPlace) Readv([][]byte) (int, gofuse.Status)  { return len(r), gofuse.OK }

// StatFs describes the file system that the contents are on.
func (f *files) StatFs(_ <-chan struct{}, _ *gofuse.InHeader, out *gofuse.StatfsOut) gofuse.Status {
	var st syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.nodes.root.File().Fd()), &st); err != nil {
		return gofuse.ToStatus(err)
	}
	out.FromStatfsT(&st)
	out.Bsize, out.NameLen = 4096, tree.MaxName
	return gofuse.OK
}

// GetXAttr reads an attribute; of the root, it takes orders.
func (f *files) GetXAttr(_ <-chan struct{}, in *gofuse.InHeader, name string, to []byte) (uint32, gofuse.Status) {
	if in.NodeId == rootID {
		return 0, f.order(name)
	}
	s, ok := f.nodes.find(in.NodeId)
	if !ok {
		return 0, gofuse.Status(unix.ESTALE)
	}
	for have, value := range eachXattr(s.index.xattrs(s.r)) {
		if have == name {
			return give(to, value)
		}
	}
	return 0, gofuse.ENOATTR
}

// order forgets a deployment, if that is the order.
func (f *files) order(name string) gofuse.Status {
	text, ok := strings.CutPrefix(name, forgetOrder)
	k, err := parseKey(text)
	if !ok || err != nil {
		return gofuse.ENOATTR
	}
	if d := f.nodes.shownBy(k); d != nil {
		f.nodes.drop(d)
		if err := f.tell(d.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return gofuse.ToStatus(err)
		}
	}
	return gofuse.OK
}

// ListXAttr lists the names of attributes.
func (f *files) ListXAttr(_ <-chan struct{}, in *gofuse.InHeader, to []byte) (uint32, gofuse.Status) {
	s, ok := f.nodes.find(in.NodeId)
	if !ok && in.NodeId != rootID {
		return 0, gofuse.Status(unix.ESTALE)
	}
	var list []byte
	if ok {
		for name := range eachXattr(s.index.xattrs(s.r)) {
			list = append(append(list, name...), 0)
		}
	}
	return give(to, list)
}

// give copies a value, or says how long it is.
func give(to, value []byte) (uint32, gofuse.Status) {
	if len(to) < len(value) {
		return uint32(len(value)), gofuse.ERANGE
	}
	return uint32(copy(to, value)), gofuse.OK
}

// names gives the deployments that the root shows.
func (f *files) names() ([]string, error) {
	all, err := deploy.List(f.nodes.root)
	var names []string
	for _, d := range all {
		if d.Backend == named(d.Name).Backend {
			names = append(names, d.Name)
		}
	}
	return names, err
}

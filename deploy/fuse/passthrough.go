package fuse

import (
	"os"
	"unsafe"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/verity"
	"github.com/larch-project/larch/tree"
)

// backedMean is from which mean size of contents on it pays that the kernel tells of
// opens, in bytes: see doc.go.
const backedMean = 1 << 20

// Open gives the kernel the object of a file, or says that nothing needs to be opened:
// from then on the kernel opens files without asking, and keeps their pages.
func (f *files) Open(_ <-chan struct{}, in *gofuse.OpenIn, out *gofuse.OpenOut) gofuse.Status {
	s, ok := f.nodes.find(in.NodeId)
	if !ok {
		return gofuse.Status(unix.ESTALE)
	}
	if !f.opens.told(func() bool { return f.backs(s.deployment) }) {
		return gofuse.ENOSYS
	}
	out.OpenFlags = gofuse.FOPEN_KEEP_CACHE
	if s.r.kind() != tree.Regular || s.r.inline() {
		return gofuse.OK
	}
	c := s.index.content(s.r.a())
	backing, err := f.opens.begin(in.NodeId, func() *os.File { return f.sealed(s.index.path(c), c.digest()) })
	if err != nil {
		return gofuse.ToStatus(err)
	}
	out.Fh = isNoted
	if backing != 0 {
		f.nodes.noteRead(in.NodeId, c.digest())
		out.OpenFlags, out.BackingID = gofuse.FOPEN_PASSTHROUGH, backing
	}
	return gofuse.OK
}

// isNoted is the handle of files that stand in the table.
const isNoted = 1

// Release notes that a file was closed.
func (f *files) Release(_ <-chan struct{}, in *gofuse.ReleaseIn) {
	if in.Fh == isNoted && in.Unique&takenOver == 0 {
		f.opens.end(in.NodeId)
	}
}

// sealed opens an object if fs-verity says that it is what its name says, as it is now:
// not as it was when the server opened it last.
func (f *files) sealed(name string, want digest.Digest) *os.File {
	o, err := f.nodes.root.Open(name)
	if err != nil {
		return nil
	}
	if have, err := verity.Measure(o); err != nil || have != want {
		o.Close()
		return nil
	}
	return o
}

// backs tells whether files are to be opened so that the kernel reads the objects: where
// it lets this process have it so, and contents are so large that it pays.
func (f *files) backs(d *deployment) bool {
	if len(d.index.contents) == 0 || f.nodes.meanSize() < backedMean {
		return false
	}
	c := d.index.content(0)
	o := f.sealed(d.index.path(c), c.digest())
	if o == nil {
		return false
	}
	defer o.Close()
	backing, err := f.opens.backer.register(o)
	return err == nil && f.opens.backer.unregister(backing) == nil
}

// meanSize is that of the contents of all deployments that are shown.
func (n *nodes) meanSize() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	var count, size int64
	for _, d := range n.byName {
		for i := range uint32(len(d.index.contents) / contentSize) {
			count, size = count+1, size+d.index.content(i).size()
		}
	}
	return size / max(count, 1)
}

// device is a connection to the kernel.
type device int

// register has the kernel keep an object open. It fails where the kernel has no
// passthrough (Linux 6.9), and for ordinary users.
func (d device) register(f *os.File) (backing int32, err error) {
	const backingOpen = 0x4010e501 // FUSE_DEV_IOC_BACKING_OPEN
	return d.ioctl(backingOpen, unsafe.Pointer(&gofuse.BackingMap{Fd: int32(f.Fd())}))
}

func (d device) unregister(backing int32) error {
	const backingClose = 0x4004e502 // FUSE_DEV_IOC_BACKING_CLOSE
	_, err := d.ioctl(backingClose, unsafe.Pointer(&backing))
	return err
}

func (d device) ioctl(request uintptr, arg unsafe.Pointer) (int32, error) {
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(d), request, uintptr(arg))
	if errno != 0 {
		return 0, os.NewSyscallError("ioctl", errno)
	}
	return int32(n), nil
}

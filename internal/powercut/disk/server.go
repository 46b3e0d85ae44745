package disk

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// childName is what a process is called that serves a device. It is a process of its
// own: one that waits for a disk that it serves itself could not be killed.
const childName = "larch-disk"

// Child does nothing in most processes. In those that Open has made it serves a device,
// and does not return.
func Child() {
	if len(os.Args) != 5 || os.Args[0] != childName {
		return
	}
	if err := serve(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, childName+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve serves an image at a folder, and says on standard output when it does.
func serve(image, folder, log, control string) error {
	content := &file{}
	if err := content.load(image); err != nil {
		return err
	}
	var err error
	if content.journal, err = openJournal(log); err != nil {
		return err
	}
	if content.faults, err = mapFaults(control); err != nil {
		return err
	}
	options := &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, MaxWrite: 1 << 20, FsName: childName}}
	server, err := fs.Mount(folder, &root{file: content}, options)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	server.Wait() // until it is unmounted
	return nil
}

const fileName = "disk"

type root struct {
	fs.Inode
	file *file
}

func (r *root) OnAdd(ctx context.Context) {
	r.AddChild(fileName, r.NewPersistentInode(ctx, r.file, fs.StableAttr{Mode: syscall.S_IFREG}), false)
}

// file is the content of a device.
type file struct {
	fs.Inode
	journal journal
	faults  *faults
	mu      sync.RWMutex
	bytes   []byte
}

var (
	_ fs.NodeGetattrer = (*file)(nil)
	_ fs.NodeSetattrer = (*file)(nil)
	_ fs.NodeOpener    = (*file)(nil)
	_ fs.NodeReader    = (*file)(nil)
	_ fs.NodeWriter    = (*file)(nil)
	_ fs.NodeFsyncer   = (*file)(nil)
)

// load reads an image, skipping its holes.
func (f *file) load(image string) error {
	src, err := os.Open(image)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	f.bytes = make([]byte, info.Size())
	return extents(src, func(from, to int64) error {
		_, err := src.ReadAt(f.bytes[from:to], from)
		return err
	})
}

func (f *file) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size, out.Blksize = syscall.S_IFREG|0o600, uint64(len(f.bytes)), Block
	return 0
}

func (f *file) Setattr(ctx context.Context, h fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return f.Getattr(ctx, h, out)
}

func (f *file) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

func (f *file) Read(_ context.Context, _ fs.FileHandle, p []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	if err := f.faults.hit(OpRead); err != 0 {
		return nil, err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	if offset >= int64(len(f.bytes)) {
		return fuse.ReadResultData(nil), 0
	}
	return fuse.ReadResultData(p[:copy(p, f.bytes[offset:])]), 0
}

func (f *file) Write(_ context.Context, _ fs.FileHandle, p []byte, offset int64) (uint32, syscall.Errno) {
	if err := f.faults.hit(OpWrite); err != 0 {
		return 0, err
	}
	if offset < 0 || offset+int64(len(p)) > int64(len(f.bytes)) {
		return 0, syscall.ENOSPC
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	copy(f.bytes[offset:], p)
	if err := f.journal.add(Entry{Kind: Write, Offset: offset, Data: p}); err != nil {
		return 0, syscall.EIO
	}
	return uint32(len(p)), 0
}

func (f *file) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	if err := f.faults.hit(OpFlush); err != 0 {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.journal.add(Entry{Kind: Flush}); err != nil {
		return syscall.EIO
	}
	return 0
}

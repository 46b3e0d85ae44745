package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Fault decides what becomes of a request: 0, or the error that it gets.
type Fault func(kind Op) syscall.Errno

// Op is a kind of request that can fail.
type Op int

const (
	OpRead Op = iota
	OpWrite
	OpFlush
)

// Device is a block device whose content is in memory. Its Log is safe to use while
// the device is.
type Device struct {
	Log

	folder  string // where the FUSE file system is
	server  *fuse.Server
	loop    *Loop
	fault   atomic.Pointer[Fault]
	content sync.RWMutex
	bytes   []byte // an anonymous mapping
}

// Open serves a device that begins as the image in a file, which is only read. folder
// is one that may be mounted over.
func Open(image, folder string) (*Device, error) {
	d := &Device{folder: folder}
	if err := d.load(image); err != nil {
		return nil, err
	}
	options := &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, MaxWrite: 1 << 20, FsName: "larch-disk"}}
	server, err := fs.Mount(folder, &root{device: d}, options)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("serving a disk: %w", err), unix.Munmap(d.bytes))
	}
	d.server = server
	if d.loop, err = Attach(filepath.Join(folder, fileName)); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// load reads an image, skipping its holes.
func (d *Device) load(image string) error {
	f, err := os.Open(image)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	d.bytes, err = unix.Mmap(-1, 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("memory for a disk: %w", err)
	}
	return extents(f, func(from, to int64) error {
		_, err := f.ReadAt(d.bytes[from:to], from)
		return err
	})
}

// Path is the block device's.
func (d *Device) Path() string { return d.loop.Path() }

// SetFault makes requests fail from now on, or, without one, succeed.
func (d *Device) SetFault(f Fault) {
	if f == nil {
		d.fault.Store(nil)
	} else {
		d.fault.Store(&f)
	}
}

// Close ends the device, which must not be mounted.
func (d *Device) Close() error {
	d.SetFault(nil)
	var err error
	if d.loop != nil {
		err = d.loop.Close()
	}
	return errors.Join(err, d.server.Unmount(), unix.Munmap(d.bytes))
}

func (d *Device) failing(op Op) syscall.Errno {
	if f := d.fault.Load(); f != nil {
		return (*f)(op)
	}
	return 0
}

const fileName = "disk"

type root struct {
	fs.Inode
	device *Device
}

func (r *root) OnAdd(ctx context.Context) {
	r.AddChild(fileName, r.NewPersistentInode(ctx, &file{device: r.device}, fs.StableAttr{Mode: syscall.S_IFREG}), false)
}

type file struct {
	fs.Inode
	device *Device
}

var (
	_ fs.NodeGetattrer = (*file)(nil)
	_ fs.NodeSetattrer = (*file)(nil)
	_ fs.NodeOpener    = (*file)(nil)
	_ fs.NodeReader    = (*file)(nil)
	_ fs.NodeWriter    = (*file)(nil)
	_ fs.NodeFsyncer   = (*file)(nil)
)

func (f *file) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size, out.Blksize = syscall.S_IFREG|0o600, uint64(len(f.device.bytes)), Block
	return 0
}

func (f *file) Setattr(ctx context.Context, h fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return f.Getattr(ctx, h, out)
}

func (f *file) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

func (f *file) Read(_ context.Context, _ fs.FileHandle, p []byte, offset int64) (fuse.ReadResult, syscall.Errno) {
	if err := f.device.failing(OpRead); err != 0 {
		return nil, err
	}
	f.device.content.RLock()
	defer f.device.content.RUnlock()
	if offset >= int64(len(f.device.bytes)) {
		return fuse.ReadResultData(nil), 0
	}
	return fuse.ReadResultData(p[:copy(p, f.device.bytes[offset:])]), 0
}

func (f *file) Write(_ context.Context, _ fs.FileHandle, p []byte, offset int64) (uint32, syscall.Errno) {
	d := f.device
	if err := d.failing(OpWrite); err != 0 {
		return 0, err
	}
	if offset < 0 || offset+int64(len(p)) > int64(len(d.bytes)) {
		return 0, syscall.ENOSPC
	}
	d.content.Lock()
	defer d.content.Unlock()
	copy(d.bytes[offset:], p)
	d.add(Entry{Kind: Write, Offset: offset, Data: slices.Clone(p)})
	return uint32(len(p)), 0
}

func (f *file) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	if err := f.device.failing(OpFlush); err != 0 {
		return err
	}
	f.device.add(Entry{Kind: Flush})
	return 0
}

// Package btrfs does to btrfs what ordinary system calls do not: subvolumes, their
// marks, and the size of the file system.
//
// Source: include/uapi/linux/btrfs.h; the numbers are those of the architectures that
// Go and btrfs share except MIPS and POWER, where the calls fail with ENOTTY.
package btrfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls, with their directions and sizes in them.
const (
	ioctlResize     = 0x50009403
	ioctlCreate     = 0x5000940e
	ioctlDestroy    = 0x5000940f
	ioctlSnapshotV2 = 0x50009417
	ioctlGetFlags   = 0x80089419
	ioctlSetFlags   = 0x4008941a
	ioctlInfo       = 0x81f8943c
	ioctlGeneration = 0x80087601
)

const (
	flagReadOnly = 1 << 1 // in the calls
	markReadOnly = 1 << 0 // in what the file system keeps
	rootInode    = 256    // of every subvolume
	maxName      = 255    // bytes
)

// args is struct btrfs_ioctl_vol_args.
type args struct {
	fd   int64
	name [4088]byte
}

// argsV2 is struct btrfs_ioctl_vol_args_v2.
type argsV2 struct {
	fd     int64
	_      uint64 // transid
	flags  uint64
	unused [4]uint64
	name   [4040]byte
}

// Info is what the file system says of a subvolume.
type Info struct {
	ID       uint64
	UUID     [16]byte
	Parent   [16]byte // whose snapshot it is
	Received [16]byte // of the subvolume that was sent, when it came by a send stream
	Changed  uint64   // the transaction of the last change of anything in it; known once that is committed
	ReadOnly bool
}

// info is struct btrfs_ioctl_get_subvol_info_args.
type info struct {
	id       uint64
	_        [256]byte // name
	_        [3]uint64 // parent, directory, generation
	flags    uint64
	uuid     [16]byte
	parent   [16]byte
	received [16]byte
	changed  uint64
	_        [3]uint64 // of creation, sending, receiving
	_        [8]uint64 // times
	_        [8]uint64 // reserved
}

// Is tells whether an open file is on btrfs.
func Is(f *os.File) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(int(f.Fd()), &st) == nil && uint32(st.Type) == unix.BTRFS_SUPER_MAGIC
}

// IsSubvolume tells whether an open directory is the root of a subvolume.
func IsSubvolume(dir *os.File) bool {
	var st unix.Stat_t
	return unix.Fstat(int(dir.Fd()), &st) == nil && st.Ino == rootInode && st.Mode&unix.S_IFMT == unix.S_IFDIR && Is(dir)
}

// Create makes an empty subvolume in an open directory.
func Create(dir *os.File, name string) error {
	var a args
	if err := put(a.name[:], name); err != nil {
		return fail("creating the subvolume", dir, name, err)
	}
	return fail("creating the subvolume", dir, name, call(dir, ioctlCreate, unsafe.Pointer(&a)))
}

// Snapshot makes a writable subvolume, in an open directory, that shares everything
// with another one. Its owner may do it, and root.
func Snapshot(dir *os.File, name string, of *os.File) error {
	a := argsV2{fd: int64(of.Fd())}
	err := put(a.name[:], name)
	if err == nil {
		err = call(dir, ioctlSnapshotV2, unsafe.Pointer(&a))
	}
	runtime.KeepAlive(of)
	return fail("making the snapshot", dir, name, err)
}

// Destroy takes a subvolume out of an open directory; the file system gives its space
// back behind. For an ordinary user it is unix.EPERM unless the file system was mounted
// with user_subvol_rm_allowed, and unix.EROFS while the subvolume is read-only.
func Destroy(dir *os.File, name string) error {
	var a args
	err := put(a.name[:], name)
	if err == nil {
		err = call(dir, ioctlDestroy, unsafe.Pointer(&a))
	}
	return fail("deleting the subvolume", dir, name, err)
}

// SetReadOnly marks a subvolume, or takes the mark away. Its owner may, and root.
func SetReadOnly(subvolume *os.File, readOnly bool) error {
	var flags uint64
	err := call(subvolume, ioctlGetFlags, unsafe.Pointer(&flags))
	if err == nil {
		flags &^= flagReadOnly
		if readOnly {
			flags |= flagReadOnly
		}
		err = call(subvolume, ioctlSetFlags, unsafe.Pointer(&flags))
	}
	return fail("marking the subvolume", subvolume, "", err)
}

// Describe asks about a subvolume (Linux 4.18).
func Describe(subvolume *os.File) (Info, error) {
	var i info
	if err := call(subvolume, ioctlInfo, unsafe.Pointer(&i)); err != nil {
		return Info{}, fail("asking about the subvolume", subvolume, "", err)
	}
	return Info{
		ID: i.id, UUID: i.uuid, Parent: i.parent, Received: i.received, Changed: i.changed,
		ReadOnly: i.flags&markReadOnly != 0,
	}, nil
}

// Generation gives the transaction in which an open file was made.
func Generation(f *os.File) (uint64, error) {
	var n uint32
	err := call(f, ioctlGeneration, unsafe.Pointer(&n))
	return uint64(n), fail("asking for the generation", f, "", err)
}

// Grow makes the file system as large as its only device.
func Grow(root *os.File) error { return resize(root, "max") }

// Resize gives the file system another size, in bytes; a smaller one is
// unix.ENOSPC if it does not fit. Root only.
func Resize(root *os.File, size int64) error { return resize(root, fmt.Sprint(size)) }

func resize(root *os.File, to string) error {
	var a args
	copy(a.name[:], to)
	return fail("resizing", root, "", call(root, ioctlResize, unsafe.Pointer(&a)))
}

// put writes a name that a subvolume can have.
func put(field []byte, name string) error {
	if name == "" || len(name) > maxName {
		return unix.EINVAL
	}
	copy(field, name)
	return nil
}

func call(f *os.File, request uintptr, arg unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg))
		runtime.KeepAlive(f)
		switch {
		case errno == 0:
			return nil
		case errno != unix.EINTR:
			return errno
		}
	}
}

func fail(what string, f *os.File, name string, err error) error {
	if err == nil {
		return nil
	}
	at := f.Name()
	if name != "" {
		at += "/" + name
	}
	if errors.Is(err, unix.ENOTTY) {
		err = fmt.Errorf("no btrfs: %w", err)
	}
	return &fs.PathError{Op: what, Path: at, Err: err}
}

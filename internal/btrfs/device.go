package btrfs

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	ioctlDevice = 0xd000941e
	ioctlSystem = 0x8400941f
)

// deviceInfo is struct btrfs_ioctl_dev_info_args.
type deviceInfo struct {
	id   uint64
	_    [16]byte
	_    [2]uint64 // bytes in use, and all
	_    [16]byte
	_    [377]uint64
	path [1024]byte
}

// systemInfo is struct btrfs_ioctl_fs_info_args.
type systemInfo struct {
	_       uint64 // largest number of a device
	devices uint64
	uuid    [16]byte
	_       [992]byte
}

// ErrDevices is matched when a file system has not one device.
var ErrDevices = errors.New("the file system has several devices")

// Device names the device of the file system that an open file is on, and gives the
// file system's UUID. ErrDevices if it has several.
func Device(f *os.File) (name string, uuid [16]byte, err error) {
	var s systemInfo
	if err := call(f, ioctlSystem, unsafe.Pointer(&s)); err != nil {
		return "", uuid, fail("asking about the file system", f, "", err)
	}
	if s.devices != 1 {
		return "", s.uuid, fail("asking about the device", f, "", ErrDevices)
	}
	d := deviceInfo{id: 1}
	if err := call(f, ioctlDevice, unsafe.Pointer(&d)); err != nil {
		return "", s.uuid, fail("asking about the device", f, "", err)
	}
	return unix.ByteSliceToString(d.path[:]), s.uuid, nil
}

// check at compile time that the structures have the kernel's sizes.
var (
	_ [4096]byte = [unsafe.Sizeof(deviceInfo{})]byte{}
	_ [1024]byte = [unsafe.Sizeof(systemInfo{})]byte{}
)

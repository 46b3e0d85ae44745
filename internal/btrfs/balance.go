package btrfs

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	ioctlBalance  = 0xc4009420
	balanceData   = 1 << 0
	balanceByFill = 1 << 1
)

// balanceFilter is struct btrfs_balance_args.
type balanceFilter struct {
	_     uint64 // profiles
	usage uint64 // percent, below which a block group counts
	_     [6]uint64
	flags uint64
	_     [8]uint64
}

// balanceArgs is struct btrfs_ioctl_balance_args.
type balanceArgs struct {
	flags      uint64
	_          uint64
	data, _, _ balanceFilter // of data, metadata, the system
	_          [3]uint64
	_          [72]uint64
}

// Compact moves contents out of block groups of which at most some percent are in use,
// so that the groups can be given up: what many removals leave is in the way of Resize.
// Root only.
func Compact(root *os.File, percent uint64) error {
	a := balanceArgs{flags: balanceData, data: balanceFilter{usage: percent, flags: balanceByFill}}
	err := call(root, ioctlBalance, unsafe.Pointer(&a))
	if errors.Is(err, unix.ENOSPC) { // no room for a new group: then what was done counts
		return nil
	}
	return fail("compacting", root, "", err)
}

var (
	_ [136]byte  = [unsafe.Sizeof(balanceFilter{})]byte{}
	_ [1024]byte = [unsafe.Sizeof(balanceArgs{})]byte{}
)

// Package pagecache tells what of a file is in memory.
package pagecache

import (
	"bytes"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Resident gives how many pages of an open file are in memory, and how many it has. It
// reads nothing. Where the caller may not write to a file and does not own it, the kernel
// says that all are.
//
// Source: mincore(2).
func Resident(f *os.File) (pages, all int, err error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return 0, 0, err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, 0, &fs.PathError{Op: "mmap", Path: f.Name(), Err: err}
	}
	defer unix.Munmap(data)
	states := make([]byte, (len(data)+os.Getpagesize()-1)/os.Getpagesize())
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)), uintptr(unsafe.Pointer(&states[0]))); errno != 0 {
		return 0, 0, &fs.PathError{Op: "mincore", Path: f.Name(), Err: errno}
	}
	return bytes.Count(states, []byte{1}), len(states), nil
}

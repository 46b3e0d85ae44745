package disk

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Op is a kind of request that can fail. Several are added up.
type Op uint32

const (
	OpRead Op = 1 << iota
	OpWrite
	OpFlush
)

// faults is shared by the server and who uses the device: which requests fail, with EIO,
// and how many more of them.
type faults struct {
	ops  atomic.Uint32
	left atomic.Int64
}

// mapFaults maps it from a file.
func mapFaults(path string) (*faults, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size := int(unsafe.Sizeof(faults{}))
	if err := f.Truncate(int64(size)); err != nil {
		return nil, err
	}
	p, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mapping %s: %w", path, err)
	}
	return (*faults)(unsafe.Pointer(&p[0])), nil
}

func (f *faults) set(ops Op, n int64) {
	f.ops.Store(0)
	f.left.Store(n)
	f.ops.Store(uint32(ops))
}

// hit tells whether a request fails.
func (f *faults) hit(op Op) syscall.Errno {
	if Op(f.ops.Load())&op != 0 && f.left.Add(-1) >= 0 {
		return syscall.EIO
	}
	return 0
}

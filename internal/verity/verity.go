// Package verity speaks of fs-verity to the kernel: from the moment a file is
// enabled it cannot change, and each block is checked when it is read from the
// disk.
//
// The kernel's measure of a file is the same digest by which Larch names content
// (spec/1-digest.md): a file whose measure is its name holds what its name says.
//
// Source: https://docs.kernel.org/filesystems/fsverity.html.
package verity

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
)

// ErrUnsupported is matched when the kernel or the file system has no fs-verity
// with SHA-256 and blocks of 4 KiB.
var ErrUnsupported = errors.New("no fs-verity here")

// hashSHA256 is the kernel's number of the algorithm.
const hashSHA256 = 1

// Enable gives up the file that is open for writing, unnamed or not, and returns
// it open for reading alone, enabled and measured. All that was written must have
// been written by then. It needs no privilege, but to own the file. Whatever it
// returns, f is closed, unless the error matches ErrUnsupported.
func Enable(f *os.File) (*os.File, digest.Digest, error) {
	sealed, err := os.Open("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	if err != nil {
		f.Close()
		return nil, digest.Digest{}, err
	}
	d, err := enable(sealed, f)
	if err != nil {
		sealed.Close()
		return nil, d, fmt.Errorf("enabling fs-verity: %w", err)
	}
	return sealed, d, nil
}

func enable(sealed, writable *os.File) (digest.Digest, error) {
	if _, err := Measure(sealed); errors.Is(err, ErrUnsupported) { // while there is a way back
		return digest.Digest{}, err
	}
	if err := writable.Close(); err != nil {
		return digest.Digest{}, err
	}
	d, err := EnableSealed(sealed)
	if err != nil { // from here on it is not ErrUnsupported: the way back is closed
		return d, fmt.Errorf("%s: %v", sealed.Name(), err)
	}
	return d, nil
}

// EnableSealed enables and measures a file that nobody has open for writing.
func EnableSealed(f *os.File) (digest.Digest, error) {
	if err := start(f); err != nil {
		return digest.Digest{}, err
	}
	return Measure(f)
}

// busyTries is how often, at most, a file is found open for writing: a child that
// another goroutine is just starting has all files until it executes its program.
const busyTries = 1000

func start(f *os.File) (err error) {
	arg := unix.FsverityEnableArg{Version: 1, Hash_algorithm: hashSHA256, Block_size: digest.BlockSize}
	for range busyTries {
		err = ioctl(f, unix.FS_IOC_ENABLE_VERITY, unsafe.Pointer(&arg))
		switch err {
		case unix.ETXTBSY:
			time.Sleep(time.Millisecond)
		case unix.EINTR:
		case unix.EEXIST: // measured next
			return nil
		default:
			return err
		}
	}
	return err
}

// Measure asks the kernel which content an enabled file has: the file can hold
// nothing else as long as it exists. A file that is not enabled is unix.ENODATA.
func Measure(f *os.File) (d digest.Digest, err error) {
	var arg struct {
		unix.FsverityDigest
		digest [64]byte
	}
	arg.Size = uint16(len(arg.digest))
	if err := ioctl(f, unix.FS_IOC_MEASURE_VERITY, unsafe.Pointer(&arg)); err != nil {
		return d, err
	}
	if arg.Algorithm != hashSHA256 || arg.Size != digest.Size {
		return d, fmt.Errorf("measured with algorithm %d, a digest of %d bytes: %w", arg.Algorithm, arg.Size, ErrUnsupported)
	}
	copy(d[:], arg.digest[:])
	return d, nil
}

func ioctl(f *os.File, request uintptr, arg unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg))
	switch errno {
	case 0:
		return nil
	case unix.ENOTTY, unix.EOPNOTSUPP, unix.ENOSYS:
		return fmt.Errorf("%w: %w", ErrUnsupported, errno)
	}
	return errno
}

// Probe tells whether the file system that holds a folder has fs-verity, by
// trying it on a new empty file of the caller, which Probe closes.
func Probe(f *os.File) error {
	sealed, d, err := Enable(f)
	if err != nil {
		f.Close()
		return err
	}
	sealed.Close()
	if d != digest.Of(nil) {
		return fmt.Errorf("an empty file measures %v: %w", d, ErrUnsupported)
	}
	return nil
}

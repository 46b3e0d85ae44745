// Package inode does to open files what Linux offers beyond package os: exact
// times, and copies that share their blocks where the file system can.
package inode

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// SetTime sets the time of the last change of content; the time of the last
// access becomes the same. f may be a directory, or a symlink opened with O_PATH.
//
// Source: utimensat(2) with AT_EMPTY_PATH; Linux 5.8.
func SetTime(f *os.File, sec int64, nsec uint32) error {
	var at unix.Timespec // whose fields have the machine's own width
	set(&at.Sec, sec)
	set(&at.Nsec, int64(nsec))
	err := unix.UtimesNanoAt(int(f.Fd()), "", []unix.Timespec{at, at}, unix.AT_EMPTY_PATH)
	return wrap("utimensat", f, err)
}

func set[T int32 | int64](field *T, value int64) { *field = T(value) }

// Copy makes the empty file to hold the first size bytes of from: by sharing its
// blocks (FICLONE), else inside the kernel, else through memory. Both files'
// offsets are undefined afterwards. A source that is shorter is
// io.ErrUnexpectedEOF.
func Copy(to, from *os.File, size int64) error {
	if err := unix.IoctlFileClone(int(to.Fd()), int(from.Fd())); err == nil {
		return cut(to, size)
	}
	var from64, to64 int64
	for to64 < size {
		n, err := unix.CopyFileRange(int(from.Fd()), &from64, int(to.Fd()), &to64, int(min(size-to64, 1<<30)), 0)
		switch {
		case err == unix.EINTR:
		case unsupported(err):
			return copyThrough(to, from, to64, size)
		case err != nil:
			return wrap("copy_file_range", to, err)
		case n == 0:
			return io.ErrUnexpectedEOF
		}
	}
	return nil
}

// Clone is Copy where only sharing blocks will do: unix.EXDEV between file systems,
// unix.EOPNOTSUPP where they cannot.
func Clone(to, from *os.File, size int64) error {
	if err := unix.IoctlFileClone(int(to.Fd()), int(from.Fd())); err != nil {
		return wrap("clone", to, err)
	}
	return cut(to, size)
}

// cut shortens a clone of a longer source.
func cut(f *os.File, size int64) error {
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case info.Size() < size:
		return io.ErrUnexpectedEOF
	case info.Size() == size:
		return nil
	}
	return f.Truncate(size)
}

// unsupported tells the errors by which file systems decline copy_file_range.
func unsupported(err error) bool {
	return errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS)
}

func copyThrough(to, from *os.File, start, size int64) error {
	n, err := io.Copy(io.NewOffsetWriter(to, start), io.NewSectionReader(from, start, size-start))
	if err == nil && n < size-start {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func wrap(op string, f *os.File, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: f.Name(), Err: err}
}

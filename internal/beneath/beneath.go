package beneath

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const resolve = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// ErrTooLarge is returned by ReadFile for a file above the caller's limit.
var ErrTooLarge = errors.New("file is larger than expected")

// Dir is a handle on a directory. It stays on that directory when the directory
// is renamed. Its methods may be called concurrently.
type Dir struct {
	file  *os.File
	path  string // for messages only
	fault func(op, name string) error
}

// Open opens the directory at an ordinary path; symlinks in this path are
// followed, since it is the caller's own.
func Open(path string) (*Dir, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &Dir{file: os.NewFile(uintptr(fd), path), path: path}, nil
}

// WithFault gives a Dir on the same handle that asks hook before each change it
// makes, and so do the Dirs opened through it; an error from hook is returned in
// place of the change.
func (d *Dir) WithFault(hook func(op, name string) error) *Dir {
	return &Dir{file: d.file, path: d.path, fault: hook}
}

// Close releases the handle.
func (d *Dir) Close() error { return d.file.Close() }

// Path is where the directory was when it was opened: for messages, not for use.
func (d *Dir) Path() string { return d.path }

// File is the directory's open handle, owned by d.
func (d *Dir) File() *os.File { return d.file }

func (d *Dir) fd() int { return int(d.file.Fd()) }

func (d *Dir) fail(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: path.Join(d.path, name), Err: err}
}

// change asks the fault hook; every method that changes something calls it.
func (d *Dir) change(op, name string) error {
	if d.fault == nil {
		return nil
	}
	if err := d.fault(op, name); err != nil {
		return d.fail(op, name, err)
	}
	return nil
}

// Change asks the fault hook before a change that the caller makes through a
// file of this directory: writing its content, or marking it.
func (d *Dir) Change(op, name string) error { return d.change(op, name) }

func (d *Dir) open(name string, flags int, perm uint32) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW),
		Resolve: resolve,
	}
	if flags&unix.O_CREAT != 0 || flags&unix.O_TMPFILE == unix.O_TMPFILE {
		how.Mode = uint64(perm)
	}
	for {
		fd, err := unix.Openat2(d.fd(), name, &how)
		if err == unix.EINTR || err == unix.EAGAIN { // EAGAIN: a rename raced with the walk
			continue
		}
		return fd, err
	}
}

// Open opens a file for reading. It does not wait for a fifo's writer.
func (d *Dir) Open(name string) (*os.File, error) {
	return d.OpenFile(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
}

// OpenFile opens a file with open(2) flags; perm counts for a file that O_CREAT
// makes alone, exactly, whatever the umask.
func (d *Dir) OpenFile(name string, flags int, perm uint32) (*os.File, error) {
	if flags&(unix.O_CREAT|unix.O_TRUNC) != 0 {
		if err := d.change("create", name); err != nil {
			return nil, err
		}
	}
	fd, err := d.openOrMake(name, flags, perm)
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	return os.NewFile(uintptr(fd), path.Join(d.path, name)), nil
}

func (d *Dir) openOrMake(name string, flags int, perm uint32) (int, error) {
	for flags&unix.O_CREAT != 0 {
		if flags&unix.O_EXCL == 0 {
			if fd, err := d.open(name, flags&^unix.O_CREAT, 0); err != unix.ENOENT {
				return fd, err
			}
		}
		fd, err := d.open(name, flags|unix.O_EXCL, perm)
		if err == unix.EEXIST && flags&unix.O_EXCL == 0 { // made meanwhile
			continue
		}
		if err == nil {
			if err = settle(fd, perm); err != nil {
				unix.Close(fd)
			}
		}
		return fd, err
	}
	return d.open(name, flags, perm)
}

// settle gives a new file its mode, unless neither the umask nor the directory's default
// ACL has taken anything of it: looking costs less than a change of the inode.
func settle(fd int, perm uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err == nil && st.Mode&0o7777 == perm {
		return nil
	}
	return unix.Fchmod(fd, perm)
}

// Create makes a new file for writing; one of that name must not exist.
func (d *Dir) Create(name string, perm uint32) (*os.File, error) {
	return d.OpenFile(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, perm)
}

// OpenDir opens a directory below d.
func (d *Dir) OpenDir(name string) (*Dir, error) {
	fd, err := d.open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	full := path.Join(d.path, name)
	return &Dir{file: os.NewFile(uintptr(fd), full), path: full, fault: d.fault}, nil
}

// at calls do with a handle on the directory that holds name's last part.
func (d *Dir) at(op, name string, do func(fd int, base string) error) error {
	dir, base := path.Split(name)
	if base == "" || base == "." || base == ".." {
		return d.fail(op, name, unix.EINVAL)
	}
	fd := d.fd()
	if dir = strings.TrimSuffix(dir, "/"); dir != "" {
		parent, err := d.open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return d.fail(op, name, err)
		}
		defer unix.Close(parent)
		fd = parent
	}
	for {
		err := do(fd, base)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return d.fail(op, name, err)
		}
		return nil
	}
}

// Lstat describes a file, or the link itself.
func (d *Dir) Lstat(name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	if name == "." {
		if err := unix.Fstat(d.fd(), &st); err != nil {
			return st, d.fail("lstat", name, err)
		}
		return st, nil
	}
	err := d.at("lstat", name, func(fd int, base string) error {
		return unix.Fstatat(fd, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return st, err
}

// Device gives the number of the file system that a name is on, major and minor. Who
// serves that file system is asked nothing.
func (d *Dir) Device(name string) (major, minor uint32, err error) {
	var st unix.Statx_t
	err = d.at("statx", name, func(fd int, base string) error {
		return unix.Statx(fd, base, unix.AT_SYMLINK_NOFOLLOW|unix.AT_STATX_DONT_SYNC, 0, &st)
	})
	return st.Dev_major, st.Dev_minor, err
}

// Exists tells whether anything has this name.
func (d *Dir) Exists(name string) (bool, error) {
	_, err := d.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Readlink gives the text of a symlink.
func (d *Dir) Readlink(name string) (string, error) {
	text := make([]byte, unix.PathMax)
	err := d.at("readlink", name, func(fd int, base string) error {
		n, err := unix.Readlinkat(fd, base, text[:cap(text)])
		text = text[:max(n, 0)]
		return err
	})
	if err != nil {
		return "", err
	}
	return string(text), nil
}

// ReadDir gives the names in a directory, sorted by bytes.
func (d *Dir) ReadDir(name string) ([]string, error) {
	sub, err := d.OpenDir(name)
	if err != nil {
		return nil, err
	}
	defer sub.Close()
	names, err := sub.file.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// ReadFile reads a regular file of at most limit bytes.
func (d *Dir) ReadFile(name string, limit int64) ([]byte, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, d.fail("read", name, errors.New("not a regular file"))
	case info.Size() > limit:
		return nil, d.fail("read", name, fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, info.Size(), limit))
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, d.fail("read", name, fmt.Errorf("%w: limit %d", ErrTooLarge, limit))
	}
	return data, err
}

// procPath names an open file for calls that take a path.
func procPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

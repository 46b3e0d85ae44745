package pool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

var (
	// ErrRefused is matched when a file is not used as a pool.
	ErrRefused = errors.New("not used as a pool")
	// ErrNone is matched where there is no pool in a file.
	ErrNone = errors.New("there is no pool in a file")
	// ErrFull is matched when the disk that a pool's file is on has no room. It is
	// unix.ENOSPC, too.
	ErrFull = fmt.Errorf("the pool cannot grow: %w", unix.ENOSPC)
	// ErrUnmounted is matched where a pool belongs that is not mounted.
	ErrUnmounted = errors.New("not mounted")
)

const (
	markName = "trusted.larch.pool"
	maxMark  = 4096 // bytes
)

// Where the file system says who it is.
//
// Source: btrfs on-disk format, superblock.
const (
	superblock  = 0x10000
	uuidOffset  = superblock + 0x20
	magicOffset = superblock + 0x40
	magic       = "_BHRfS_M"
)

// uuid of a file system.
type uuid [16]byte

func (u uuid) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// mark is what a pool's file bears.
type mark struct {
	UUID     uuid   `json:"uuid"`
	Inode    uint64 `json:"inode"`
	At       string `json:"at"` // where it is mounted
	Compress bool   `json:"compress"`
}

// options of the mount.
func (m mark) options() map[string]string {
	o := map[string]string{"user_subvol_rm_allowed": ""}
	if m.Compress {
		o["compress"] = "zstd"
	}
	return o
}

// write marks an open file that holds a new file system.
func (m mark) write(f *os.File) error {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	m.Inode = st.Ino
	if err == nil {
		m.UUID, err = readUUID(f)
	}
	if err != nil {
		return err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := unix.Fsetxattr(int(f.Fd()), markName, data, 0); err != nil {
		return &fs.PathError{Op: "marking the pool", Path: f.Name(), Err: err}
	}
	return nil
}

func readUUID(f *os.File) (u uuid, err error) {
	var found [len(magic)]byte
	if _, err := f.ReadAt(found[:], magicOffset); err != nil || string(found[:]) != magic {
		return u, fmt.Errorf("%s holds no btrfs: %w", f.Name(), ErrRefused)
	}
	_, err = f.ReadAt(u[:], uuidOffset)
	return u, err
}

// Open opens the file of a pool for writing, if it is one that was made here and nobody
// but root can have changed it: ErrRefused otherwise, fs.ErrNotExist if there is none.
func Open(name string) (*os.File, error) {
	f, _, err := openMarked(name)
	return f, err
}

func openMarked(name string) (*os.File, mark, error) {
	if err := checkPlace(name); err != nil {
		return nil, mark{}, err
	}
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, mark{}, &fs.PathError{Op: "opening the pool", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	m, err := readMark(f)
	if err != nil {
		return nil, mark{}, errors.Join(err, f.Close())
	}
	return f, m, nil
}

// readMark judges an open file.
func readMark(f *os.File) (m mark, err error) {
	refuse := func(why string) (mark, error) { return mark{}, fmt.Errorf("%s: %w: %s", f.Name(), ErrRefused, why) }
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return m, err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return refuse("it is no regular file")
	case st.Uid != 0 || st.Mode&0o022 != 0:
		return refuse("others than root can write to it")
	case st.Nlink > 1:
		return refuse("it has several names")
	}
	text := make([]byte, maxMark)
	n, err := unix.Fgetxattr(int(f.Fd()), markName, text)
	if err != nil || json.Unmarshal(text[:n], &m) != nil {
		return refuse("\"larch pool create\" has not made it on this machine")
	}
	if m.Inode != st.Ino {
		return refuse("it is a copy of a pool")
	}
	if have, err := readUUID(f); err != nil || have != m.UUID {
		return refuse("it holds another file system than was made in it")
	}
	return m, nil
}

// checkPlace makes sure that nobody but root can put a file in the place of this one.
func checkPlace(name string) error {
	dir, err := filepath.EvalSymlinks(filepath.Dir(name))
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return err
	}
	for {
		var st unix.Stat_t
		if err := unix.Lstat(dir, &st); err != nil {
			return &fs.PathError{Op: "lstat", Path: dir, Err: err}
		}
		if st.Uid != 0 || st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0 {
			return fmt.Errorf("%s: %w: others than root can write to %s", name, ErrRefused, dir)
		}
		if dir == "/" {
			return nil
		}
		dir = filepath.Dir(dir)
	}
}

package pool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/btrfs"
)

// Pool is a pool that is mounted.
type Pool struct {
	File     string // "" if it is on a device of its own
	Device   string
	At       string
	Compress bool
	Size     int64 // bytes
	Used     int64 // bytes
	Free     int64 // bytes that an ordinary user can still fill, as far as the file system knows
	Taken    int64 // bytes of the disk below that the file takes

	root *os.File // owned by whoever asked
}

// Of describes the pool that an open folder is on, or gives nil if the folder is on
// anything else. A pool whose file was removed, or is not the one of this machine, is
// ErrRefused.
func Of(root *os.File) (*Pool, error) {
	if !btrfs.Is(root) {
		return nil, nil
	}
	device, _, err := btrfs.Device(root)
	if err != nil { // several devices: somebody's own
		return nil, nil
	}
	name, err := backing(device)
	if err != nil || name == "" {
		return nil, err
	}
	if gone, ok := strings.CutSuffix(name, " (deleted)"); ok {
		return nil, fmt.Errorf("%s: %w: its file was removed, and is lost when it is unmounted: save what is in it", gone, ErrRefused)
	}
	f, m, err := openMarked(name)
	if err != nil {
		if errors.Is(err, ErrRefused) || errors.Is(err, os.ErrPermission) { // another's file in a loop device, or not ours to judge
			return nil, nil
		}
		return nil, err
	}
	defer f.Close()
	p := &Pool{File: name, Device: device, At: m.At, Compress: m.Compress, root: root}
	return p, p.measure(f)
}

func (p *Pool) measure(f *os.File) error {
	var in unix.Statfs_t
	if err := unix.Fstatfs(int(p.root.Fd()), &in); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	p.Size, p.Taken = st.Size, st.Blocks*512
	p.Used, p.Free = int64(in.Blocks-in.Bfree)*int64(in.Bsize), int64(in.Bavail)*int64(in.Bsize)
	return nil
}

// Resize gives the pool another size, in bytes: unix.ENOSPC if less than what is in it.
// A crash in the middle leaves a file that is larger than the file system in it, which
// does no harm. Root only.
func (p *Pool) Resize(size int64) error {
	if size -= size % unit; size < MinSize {
		return fmt.Errorf("a pool has at least %d bytes", MinSize)
	}
	f, err := Open(p.File)
	if err != nil {
		return err
	}
	defer f.Close()
	if size < p.Size {
		if err := p.shrink(f, size); err != nil {
			return err
		}
	}
	if err := p.stretch(f, size); err != nil {
		return err
	}
	return p.measure(f)
}

// shrink makes the file system smaller. What is all given out, however empty, has no room
// to move anything in, and cannot even give up what is empty: then it gets more for a while.
func (p *Pool) shrink(f *os.File, size int64) error {
	err := p.compact(size)
	if errors.Is(err, unix.ENOSPC) {
		if err = p.stretch(f, p.Size+step); err == nil {
			err = p.compact(size)
		}
		if err != nil {
			err = errors.Join(err, btrfs.Resize(p.root, p.Size), p.cut(f, p.Size))
		}
	}
	if err != nil {
		return fmt.Errorf("to %d bytes of which %d are used: %w", size, p.Used, err)
	}
	return unix.Syncfs(int(p.root.Fd()))
}

func (p *Pool) compact(size int64) error {
	var err error
	for _, fill := range []uint64{0, 50, 90} { // percent; moving more takes longer
		if err = unix.Syncfs(int(p.root.Fd())); err == nil { // what was removed is given up
			err = btrfs.Compact(p.root, fill)
		}
		if err == nil {
			err = btrfs.Resize(p.root, size)
		}
		if !errors.Is(err, unix.ENOSPC) {
			break
		}
	}
	return err
}

// stretch gives the file and the file system in it another size, which is no smaller.
func (p *Pool) stretch(f *os.File, size int64) error {
	if err := p.cut(f, size); err != nil {
		return err
	}
	return btrfs.Grow(p.root)
}

// cut gives the file a size, durably, and tells the device.
func (p *Pool) cut(f *os.File, size int64) error {
	if err := errors.Join(f.Truncate(size), f.Sync()); err != nil {
		return err
	}
	loop, err := os.OpenFile(p.Device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer loop.Close()
	if err := unix.IoctlSetInt(int(loop.Fd()), unix.LOOP_SET_CAPACITY, 0); err != nil {
		return fmt.Errorf("%s: %w", p.Device, err)
	}
	return nil
}

// What is left free beside what is needed, in bytes: the file system allocates in large
// units, and keeps lists of its own.
const (
	slack = 128 << 20
	step  = 256 << 20 // by which a pool grows at least
)

// least is what a change may write before its size is known, in bytes: lists of files, what
// trying out leaves, and what the file system writes anew to remove something.
const least = 64 << 20

// below is what the file can still take of the disk that it is on, in bytes.
func (p *Pool) below() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(p.File, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: p.File, Err: err}
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// Writable makes sure that a change can begin: a file system that cannot write what it has
// promised to refuses everything until it is mounted again. ErrFull otherwise.
func (p *Pool) Writable() error {
	room, err := p.below()
	if err == nil && room < least {
		err = fmt.Errorf("the disk below the pool %s has %d bytes left, of %d that a change needs: %w", p.File, room, least, ErrFull)
	}
	return err
}

// Reserve makes sure that an installation of so many bytes fits: it grows the pool if
// need be. ErrFull if the disk below has no room for it.
func (p *Pool) Reserve(need int64) error {
	need += need/8 + slack
	room, err := p.below()
	if err != nil {
		return err
	}
	if room += max(0, p.Taken-p.Used); room < need {
		return fmt.Errorf("the disk below the pool %s has %d bytes for the %d that are needed: %w", p.File, room, need, ErrFull)
	}
	if p.Free >= need {
		return nil
	}
	if err := p.Resize(p.Size + max(step, need-p.Free)); err != nil {
		return fmt.Errorf("growing the pool %s: %w", p.File, err)
	}
	return nil
}

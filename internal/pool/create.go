package pool

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/mount"
)

// Sizes in bytes.
const (
	DefaultSize = 4 << 30 // of a new pool; what is not used takes no space
	MinSize     = 256 << 20
	unit        = 1 << 20 // sizes are multiples of it
)

// Options say what pool to make.
type Options struct {
	File     string // that is made; "" for a device
	Device   string // on which a file system is made, if it has none
	Size     int64  // bytes, of the file; 0: DefaultSize
	At       string // an empty folder, or one that is made, where it is mounted
	Compress bool   // with zstd
	Units    string // the folder for units of systemd, by which it comes back after a restart; "" for none
}

// Create makes a file system, mounts it and arranges that it comes back. After an error
// there is no file, no mount and no unit. Root only.
func Create(ctx context.Context, o Options) (err error) {
	if os.Geteuid() != 0 {
		return fmt.Errorf("making a pool: %w: it needs root", fs.ErrPermission)
	}
	if err := o.complete(); err != nil {
		return err
	}
	if err := mount.Known("btrfs"); err != nil {
		return fmt.Errorf("making a pool: %w", err)
	}
	made, err := preparePoint(o.At)
	if err != nil {
		return err
	}
	if err := unclaimed(o.At, cmp.Or(o.File, o.Device)); err != nil {
		return err
	}
	defer func() {
		switch {
		case err != nil && made:
			os.Remove(o.At)
		case err != nil:
			err = errors.Join(err, Forget(o.At))
		}
	}()
	if o.Device != "" {
		return o.createOnDevice(ctx)
	}
	return o.createInFile(ctx)
}

// complete checks the options and makes paths absolute.
func (o *Options) complete() (err error) {
	if (o.File == "") == (o.Device == "") {
		return errors.New("a pool is in a file or on a device")
	}
	for _, name := range []*string{&o.File, &o.Device, &o.At} {
		if *name == "" {
			continue
		}
		if *name, err = filepath.Abs(*name); err != nil {
			return err
		}
		if strings.ContainsFunc(*name, unicode.IsControl) {
			return fmt.Errorf("%q: a pool's path has no control characters", *name)
		}
	}
	if o.Size == 0 {
		o.Size = DefaultSize
	}
	if o.Size -= o.Size % unit; o.Size < MinSize {
		return fmt.Errorf("a pool has at least %d bytes", MinSize)
	}
	return nil
}

// preparePoint makes the folder where a pool will be mounted, unless it is there, and
// empty.
func preparePoint(at string) (made bool, err error) {
	err = os.Mkdir(at, 0o755)
	if err == nil || !errors.Is(err, fs.ErrExist) {
		return err == nil, err
	}
	names, err := os.ReadDir(at)
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("%s is not empty: what is there would be hidden", at)
	}
	return false, err
}

// createInFile makes the file and uses it, or goes on where that was interrupted.
func (o *Options) createInFile(ctx context.Context) error {
	made, err := o.interrupted()
	if err != nil {
		return err
	}
	if !made {
		if err := o.makeFile(ctx); err != nil {
			return err
		}
	}
	if err = o.use(); err != nil && !made {
		os.Remove(o.File)
	}
	return err
}

// interrupted tells whether the file is there, as Create with the same options makes it;
// fs.ErrExist if it is another one.
func (o *Options) interrupted() (bool, error) {
	if err := unix.Lstat(o.File, new(unix.Stat_t)); errors.Is(err, fs.ErrNotExist) {
		return false, checkPlace(o.File)
	}
	f, m, err := openMarked(o.File)
	if err != nil {
		return false, fmt.Errorf("%w: %w", fs.ErrExist, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if m.At != o.At || m.Compress != o.Compress || info.Size() != o.Size {
		return false, fmt.Errorf("%w: %s is a pool for %s with %d bytes", fs.ErrExist, o.File, m.At, info.Size())
	}
	return true, nil
}

// makeFile gives the file its name when all is in it.
func (o *Options) makeFile(ctx context.Context) error {
	f, err := os.OpenFile(filepath.Dir(o.File), os.O_RDWR|unix.O_TMPFILE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(o.Size); err != nil {
		return err
	}
	if err := makeFS(ctx, f, "/proc/self/fd/3"); err != nil {
		return err
	}
	m := mark{At: o.At, Compress: o.Compress}
	if err := m.write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.AT_FDCWD, o.File, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &fs.PathError{Op: "link", Path: o.File, Err: err}
	}
	return nil
}

// use mounts the file, and has it mounted at boot.
func (o *Options) use() error {
	if err := syncDir(filepath.Dir(o.File)); err != nil {
		return err
	}
	if err := Mount(o.File); err != nil {
		return err
	}
	if o.Units == "" {
		return nil
	}
	if err := writeUnits(o.Units, o.File, mark{At: o.At, Compress: o.Compress}); err != nil {
		return errors.Join(err, Unmount(o.At))
	}
	return nil
}

func (o *Options) createOnDevice(ctx context.Context) error {
	f, err := os.OpenFile(o.Device, os.O_RDWR|unix.O_EXCL, 0)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		f.Close()
		return fmt.Errorf("%s is no block device: %w", o.Device, cmp.Or[error](err, unix.ENOTBLK))
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := makeFS(ctx, nil, o.Device); err != nil { // refuses what has a file system
		return err
	}
	m := mark{At: o.At, Compress: o.Compress}
	if f, err = os.Open(o.Device); err != nil {
		return err
	}
	defer f.Close()
	if m.UUID, err = readUUID(f); err != nil {
		return err
	}
	if err := attach(o.Device, o.Device, m); err != nil {
		return err
	}
	if o.Units == "" {
		return nil
	}
	if err := writeUnits(o.Units, "", m); err != nil {
		return errors.Join(err, Unmount(o.At))
	}
	return nil
}

// makeFS runs mkfs.btrfs, with f, which may be nil, as its descriptor 3.
func makeFS(ctx context.Context, f *os.File, name string) error {
	cmd := exec.CommandContext(ctx, "mkfs.btrfs", "--quiet", "--label", "larch", "--", name)
	if f != nil {
		cmd.ExtraFiles = []*os.File{f}
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("making the pool: %w: it is in the package btrfs-progs", err)
	}
	if err != nil {
		return fmt.Errorf("making the pool: %w: %.500s", err, strings.TrimSpace(said.String()))
	}
	return nil
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

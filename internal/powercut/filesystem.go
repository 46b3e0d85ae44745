package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/measure"
)

// filesystem is one kind of it.
type filesystem struct {
	name    string
	size    int64 // of its disk, bytes
	options string
	mkfs    []string
	noise   func(dir *os.File) error // commits what the kernel has of it, but no data that nobody asked for
	strict  bool                     // it stands blocks that reach the drive in any order
}

var filesystems = []filesystem{
	{
		name: "ext4", size: 48 << 20, mkfs: []string{"mkfs.ext4", "-q", "-b", "4096", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"},
		noise: syncNoise, strict: true,
	},
	{
		name: "xfs", size: 320 << 20, mkfs: []string{"mkfs.xfs", "-q", "-K", "-s", "size=4096"},
		noise: syncNoise,
	},
	{
		// The kernel commits of its own accord each 30 seconds; a machine that has been up
		// for longer than the test does so at any moment, and so does the noise.
		name: "btrfs", size: 160 << 20, options: "commit=1", mkfs: []string{"mkfs.btrfs", "-q", "-K", "--mixed"},
		noise: btrfsNoise,
	},
}

func filesystemOf(name string) (filesystem, error) {
	for _, fs := range filesystems {
		if fs.name == name {
			return fs, nil
		}
	}
	return filesystem{}, fmt.Errorf("no such file system: %q", name)
}

// create makes an image of an empty file system.
func (fs filesystem) create(image string) error {
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(fs.size), f.Close()); err != nil {
		return err
	}
	if _, _, err := measure.Run(nil, fs.mkfs[0], append(fs.mkfs[1:len(fs.mkfs):len(fs.mkfs)], image)...); err != nil {
		return err
	}
	return nil
}

// mount mounts a device.
func (fs filesystem) mount(device, at string) error {
	if err := unix.Mount(device, at, fs.name, unix.MS_NODEV|unix.MS_NOATIME, fs.options); err != nil {
		return &os.PathError{Op: "mount", Path: device, Err: err}
	}
	return nil
}

// noiseName is a file that has nothing to do with the command.
const noiseName = "noise"

// syncNoise syncs a file: journals commit all that was changed before.
func syncNoise(dir *os.File) error {
	f, err := os.OpenFile(filepath.Join(dir.Name(), noiseName), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Repeat("noise ", 100))
	return errors.Join(err, f.Sync(), f.Close())
}

const (
	btrfsStartSync = 0x80089418 // BTRFS_IOC_START_SYNC
	btrfsWaitSync  = 0x40089416 // BTRFS_IOC_WAIT_SYNC
)

// btrfsNoise commits a transaction. Unlike syncfs it does not write the data that is not
// part of it yet.
func btrfsNoise(dir *os.File) error {
	var transaction uint64
	for _, request := range []uintptr{btrfsStartSync, btrfsWaitSync} {
		_, _, err := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), request, uintptr(unsafe.Pointer(&transaction)))
		if err != 0 {
			return os.NewSyscallError("committing a transaction", err)
		}
	}
	return nil
}

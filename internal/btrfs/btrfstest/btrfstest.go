// Package btrfstest gives tests a btrfs of their own, in a file.
package btrfstest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/mount"
)

// New mounts a new file system of some MiB, at least 128, with these mount options, and
// gives its folder. Only root can; others, and machines without btrfs or its programs,
// skip the test.
func New(t testing.TB, mib int64, options ...string) string {
	t.Helper()
	return Mount(t, Image(t, mib), options...)
}

// Image makes a file with a new file system, of some MiB, at least 128.
func Image(t testing.TB, mib int64) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a btrfs")
	}
	if _, err := exec.LookPath("mkfs.btrfs"); err != nil {
		t.Skip("needs mkfs.btrfs, of the package btrfs-progs")
	}
	image := filepath.Join(t.TempDir(), "btrfs")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, mib<<20); err != nil {
		t.Fatal(err)
	}
	command(t, "mkfs.btrfs", "--quiet", image)
	return image
}

// Mount mounts the file system in a file. It asks no other loop device anything, as
// mount(8) does: one of them may be without whoever serves it.
func Mount(t testing.TB, image string, options ...string) string {
	t.Helper()
	if err := mount.Known("btrfs"); err != nil {
		t.Skip(err)
	}
	at, err := os.MkdirTemp(filepath.Dir(image), "mounted-")
	if err != nil {
		t.Fatal(err)
	}
	if err := attach(image, at, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unmount(at); err != nil && !errors.Is(err, unix.EINVAL) { // the test may have
			t.Errorf("unmounting %s: %v", at, err)
			_ = unix.Unmount(at, unix.MNT_DETACH)
		}
	})
	return at
}

// patience is how long what the test has started may take to end, by itself, after the
// test: a server of mounts does when the last one is gone.
const patience = 30 * time.Second

// unmount takes the file system away as soon as nobody uses it.
func unmount(at string) error {
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if err := unix.Unmount(at, 0); !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			return err
		}
	}
}

func attach(image, at string, options []string) error {
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	loop, err := mount.Loop(f, 0, 0)
	if err != nil {
		return err
	}
	defer loop.Close()
	with := map[string]string{}
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		with[key] = value
	}
	made, err := mount.Device("btrfs", loop.Name(), with)
	if err != nil {
		return err
	}
	defer made.Close()
	dir, err := os.Open(at)
	if err != nil {
		return err
	}
	defer dir.Close()
	return mount.Attach(made, dir)
}

func command(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

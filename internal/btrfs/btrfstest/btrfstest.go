// Package btrfstest gives tests a btrfs of their own, in a file.
package btrfstest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// New mounts a new file system of some MiB, at least 128, with these mount options, and
// gives its folder. Only root can; others, and machines without btrfs or its programs,
// skip the test.
func New(t testing.TB, mib int64, options ...string) string {
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
	return Mount(t, image, options...)
}

// Mount mounts the file system in a file.
func Mount(t testing.TB, image string, options ...string) string {
	t.Helper()
	// beside the image: what is mounted below TMPDIR may be another kind of file system
	at, err := os.MkdirTemp(filepath.Dir(image), "mounted-")
	if err != nil {
		t.Fatal(err)
	}
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(known, []byte("\tbtrfs\n")) {
		_ = exec.Command("modprobe", "btrfs").Run()
		if known, _ = os.ReadFile("/proc/filesystems"); !bytes.Contains(known, []byte("\tbtrfs\n")) {
			t.Skip("this kernel has no btrfs")
		}
	}
	command(t, "mount", "-t", "btrfs", "-o", strings.Join(append([]string{"loop", "noatime"}, options...), ","), image, at)
	t.Cleanup(func() {
		if err := unix.Unmount(at, 0); err != nil && !errors.Is(err, unix.EINVAL) { // the test may have
			t.Errorf("unmounting %s: %v", at, err)
			_ = unix.Unmount(at, unix.MNT_DETACH)
		}
	})
	return at
}

func command(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

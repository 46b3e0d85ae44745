package fuse_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larch-project/larch/deploy/deploytest"
	"github.com/larch-project/larch/deploy/fuse"
	"github.com/larch-project/larch/tree"
)

// an ordinary user mounts through fusermount3: all tests are run once more by one
func TestAsUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
	if _, err := exec.LookPath("fusermount3"); err != nil {
		t.Skip("needs fusermount3, of the package fuse3")
	}
	everybodyMayMount(t)
	deploytest.AllAsUser(t)
}

// what root serves is for all, within the permissions of its files
func TestServedByRootForAll(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	m := needsServer(t)
	if err := os.Chmod(filepath.Dir(m.dir), 0o755); err != nil { // of the test
		t.Fatal(err)
	}
	list := []*tree.Entry{{Path: "/", Kind: tree.Directory, Mode: 0o755, Nlink: 1}, fileEntry("/open", []byte("text")), fileEntry("/own", []byte("text"))}
	list[2].Mode = 0o600
	view := m.open(t, backend, specOfEntries(t, "release", list))
	if out, err := deploytest.AsUser(t, t.TempDir(), "open-and-read", m.dir, "release", "open").CombinedOutput(); err != nil || string(out) != "text" {
		t.Errorf("read %q, error %v", out, err)
	}
	if out, err := deploytest.AsUser(t, t.TempDir(), "open-and-read", m.dir, "release", "own").CombinedOutput(); err == nil || !strings.Contains(string(out), "permission denied") {
		t.Errorf("root's own: read %q, error %v", out, err)
	}
	view.Close()
	if err := fuse.Stop(t.Context(), m.dir); err != nil {
		t.Fatal(err)
	}
	if out, err := deploytest.AsUser(t, t.TempDir(), "open-and-read", m.dir, "release", "open").CombinedOutput(); err == nil || !strings.Contains(string(out), "starting the server") {
		t.Errorf("without a server: read %q, error %v", out, err)
	}
}

// everybodyMayMount opens the device to all, as it is on most machines, for the time of a
// test.
func everybodyMayMount(t *testing.T) {
	const device = "/dev/fuse"
	info, err := os.Stat(device)
	if err != nil {
		t.Skip(err)
	}
	if err := os.Chmod(device, 0o666); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(device, info.Mode().Perm()) })
}

package fuse_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

const someUser = 1000

// comparing are the tests of the suite that compare owners with root's: they are for root
// alone, whoever the backend is.
const comparing = "^TestContract$/^(same|links|made|fault|removal_while_in|leftovers|many|umask)"

// an ordinary user mounts through fusermount3: all tests are run once more by one
func TestAsUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
	if _, err := exec.LookPath("fusermount3"); err != nil {
		t.Skip("needs fusermount3, of the package fuse3")
	}
	everybodyMayMount(t)
	home, err := os.MkdirTemp("", "user")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	if err := os.Chown(home, someUser, someUser); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), copyOfThis(t, home), "-test.v", "-test.skip", comparing)
	cmd.Dir, cmd.Env = home, append(os.Environ(), "TMPDIR="+home, "HOME="+home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: someUser, Gid: someUser}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("as user %d: %v\n%s", someUser, err, out)
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

// copyOfThis copies the test binary to where another user can execute it.
func copyOfThis(t *testing.T, dir string) string {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	name := filepath.Join(dir, "fuse.test")
	to, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	return name
}

package deploytest

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// someUser is an ordinary user.
const someUser = 1000

// AllAsUser runs all tests of the test binary once more, as an ordinary user. Only
// root can become one: for others it does nothing.
func AllAsUser(t *testing.T) {
	if os.Getuid() != 0 {
		return
	}
	home, err := os.MkdirTemp("", "user")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	if err := os.Chown(home, someUser, someUser); err != nil {
		t.Fatal(err)
	}
	if out, err := AsUser(t, home, "-test.v").CombinedOutput(); err != nil {
		t.Errorf("as user %d: %v\n%s", someUser, err, out)
	}
}

// AsUser is a command that runs the test binary as an ordinary user, with a home.
func AsUser(t *testing.T, home string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), copyOfThis(t, home), args...)
	cmd.Dir, cmd.Env = home, append(os.Environ(), "TMPDIR="+home, "HOME="+home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: someUser, Gid: someUser}}
	return cmd
}

// copyOfThis copies the test binary to where another user can execute it.
func copyOfThis(t *testing.T, dir string) string {
	t.Helper()
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	name := filepath.Join(dir, "tests")
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

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/larch-project/larch/internal/vm/machine"
)

// needGuest skips a test that boots machines where that cannot be done.
func needGuest(t *testing.T) {
	t.Helper()
	switch _, err := os.Stat("/etc/debian_version"); {
	case os.Getenv("LARCH_TEST_LONG") == "":
		t.Skip("boots a virtual machine: LARCH_TEST_LONG=1 runs it")
	case err != nil || runtime.GOARCH != "amd64":
		t.Skip("guests have Debian's kernels for amd64, by apt")
	case os.Geteuid() != 0:
		t.Skip("showing all files to a guest needs root")
	}
}

// vm runs this program with arguments.
func vm(t *testing.T, args ...string) (stdout, stderr string, status int, err error) {
	t.Helper()
	var out, errOut strings.Builder
	status, err = program{&out, &errOut}.do(t.Context(), args)
	return out.String(), errOut.String(), status, err
}

// The power is cut in one machine, and the next finds on the disk what was synced.
// The latter also tells that a command's outputs, its status, and its changes below
// the folder to write, and these alone, come out.
func TestRun(t *testing.T) {
	needGuest(t)
	dir := t.TempDir()
	disk, inside, outside := filepath.Join(dir, "disk,1"), filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.Mkdir(inside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := newImage(disk); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", disk).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, stderr, status, err := vm(t, "run", "-disk", disk, "-kill-on", "NOW!", "--", "sh", "-c",
		"mount /dev/vda /mnt && echo synced >/mnt/file && sync && echo N; echo O; echo NOW!; sleep 600")
	if !errors.Is(err, machine.ErrCut) || status != statusCut {
		t.Fatalf("cutting the power: status %d, error %v\n%s", status, err, stderr)
	}
	script := "mount /dev/vda /mnt && cat /mnt/file; uname -r; grep -c ^dm_verity /proc/modules; echo problem >&2; unshare -U true || exit 8; " +
		"echo inside >" + inside + "/file; echo outside >" + outside + "; exit 7"
	stdout, stderr, status, err := vm(t, "run", "-disk", disk, "-write", inside, "-modules", "dm-verity", "--", "sh", "-c", script)
	if err != nil || status != 7 || stderr != "problem\n" {
		t.Errorf("status %d, error %v, stderr %q", status, err, stderr)
	}
	if lines := strings.Split(stdout, "\n"); len(lines) != 4 || lines[0] != "synced" || !strings.HasPrefix(lines[1], "6.12.") || lines[2] != "1" {
		t.Errorf("stdout %q", stdout)
	}
	if text, err := os.ReadFile(filepath.Join(inside, "file")); err != nil || string(text) != "inside\n" {
		t.Errorf("the folder to write: file %q, error %v", text, err)
	}
	if _, err := os.Stat(outside); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("outside of it: error %v", err)
	}
}

// The tests of the package for fs-verity pass where there is fs-verity.
func TestTest(t *testing.T) {
	needGuest(t)
	stdout, stderr, status, err := vm(t, "test", "-kernels", "6.12", "-run", "TestEnable", "../verity")
	if err != nil || status != 0 || !strings.Contains(stdout, "\nkernel 6.12: 1 passed, 0 failed, 0 skipped\n") {
		t.Errorf("status %d, error %v\n%s%s", status, err, stdout, stderr)
	}
}

// What cannot be is found out before a machine is booted.
func TestModuleThatIsNot(t *testing.T) {
	needGuest(t)
	_, _, status, err := vm(t, "run", "-modules", "no_such_module", "--", "true")
	if status != statusNoGuest || err == nil || !strings.Contains(err.Error(), "no_such_module") {
		t.Errorf("status %d, error %v", status, err)
	}
}

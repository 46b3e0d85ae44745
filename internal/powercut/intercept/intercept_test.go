package intercept

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	Child()
	os.Exit(m.Run())
}

// TestEveryCallIsAsked looks at all three ends: heard, done, and done instead.
func TestEveryCallIsAsked(t *testing.T) {
	dir := t.TempDir()
	heard := 0
	run := func(ask func(Call) Answer) error {
		cmd := exec.Command("/bin/mkdir", filepath.Join(dir, "a"))
		return Run(cmd, ask)
	}
	isMkdir := func(c Call) bool { return slices.Contains([]uintptr{unix.SYS_MKDIRAT, 83}, c.Number) }
	if err := run(func(c Call) Answer {
		if isMkdir(c) {
			heard++
			if _, err := os.Lstat(filepath.Join(dir, "a")); err == nil {
				t.Error("asked after the call")
			}
			return Answer{Instead: true}
		}
		return Answer{}
	}); err != nil || heard != 1 {
		t.Fatalf("%v, heard of %d", err, heard)
	}
	if _, err := os.Lstat(filepath.Join(dir, "a")); err == nil {
		t.Error("the call was made, though it was answered")
	}
	if err := run(func(c Call) Answer { return Answer{Instead: isMkdir(c), Error: unix.ENOSPC} }); err == nil {
		t.Error("mkdir took an error for success")
	}
	if err := run(func(Call) Answer { return Answer{} }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "a")); err != nil {
		t.Error(err)
	}
}

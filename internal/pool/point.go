package pool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// expect notes at a folder, below what is mounted there, which pool belongs there, in an
// attribute as the mark of the pool's file is one: without the pool nothing is to be
// written there. A file system without such attributes does without.
func expect(at *os.File, name string) error {
	err := unix.Fsetxattr(int(at.Fd()), markName, []byte(name), 0)
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("noting what belongs at %s: %w", at.Name(), err)
	}
	return nil
}

// Expected tells with ErrUnmounted that a pool belongs at an open folder, and is not mounted
// there. Only root sees it.
func Expected(at *os.File) error {
	if name := expected(at); name != "" {
		return fmt.Errorf("the pool %s, which belongs at %s, is %w", name, at.Name(), ErrUnmounted)
	}
	return nil
}

func expected(at *os.File) string {
	name := make([]byte, maxMark)
	n, err := unix.Fgetxattr(int(at.Fd()), markName, name)
	if err != nil { // there is none, or it is not ours to see
		return ""
	}
	return string(name[:n])
}

// unclaimed makes sure that no other pool than that of this name belongs at a folder.
func unclaimed(at, name string) error {
	dir, err := os.Open(at)
	if err != nil {
		return err
	}
	defer dir.Close()
	if other := expected(dir); other != "" && other != name {
		return Expected(dir)
	}
	return nil
}

// Forget has a folder be an ordinary one again, where no pool belongs.
func Forget(at string) error {
	dir, err := os.Open(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	if expected(dir) == "" {
		return nil
	}
	if err := unix.Fremovexattr(int(dir.Fd()), markName); err != nil {
		return &fs.PathError{Op: "forgetting the pool", Path: at, Err: err}
	}
	return nil
}

package install

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/trust"
)

// TestOthersMayNotWrite refuses to change what a group or everybody can change.
func TestOthersMayNotWrite(t *testing.T) {
	for _, mode := range []os.FileMode{0o775, 0o757, 0o777, 0o777 | os.ModeSticky} {
		dir := t.TempDir()
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		refused(t, dir)
	}
}

// refused wants nothing to be made in a folder.
func refused(t *testing.T, dir string) {
	t.Helper()
	before, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	p := newPublisher(t, trust.InitOptions{})
	m := openMachine(t, dir)
	if _, err := m.AddRemote(t.Context(), "example", p.path, p.fingerprint); !errors.Is(err, ErrOwner) {
		t.Errorf("%s: %v", dir, err)
	}
	if _, err := m.GC(t.Context(), GCOptions{}); !errors.Is(err, ErrOwner) {
		t.Errorf("%s: gc: %v", dir, err)
	}
	after, err := os.ReadDir(dir)
	if err != nil || len(after) != len(before) {
		t.Errorf("%s: %v, %v", dir, after, err)
	}
}

// TestFoldersAbove: who can rename an installation's folder can put another in its
// place.
func TestFoldersAbove(t *testing.T) {
	for _, c := range []struct {
		mode  os.FileMode
		owner int
		safe  bool
	}{
		{0o755, 0, true}, {0o777 | os.ModeSticky, 0, true}, {0o777, 0, false}, {0o775, 0, false}, {0o755, 54321, false}, {0o700, 54321, false},
	} {
		if os.Getuid() != 0 && (c.owner != 0 || c.mode == 0o775) {
			continue // who is not root cannot give folders away, and shares them with a group of his own
		}
		above := t.TempDir()
		dir := filepath.Join(above, "a", "machine")
		err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(above, c.mode))
		if os.Getuid() == 0 {
			err = errors.Join(err, os.Chown(above, c.owner, 0))
		}
		if err != nil {
			t.Fatal(err)
		}
		if !c.safe {
			refused(t, dir)
			continue
		}
		if _, err := openMachine(t, dir).GC(t.Context(), GCOptions{}); err != nil {
			t.Errorf("mode %v, owner %d: %v", c.mode, c.owner, err)
		}
	}
}

// TestOnlyAnEmptyFolderBecomesOne: what is in any other is nobody's to sweep.
func TestOnlyAnEmptyFolderBecomesOne(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "tmp", "precious")
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "tmp"), 0o755), os.WriteFile(precious, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	refused(t, dir)
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
	half := t.TempDir() // an attempt that was interrupted at the beginning
	for _, name := range []string{lockName, ".new-x"} {
		if err := os.WriteFile(filepath.Join(half, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := openMachine(t, half).GC(t.Context(), GCOptions{}); err != nil {
		t.Error(err)
	}
}

// TestFileSystemWithoutLinks is refused before anything is fetched, as FAT would be.
func TestFileSystemWithoutLinks(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	p.publish(hello, "1", program("1"))
	for _, lacks := range []string{"symlink", "link"} {
		m := newMachine(t)
		i := m.faulty(func(op, name string) error {
			if op == lacks {
				return unix.EPERM
			}
			return nil
		})
		if _, err := i.AddRemote(t.Context(), "example", p.path, p.fingerprint); !errors.Is(err, ErrOwner) {
			t.Errorf("without %ss: %v", lacks, err)
		}
		if names, err := os.ReadDir(m.dir); err != nil || len(names) != 1 { // the lock
			t.Errorf("without %ss: left %v, %v", lacks, names, err)
		}
	}
}

package pagecache

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func resident(t *testing.T, name string) (pages, all int) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if pages, all, err = Resident(f); err != nil {
		t.Fatal(err)
	}
	return pages, all
}

func TestResident(t *testing.T) {
	page := os.Getpagesize()
	name := filepath.Join(t.TempDir(), "file")
	if err := errors.Join(os.WriteFile(name, make([]byte, 100*page+1), 0o600), os.WriteFile(name+" empty", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if pages, all := resident(t, name); pages != 101 || all != 101 {
		t.Errorf("%d of %d after writing", pages, all)
	}
	if pages, all := resident(t, name+" empty"); pages != 0 || all != 0 {
		t.Errorf("%d of %d of nothing", pages, all)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(name, &fs); err != nil || fs.Type == unix.TMPFS_MAGIC {
		t.Skipf("on a file system that is memory itself, error %v", err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)); err != nil {
		t.Fatal(err)
	}
	if pages, all := resident(t, name); pages > 10 || all != 101 {
		t.Errorf("%d of %d after they were given up", pages, all)
	}
}

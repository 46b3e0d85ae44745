package beneath

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func open(t *testing.T) (*Dir, string) {
	t.Helper()
	path := t.TempDir()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, path
}

func write(t *testing.T, d *Dir, name, text string) {
	t.Helper()
	f, err := d.Create(name, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// TestNothingLeadsOut tries every call on names that lead out of the directory.
func TestNothingLeadsOut(t *testing.T) {
	outside := t.TempDir()
	canary := filepath.Join(outside, "canary")
	if err := os.WriteFile(canary, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, path := open(t)
	for name, target := range map[string]string{"abs": outside, "up": "..", "file": canary, "proc": "/proc/self/root", "loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, d, "own", "x")
	calls := map[string]func(name string) error{
		"Open":     func(n string) error { f, err := d.Open(n); closeAny(f); return err },
		"Create":   func(n string) error { f, err := d.Create(n, 0o644); closeAny(f); return err },
		"Write":    func(n string) error { f, err := d.OpenFile(n, unix.O_WRONLY|unix.O_TRUNC, 0); closeAny(f); return err },
		"OpenDir":  func(n string) error { sub, err := d.OpenDir(n); closeAny(sub); return err },
		"Mkdir":    func(n string) error { return d.Mkdir(n, 0o755) },
		"Symlink":  func(n string) error { return d.Symlink("x", n) },
		"Link":     func(n string) error { return d.Link(d, "own", n) },
		"Rename":   func(n string) error { return d.Rename("own", n) },
		"Exchange": func(n string) error { return d.Exchange("own", n) },
		"Remove":   func(n string) error { return d.Remove(n) },
		"ReadFile": func(n string) error { _, err := d.ReadFile(n, 100); return err },
		"ReadDir":  func(n string) error { _, err := d.ReadDir(n); return err },
		"Readlink": func(n string) error { _, err := d.Readlink(n); return err },
		"Lstat":    func(n string) error { _, err := d.Lstat(n); return err },
	}
	for what, call := range calls {
		for _, name := range []string{"abs/canary", "up/x", "../x", "x/../../y", "/etc/passwd", "proc/etc/passwd", "loop/x", "abs/new"} {
			if err := call(name); err == nil {
				t.Errorf("%s(%q) went out", what, name)
			}
		}
	}
	for _, name := range []string{"file", "abs"} { // links in the last place are not followed
		if err := calls["Open"](name); !errors.Is(err, unix.ELOOP) {
			t.Errorf("Open(%q): %v", name, err)
		}
		if err := calls["Write"](name); err == nil {
			t.Errorf("wrote through %q", name)
		}
	}
	if data, err := os.ReadFile(canary); err != nil || string(data) != "untouched" {
		t.Errorf("the canary is %q, %v", data, err)
	}
	if names, _ := os.ReadDir(outside); len(names) != 1 {
		t.Errorf("%d files outside", len(names))
	}
}

func closeAny[T io.Closer](c T) {
	if any(c) != nil {
		defer func() { recover() }() // a typed nil, of a call that failed
		c.Close()
	}
}

// TestRacingLinkIsNotFollowed swaps a folder for a link to elsewhere while files
// are made and removed in it.
func TestRacingLinkIsNotFollowed(t *testing.T) {
	d, path := open(t)
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Mkdir("dir", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(path, "link")); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				unix.Renameat2(unix.AT_FDCWD, filepath.Join(path, "dir"), unix.AT_FDCWD, filepath.Join(path, "link"), unix.RENAME_EXCHANGE)
			}
		}
	})
	for range 2000 {
		if f, err := d.Create("dir/f", 0o600); err == nil {
			f.Close()
		}
		d.Remove("dir/f")
		d.RemoveAll("dir/f")
	}
	close(stop)
	group.Wait()
	names, err := os.ReadDir(outside)
	if err != nil || len(names) != 1 || names[0].Name() != "f" {
		t.Errorf("outside there is %v now, %v", names, err)
	}
}

func TestUnnamedFilesGetNamesOnce(t *testing.T) {
	d, _ := open(t)
	f, err := d.Temp(0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if names, _ := d.ReadDir("."); len(names) != 0 {
		t.Errorf("an unnamed file is called %v", names)
	}
	if err := d.LinkFile(f, "name"); err != nil {
		t.Fatal(err)
	}
	if err := d.LinkFile(f, "name"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the same name again: %v", err)
	}
}

func TestRemoveAll(t *testing.T) {
	d, path := open(t)
	if err := d.MkdirAll("a/b/c", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := d.MkdirAll("a/b/c", 0o755); err != nil {
		t.Errorf("making what is there: %v", err)
	}
	write(t, d, "a/b/f", "x")
	if err := os.Chmod(filepath.Join(path, "a/b"), 0o500); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.RemoveAll("a"); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := d.ReadDir("."); err != nil || len(names) != 0 {
		t.Errorf("%v is left, %v", names, err)
	}
}

func TestFaultComesBeforeEveryChange(t *testing.T) {
	plain, _ := open(t)
	write(t, plain, "f", "x")
	stop := errors.New("stop")
	var ops []string
	d := plain.WithFault(func(op, name string) error { ops = append(ops, op); return stop })
	for op, call := range map[string]func() error{
		"create":   func() error { _, err := d.Create("new", 0o644); return err },
		"mkdir":    func() error { return d.Mkdir("new", 0o755) },
		"symlink":  func() error { return d.Symlink("x", "new") },
		"link":     func() error { return d.Link(d, "f", "new") },
		"rename":   func() error { return d.Rename("f", "new") },
		"exchange": func() error { return d.Exchange("f", "f") },
		"remove":   func() error { return d.Remove("f") },
		"sync":     func() error { return d.Sync() },
		"syncfs":   func() error { return d.SyncFS() },
	} {
		if err := call(); !errors.Is(err, stop) || !slices.Contains(ops, op) {
			t.Errorf("%s: %v", op, err)
		}
	}
	if names, _ := plain.ReadDir("."); !slices.Equal(names, []string{"f"}) {
		t.Errorf("there is %v now", names)
	}
}

func TestReadFileHasALimit(t *testing.T) {
	d, path := open(t)
	write(t, d, "f", "12345")
	if data, err := d.ReadFile("f", 5); err != nil || string(data) != "12345" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := d.ReadFile("f", 4); !errors.Is(err, ErrTooLarge) {
		t.Errorf("above the limit: %v", err)
	}
	if err := unix.Mkfifo(filepath.Join(path, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadFile("fifo", 10); err == nil {
		t.Error("a fifo was read")
	}
}

package inode

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func file(t *testing.T, content string) *os.File {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
	return f
}

func content(t *testing.T, f *os.File) string {
	data, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestCopy(t *testing.T) {
	long := strings.Repeat("larch", 100_000)
	for _, c := range []struct {
		from string
		size int64
		want string
		err  error
	}{
		{"", 0, "", nil},
		{"content", 7, "content", nil},
		{"content", 4, "cont", nil},
		{long, int64(len(long)), long, nil},
	} {
		to := file(t, "")
		if err := Copy(to, file(t, c.from), c.size); !errors.Is(err, c.err) {
			t.Errorf("copy of %d of %d bytes: error %v, want %v", c.size, len(c.from), err, c.err)
		}
		if have := content(t, to); have != c.want {
			t.Errorf("copy of %d of %d bytes has %d bytes", c.size, len(c.from), len(have))
		}
	}
}

func TestCopyThroughMemory(t *testing.T) {
	to := file(t, "con")
	if err := copyThrough(to, file(t, "content"), 3, 7); err != nil || content(t, to) != "content" {
		t.Errorf("copy has %q, error %v", content(t, to), err)
	}
	if err := copyThrough(to, file(t, "content"), 0, 8); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("copy of more than there is: error %v", err)
	}
}

func TestSetTime(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		flags int
	}{{".", unix.O_RDONLY}, {"link", unix.O_PATH | unix.O_NOFOLLOW}} {
		path := filepath.Join(dir, c.name)
		f, err := os.OpenFile(path, c.flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := SetTime(f, 1, 2); err != nil {
			t.Error(err)
		}
		info, err := os.Lstat(path)
		if err != nil || info.ModTime().UnixNano() != 1_000_000_002 {
			t.Errorf("%s: time %v, error %v", c.name, info.ModTime(), err)
		}
	}
}

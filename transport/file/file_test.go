package file_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/transport/file"
	"github.com/larch-project/larch/transport/transporttest"
)

func open(t *testing.T, dir string) transport.Transport {
	t.Helper()
	repository, err := file.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { repository.Close() })
	return repository
}

func TestSuite(t *testing.T) { transporttest.Run(t, open) }

func TestSuiteCounting(t *testing.T) {
	transporttest.Run(t, func(t *testing.T, dir string) transport.Transport {
		return transport.Counting(open(t, dir), new(transport.Stats))
	})
}

func TestMissingFolder(t *testing.T) {
	if _, err := file.New(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

// Nothing but regular files below the folder is read, and nothing waits.
func TestOnlyRegularFiles(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, err := range []error{
		os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "link")),
		os.Symlink(outside, filepath.Join(dir, "folder")),
		unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644),
		os.Mkdir(filepath.Join(dir, "empty"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	repository := open(t, dir)
	for _, name := range []string{"link", "folder/secret", "fifo", "empty"} {
		if _, err := repository.Fetch(t.Context(), transport.Request{Name: name}); err == nil {
			t.Errorf("%s: fetched", name)
		}
	}
}

// A file that becomes shorter while it is read has no clean end.
func TestShortened(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pack")
	if err := os.WriteFile(path, make([]byte, 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	res, err := open(t, dir).Fetch(t.Context(), transport.Request{Name: "pack"})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := os.Truncate(path, 500); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, res.Body); !errors.Is(err, transport.ErrChanged) {
		t.Errorf("%d bytes, then %v: not ErrChanged", n, err)
	}
}

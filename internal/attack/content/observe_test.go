package content

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/larch-project/larch/digest"
)

// describe lists what is below a path, with modes and contents, and if times is set
// those of modification and change too.
func describe(t testing.TB, root string, times bool) (list []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		s := fmt.Sprintf("%q %v", strings.TrimPrefix(path, root), info.Mode())
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			s += fmt.Sprintf(" %d %s", len(data), digest.Of(data).Short())
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			s += fmt.Sprintf(" -> %q", target)
		}
		if st := info.Sys().(*syscall.Stat_t); times {
			s += fmt.Sprint(" ", st.Mtim, st.Ctim)
		}
		list = append(list, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// disk is what the files below a folder take, each inode once.
func disk(t testing.TB, root string) (bytes int64) {
	t.Helper()
	seen := map[uint64]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if st := info.Sys().(*syscall.Stat_t); !seen[st.Ino] {
			seen[st.Ino] = true
			bytes += st.Blocks * 512
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

// listing gives the names below an installation, those of generations without their
// numbers.
func (m *machine) listing(t testing.TB) (names []string) {
	t.Helper()
	err := filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, m.dir)
		if rest, of := strings.CutPrefix(name, "/generations/"); of {
			_, rest, _ = strings.Cut(rest, "/")
			name = "/generations/N/" + rest
		}
		if !strings.HasPrefix(name, "/objects/") || !d.IsDir() { // empty ones stay, of 256
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/larch-project/larch/internal/beneath"
)

// TestOldOrNewAtEveryChange stops each operation before each of its changes, and
// looks at what there is.
func TestOldOrNewAtEveryChange(t *testing.T) {
	stop := errors.New("stop")
	for what, op := range map[string]func(d *beneath.Dir) error{
		"WriteFile": func(d *beneath.Dir) error { return WriteFile(d, "dir/name", []byte("new"), 0o640) },
		"Stream": func(d *beneath.Dir) error {
			return Stream(d, "dir/name", 0o640, func(w io.Writer) error {
				_, err := io.WriteString(w, "new")
				return err
			})
		},
		"Symlink": func(d *beneath.Dir) error { return Symlink(d, "new", "dir/name") },
	} {
		for at, done := 1, false; !done; at++ {
			path := t.TempDir()
			if err := os.Mkdir(filepath.Join(path, "dir"), 0o755); err != nil {
				t.Fatal(err)
			}
			plain, err := beneath.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if what == "Symlink" {
				err = Symlink(plain, "old", "dir/name")
			} else {
				err = WriteFile(plain, "dir/name", []byte("old"), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			count := 0
			err = op(plain.WithFault(func(string, string) error {
				if count++; count >= at {
					return stop
				}
				return nil
			}))
			done = err == nil
			have := content(t, filepath.Join(path, "dir/name"))
			if have != "old" && have != "new" || done && have != "new" {
				t.Errorf("%s stopped at change %d: %q", what, at, have)
			}
			plain.Close()
		}
	}
}

// TestInterruptedCreateLeavesNothing stops it at each change for good, as a kill does.
func TestInterruptedCreateLeavesNothing(t *testing.T) {
	for at, done := 1, false; !done; at++ {
		path := t.TempDir()
		plain, err := beneath.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		err = Create(plain.WithFault(func(string, string) error {
			if count++; count >= at {
				return errors.New("stop")
			}
			return nil
		}), "name", []byte("new"), 0o640)
		done = err == nil
		for _, name := range names(t, path) {
			if name != "name" || content(t, filepath.Join(path, name)) != "new" {
				t.Errorf("stopped at change %d: there is %s", at, name)
			}
		}
		plain.Close()
	}
}

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func content(t *testing.T, path string) string {
	t.Helper()
	if target, err := os.Readlink(path); err == nil {
		return target
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestCreateReplacesNothing(t *testing.T) {
	path := t.TempDir()
	d, err := beneath.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := Create(d, "name", []byte("first"), 0o604); err != nil {
		t.Fatal(err)
	}
	if err := Create(d, "name", []byte("second"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("again: %v", err)
	}
	info, err := os.Stat(filepath.Join(path, "name"))
	if err != nil || info.Mode() != 0o604 || content(t, filepath.Join(path, "name")) != "first" {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if names, _ := d.ReadDir("."); len(names) != 1 {
		t.Errorf("left: %v", names)
	}
}

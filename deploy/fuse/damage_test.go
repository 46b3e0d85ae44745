package fuse_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
)

// flip gives a change of a bit at an offset.
func flip(at int64) func(name string) error {
	return func(name string) error {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		data[at] ^= 1
		return os.WriteFile(name, data, 0)
	}
}

// each block of a file is right, or an error if it is among the wrong ones
func eachBlock(t *testing.T, name string, want []byte, wrong func(block int) bool) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, digest.BlockSize)
	for at := 0; at < len(want); at += digest.BlockSize {
		block := at / digest.BlockSize
		n, err := f.ReadAt(buf[:min(digest.BlockSize, len(want)-at)], int64(at))
		switch {
		case wrong(block) && !errors.Is(err, unix.EIO):
			t.Errorf("block %d is wrong: error %v", block, err)
		case !wrong(block) && (err != nil || !bytes.Equal(buf[:n], want[at:at+n])):
			t.Errorf("block %d is right: %d bytes, error %v", block, n, err)
		}
	}
}

// a bit that changes in the store is an error where it is, and nowhere else
func TestDamagedBlock(t *testing.T) {
	m := needsServer(t)
	for i, c := range []struct {
		name string
		size int
		at   int64
	}{
		{"of a small file", 3000, 2999},
		{"the first", 70_000, 0},
		{"the last", 70_000, 69_999},
		{"of a file that is read ahead", 5 << 20, 3<<20 + 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := random(byte(10+i), c.size)
			m.put(t, data)
			view := m.open(t, backend, specOf(t, fmt.Sprint("release", i), data))
			m.alter(t, data, flip(c.at))
			block := int(c.at / digest.BlockSize)
			name := filepath.Join(view.Path, "0")
			eachBlock(t, name, data, func(b int) bool { return b == block })
			if _, err := os.ReadFile(name); !errors.Is(err, unix.EIO) {
				t.Errorf("read to its end: error %v", err)
			}
			said := m.log(t)
			if want := fmt.Sprintf("release%d/0: ", i); !strings.Contains(said, want) || !strings.Contains(said, "larch verify --repair") {
				t.Errorf("the log does not say what to do: %s", said)
			}
			if want := fmt.Sprintf("block %d ", block); c.size > digest.BlockSize && !strings.Contains(said, want) {
				t.Errorf("the log does not name %s: %s", want, said)
			}
			m.alter(t, data, func(string) error { return nil }) // mended, it is right at once
			eachBlock(t, name, data, func(int) bool { return false })
		})
	}
}

// objects that are other files, or none, are an error: never other bytes
func TestExchangedObject(t *testing.T) {
	m := needsServer(t)
	for i, change := range []func(string) error{
		func(name string) error { return os.WriteFile(name, random(99, 70_000), 0) },
		func(name string) error { return os.WriteFile(name, nil, 0) },
		func(name string) error { return os.Truncate(name, 4096) },
		func(name string) error { return os.Truncate(name, 70_001) },
		func(name string) error { return errors.Join(os.Remove(name), os.Symlink("/etc/passwd", name)) },
		func(name string) error { return errors.Join(os.Remove(name), os.Mkdir(name, 0o755)) },
	} {
		data := random(byte(30+i), 70_000)
		m.put(t, data)
		view := m.open(t, backend, specOf(t, fmt.Sprint("release", i), data))
		if err := os.Remove(m.object(data)); err != nil {
			t.Fatal(err)
		}
		m.alter(t, data, change)
		have, err := os.ReadFile(filepath.Join(view.Path, "0"))
		if right := bytes.Equal(have, data); !errors.Is(err, unix.EIO) && !(right && i == 3) {
			t.Errorf("change %d: %d bytes, error %v", i, len(have), err)
		}
		if !bytes.HasPrefix(data, have) {
			t.Errorf("change %d: wrong bytes", i)
		}
	}
}

// content that is gone is an error that the log explains
func TestMissingObject(t *testing.T) {
	m := needsServer(t)
	data := random(1, 70_000)
	m.put(t, data)
	view := m.open(t, backend, specOf(t, "release", data))
	if err := os.Remove(m.object(data)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(filepath.Join(view.Path, "0")); !errors.Is(err, unix.EIO) {
		t.Errorf("missing: error %v", err)
	}
	if said := m.log(t); !strings.Contains(said, "is missing") {
		t.Errorf("the log does not say so: %s", said)
	}
}

// leaves and index that are damaged show no wrong bytes, and Make mends them
func TestDamagedDeployment(t *testing.T) {
	for _, name := range []string{"leaves", "index"} {
		t.Run(name, func(t *testing.T) {
			m := needsServer(t)
			data := random(1, 70_000)
			m.put(t, data)
			spec := specOf(t, "release", data)
			if err := backend.Make(t.Context(), m.site, spec); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(m.dir, "deployments/release.fuse", name)
			if err := flip(100)(file); err != nil {
				t.Fatal(err)
			}
			view, err := backend.Open(t.Context(), m.site, "release")
			if err == nil {
				have, err := os.ReadFile(filepath.Join(view.Path, "0"))
				if err != nil || !bytes.Equal(have, data) {
					t.Errorf("leaves are made anew from the content: equal %v, error %v", bytes.Equal(have, data), err)
				}
				view.Close()
			} else if name == "leaves" {
				t.Error(err)
			}
			if said := m.log(t); name == "index" && !strings.Contains(said, "release cannot be shown") {
				t.Errorf("the log does not say so: %s", said)
			}
			view = m.open(t, backend, spec)
			eachBlock(t, filepath.Join(view.Path, "0"), data, func(int) bool { return false })
		})
	}
}

// the log does not grow without end
func TestLogIsBounded(t *testing.T) {
	m := needsServer(t)
	data := random(1, 5000)
	m.put(t, data)
	view := m.open(t, backend, specOf(t, "release", data))
	m.alter(t, data, flip(0))
	f, err := os.Open(filepath.Join(view.Path, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 2000 {
		if _, err := f.ReadAt(make([]byte, 10), 0); !errors.Is(err, unix.EIO) {
			t.Fatalf("damaged: error %v", err)
		}
	}
	if said := m.log(t); len(said) > 256<<10 || len(said) < 128<<10 {
		t.Errorf("the log has %d bytes", len(said))
	}
}

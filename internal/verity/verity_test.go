package verity

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
)

// folders are on all file systems that there are to try.
func folders(t *testing.T) []string {
	all := []string{t.TempDir()}
	if btrfs := os.Getenv("LARCH_VM_BTRFS"); btrfs != "" {
		all = append(all, btrfs)
	}
	return all
}

func written(t *testing.T, dir string, content []byte) *os.File {
	t.Helper()
	f, err := os.CreateTemp(dir, "file")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	return f
}

// Where the file system has fs-verity, the kernel's measure is our digest and the
// file cannot change; where it has not, the file is as it was.
func TestEnable(t *testing.T) {
	for _, dir := range folders(t) {
		testEnable(t, dir)
	}
}

func testEnable(t *testing.T, dir string) {
	for _, size := range []int{0, 1, digest.BlockSize, digest.BlockSize + 1, 129 * digest.BlockSize, 1 << 20} {
		content := bytes.Repeat([]byte{byte(size), 7, 1}, size)[:size]
		f := written(t, dir, content)
		sealed, have, err := Enable(f)
		if errors.Is(err, ErrUnsupported) {
			if os.Getenv("LARCH_VM") != "" {
				t.Fatalf("the file system here must have fs-verity: %v", err)
			}
			if _, err := f.Write(content); err != nil {
				t.Errorf("where there is no fs-verity: writing on: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		defer sealed.Close()
		if want := digest.Of(content); have != want {
			t.Errorf("%d bytes: the kernel measures %v, want %v", size, have, want)
		}
		if w, err := os.OpenFile(f.Name(), os.O_WRONLY, 0); !errors.Is(err, unix.EPERM) {
			w.Close()
			t.Errorf("%d bytes: opening for writing: error %v", size, err)
		}
		if again, err := Measure(sealed); again != have || err != nil {
			t.Errorf("%d bytes: measured again: %v, error %v", size, again, err)
		}
	}
}

func TestMeasureOfOrdinaryFile(t *testing.T) {
	f := written(t, t.TempDir(), []byte("content"))
	if d, err := Measure(f); !errors.Is(err, ErrUnsupported) && !errors.Is(err, unix.ENODATA) || !d.IsZero() {
		t.Errorf("measured %v, error %v", d, err)
	}
	if err := Probe(written(t, t.TempDir(), nil)); err != nil && !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
}

package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/verity"
)

// Where the file system has fs-verity each object is measured by the kernel before
// it has its name; where it has not, an object is as good as its last reading.
func TestVerity(t *testing.T) {
	testVerity(t, t.TempDir())
	if btrfs := os.Getenv("LARCH_VM_BTRFS"); btrfs != "" {
		dir := filepath.Join(btrfs, "store")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		testVerity(t, dir)
	}
}

func testVerity(t *testing.T, dir string) {
	s := opened(t, dir, nil)
	data := bytes.Repeat([]byte("larch"), 30_000)
	mustPut(t, s, false, data)
	o := object(data, false)
	probe, err := os.Create(filepath.Join(dir, "probe"))
	if err != nil {
		t.Fatal(err)
	}
	supported := verity.Probe(probe) == nil
	if have := s.Measured(o); have != supported {
		t.Errorf("measured: %v, fs-verity: %v", have, supported)
	}
	if measured, err := s.Verify(o, true); measured != supported || err != nil {
		t.Errorf("verified: measured %v, error %v", measured, err)
	}
	if measured, err := s.Verify(o, false); measured || err != nil {
		t.Errorf("verified by reading: measured %v, error %v", measured, err)
	}
	if !supported {
		if os.Getenv("LARCH_VM") != "" {
			t.Error("the file system here must have fs-verity")
		}
		return
	}
	if f, err := os.OpenFile(filepath.Join(dir, o.Name()), os.O_WRONLY, 0); !errors.Is(err, unix.EPERM) {
		f.Close()
		t.Errorf("an object was opened for writing: error %v", err)
	}
}

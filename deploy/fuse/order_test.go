package fuse

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
)

// FuzzOrder: of a record that was cut or spoilt, what stands before that counts.
func FuzzOrder(f *testing.F) {
	f.Add([]byte(digest.Of(nil).String() + "\n" + digest.Of([]byte("x")).String()[:10]))
	f.Add([]byte("\n"))
	path := f.TempDir()
	dir, err := beneath.Open(path)
	if err == nil {
		err = dir.MkdirAll(orderFolder, 0o755)
	}
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { dir.Close() })
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(path, orderFolder, "release"), data, 0o644); err != nil {
			t.Fatal(err)
		}
		all, err := Order(dir, "release")
		if err != nil || len(all) > len(data)/(2*digest.Size)+1 {
			t.Errorf("%d digests of %d bytes, %v", len(all), len(data), err)
		}
	})
}

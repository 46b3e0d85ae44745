package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/larch-project/larch/internal/beneath"
)

// FuzzUnclean: of the list that a crash may have cut or spoilt, whole lines count.
func FuzzUnclean(f *testing.F) {
	f.Add([]byte("objects/ab/" + string(make([]byte, 62)) + "\n"))
	f.Add([]byte("../x\n\n"))
	path := f.TempDir()
	dir, err := beneath.Open(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { dir.Close() })
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(path, uncleanName), data, 0o644); err != nil {
			t.Fatal(err)
		}
		var d doubts
		if err := d.load(dir); err != nil {
			t.Fatal(err)
		}
		for k := range d.set {
			if o, err := parseObject(k.object().path()); err != nil || o.key() != k {
				t.Errorf("%v, %v", k, err)
			}
		}
	})
}

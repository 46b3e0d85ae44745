package deploy

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/larch-project/larch/internal/beneath"
)

// FuzzReadNote: a note is read whole, or as if it were not there.
func FuzzReadNote(f *testing.F) {
	f.Add([]byte(`{"Name":"x","Size":7}`))
	f.Add([]byte(`{"Size":1e99}`))
	path := f.TempDir()
	dir, err := beneath.Open(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { dir.Close() })
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(path, NoteName), data, 0o644); err != nil {
			t.Fatal(err)
		}
		var note struct {
			Name string
			Size int64
			List []string
		}
		if err := ReadNote(dir, &note); err != nil && !os.IsNotExist(err) && len(data) < maxNote {
			t.Errorf("%q: %v", data, err)
		}
	})
}

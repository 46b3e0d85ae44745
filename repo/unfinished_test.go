package repo

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestInitGoesOn makes a repository over what an interrupted one has left, and over
// nothing else.
func TestInitGoesOn(t *testing.T) {
	for _, c := range []struct {
		left string // of an Init
		ok   bool
	}{
		{"index/", true}, {"packs/", true}, {".new-ABC", true}, {FormatName, true}, {"trust/", true}, {"trust/1.targets.json", true},
		{"trust/1.root.json", false}, {"packs/x", false}, {"other", false}, {"other/", false},
	} {
		dir := t.TempDir()
		at := filepath.Join(dir, c.left)
		if err := os.MkdirAll(filepath.Dir(at+"."), 0o755); err != nil {
			t.Fatal(err)
		}
		if at == filepath.Clean(at) && c.left[len(c.left)-1] != '/' {
			if err := os.WriteFile(at, []byte("half"), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		r, err := Init(dir)
		if err == nil {
			r.Close()
		}
		if (err == nil) != c.ok || !c.ok && !errors.Is(err, ErrExists) {
			t.Errorf("%s: %v", c.left, err)
		}
	}
}

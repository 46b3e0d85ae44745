package tempfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"testing"
)

func TestNew(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	for name, make := range map[string]func() (*os.File, error){"unnamed": New, "named": func() (*os.File, error) { return named(dir) }} {
		f, err := make()
		if err != nil {
			t.Fatal(name, err)
		}
		defer f.Close()
		if list, err := os.ReadDir(dir); len(list) > 0 || err != nil {
			t.Errorf("%s: the folder has %v (%v)", name, list, err)
		}
		if _, err := f.WriteString("text"); err != nil {
			t.Fatal(name, err)
		}
		if text, err := io.ReadAll(io.NewSectionReader(f, 0, 9)); string(text) != "text" || err != nil {
			t.Errorf("%s: read %q (%v)", name, text, err)
		}
	}
	t.Setenv("TMPDIR", dir+"/none")
	if _, err := New(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v", err)
	}
}

package deploytest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
)

// a bit is flipped in stored content: a backend that promises so gives an error
// at the read, any other a tree in which Compare finds it
func (s suite) damage(t *testing.T) {
	site, contents := s.site(t)
	spec := tangled().spec(t, "release", contents)
	if err := s.backend.Make(t.Context(), site, spec); err != nil {
		t.Fatal(err)
	}
	program := content("program", 70_000)
	name := filepath.Join(site.Root.Path(), path(digest.Of(program), true))
	flip(t, name, 40_000)
	view, err := s.backend.Open(t.Context(), site, spec.Name)
	if err != nil {
		t.Logf("opening refuses: %v", err)
		return
	}
	defer view.Close()
	if s.backend.Probe(t.Context(), site).Verifies == deploy.Signed {
		if _, err := read(t, view, "bin/program"); err == nil {
			t.Error("damaged content was read without an error")
		}
		return
	}
	found := problems(t, view, spec)
	if len(found) == 0 {
		t.Log("the damage does not reach this form")
	}
	for _, d := range found {
		if d.Path != "/bin/program" && d.Path != "/bin/program2" {
			t.Errorf("%s is blamed: %s", d.Path, d.Problem)
		}
	}
}

// flip changes one bit and leaves all else as it was.
func flip(t *testing.T, name string, offset int) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{data[offset] ^ 1}, int64(offset)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	seal(t, name, info.Mode()&0o100 != 0)
}

func (s suite) missingContent(t *testing.T) {
	site, contents := s.site(t)
	spec := tangled().spec(t, "release", contents)
	data := content("data", 5000)
	if err := os.Remove(filepath.Join(site.Root.Path(), path(digest.Of(data), false))); err != nil {
		t.Fatal(err)
	}
	if err := s.backend.Make(t.Context(), site, spec); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("made without a content: error %v", err)
	}
	s.isAbsent(t, site, spec.Name)
	s.noLeftovers(t, site)
}

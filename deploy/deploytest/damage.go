package deploytest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
)

// a bit is flipped in stored content: a backend that promises so gives an error at
// the read, any other a tree in which Compare finds it. All other files are as they
// were.
func (s suite) damage(t *testing.T) {
	promised := s.promise(t)
	for _, c := range []struct {
		name  string
		data  []byte
		shown []string
	}{
		{"program", content("program", 70_000), []string{"bin/program", "bin/program2"}},
		{"data", content("data", 5000), []string{"share/data"}},
		{"own", content("own", 500), []string{"share/own", "share/plus"}},
	} {
		for _, offset := range []int{0, len(c.data) / 2, len(c.data) - 1} {
			t.Run(fmt.Sprintf("%s at %d", c.name, offset), func(t *testing.T) {
				site, contents := s.site(t)
				spec := tangled().spec(t, "release", contents)
				if err := s.backend.Make(t.Context(), site, spec); err != nil {
					t.Fatal(err)
				}
				contents.flip(t, c.data, offset)
				view, err := s.backend.Open(t.Context(), site, spec.Name)
				if err != nil {
					t.Logf("opening refuses: %v", err)
					return
				}
				defer view.Close()
				if promised == deploy.Signed {
					s.refused(t, view, c.shown)
				} else {
					s.found(t, view, spec, c.shown)
				}
			})
		}
	}
}

// promise is what the backend says of this machine.
func (s suite) promise(t *testing.T) deploy.Guarantee {
	site, _ := s.site(t)
	return s.backend.Probe(t.Context(), site).Verifies
}

// refused fails the test unless reading the damaged files is an error, and reading
// others is none.
func (s suite) refused(t *testing.T, view *deploy.View, damaged []string) {
	t.Helper()
	for _, name := range []string{"bin/program", "bin/program2", "bin/script", "share/data", "share/own", "share/plus"} {
		_, err := read(t, view, name)
		if hit := slices.Contains(damaged, name); hit && err == nil {
			t.Errorf("%s was read without an error", name)
		} else if !hit && err != nil && !strings.Contains(err.Error(), damaged[0]) { // a sample may refuse the whole
			t.Errorf("%s, which is whole: %v", name, err)
		}
	}
}

// found fails the test if other files are blamed than the damaged ones.
func (s suite) found(t *testing.T, view *deploy.View, spec deploy.Spec, damaged []string) {
	t.Helper()
	found, err := examine(t, view, spec)
	if err != nil {
		t.Logf("looking refuses: %v", err)
		return
	}
	if len(found) == 0 {
		t.Log("the damage does not reach this form")
	}
	for _, d := range found {
		if !slices.Contains(damaged, string(d.Path[1:])) {
			t.Errorf("%s is blamed: %s", d.Path, d.Problem)
		}
	}
}

// flip changes one bit of a content, in both of its forms.
func (c *Contents) flip(t *testing.T, data []byte, offset int) {
	t.Helper()
	for _, executable := range []bool{false, true} {
		flip(t, filepath.Join(c.root.Path(), path(digest.Of(data), executable)), offset)
	}
}

// flip changes one bit and leaves all else as it was. A file that the kernel does not
// let anybody change is replaced.
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
	if errors.Is(err, fs.ErrPermission) {
		if err = os.Remove(name); err == nil {
			if err = os.WriteFile(name, data, 0o600); err == nil {
				f, err = os.OpenFile(name, os.O_WRONLY, 0)
			}
		}
	}
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

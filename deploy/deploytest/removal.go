package deploytest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
)

func (s suite) removalInUse(t *testing.T) {
	site, spec := s.made(t, tangled())
	view, second := s.open(t, site, spec.Name), s.open(t, site, spec.Name)
	var f *os.File
	if view.Prepare == nil {
		var err error
		if f, err = os.Open(filepath.Join(view.Path, "bin/program")); err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	for _, v := range []*deploy.View{view, second} {
		if err := s.backend.Remove(t.Context(), site, spec.Name); !errors.Is(err, deploy.ErrInUse) {
			t.Errorf("removed while in use: error %v", err)
		}
		same(t, v, spec)
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
	for range 2 { // the second time there is none
		if err := s.backend.Remove(t.Context(), site, spec.Name); err != nil {
			t.Error(err)
		}
	}
	s.isAbsent(t, site, spec.Name)
	if err := s.backend.Make(t.Context(), site, spec); err != nil {
		t.Errorf("made once more: %v", err)
	}
	s.isThere(t, site, spec)
	want := content("program", 70_000)
	if f == nil {
		return
	}
	if err := digest.Verify(f, digest.Of(want), int64(len(want))); err != nil {
		t.Errorf("a file that was open before the removal: %v", err)
	}
}

// the program goes on when who started it has gone
func (s suite) removalWithChild(t *testing.T) {
	site, spec := s.made(t, tangled())
	view := s.open(t, site, spec.Name)
	child := exec.Command("cat")
	child.ExtraFiles = []*os.File{view.Hold}
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if view.Prepare != nil {
		if err := view.Prepare(t.Context(), child); err != nil {
			t.Fatal(err)
		}
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if err := view.Hold.Close(); err != nil {
		t.Error(err)
	}
	if err := s.backend.Remove(t.Context(), site, spec.Name); !errors.Is(err, deploy.ErrInUse) {
		t.Errorf("removed while a child holds it: error %v", err)
	}
	if err := errors.Join(in.Close(), child.Wait()); err != nil {
		t.Error(err)
	}
	if err := s.backend.Remove(t.Context(), site, spec.Name); err != nil {
		t.Error(err)
	}
	s.isAbsent(t, site, spec.Name)
}

func (s suite) removalFollowsNothing(t *testing.T) {
	outside := t.TempDir()
	sentinel := filepath.Join(outside, "sentinel")
	if err := os.WriteFile(sentinel, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	site, spec := s.made(t, NewRelease().Symlink("/out", outside).Dir("/d").Symlink("/d/out", sentinel))
	if err := s.backend.Remove(t.Context(), site, spec.Name); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(sentinel); err != nil || string(data) != "kept" {
		t.Errorf("outside of the deployment: %q, error %v", data, err)
	}
}

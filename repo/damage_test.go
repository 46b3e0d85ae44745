package repo_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/larch-project/larch/internal/sealed"
	"github.com/larch-project/larch/repo"
)

// TestPruneRemovesNothingByAWrongIndex puts back the index of before a repack,
// whose packs are gone.
func TestPruneRemovesNothingByAWrongIndex(t *testing.T) {
	w := newWorld(t)
	w.publish(hello, "1", files{"a": noise(1, 5000)})
	last := w.publish(hello, "2", files{"a": noise(1, 5000), "b": noise(2, 5000)})
	path := filepath.Join(w.path, repo.IndexName(last.Release))
	stale, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.repo.Repack(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if _, err := w.repo.Prune(t.Context(), 0, now.Add(48*time.Hour), false); err != nil {
		t.Fatal(err)
	}
	before := w.names()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w.overwrite(path, stale)
	if _, err := w.repo.Prune(t.Context(), 0, now.Add(48*time.Hour), false); err == nil {
		t.Error("prune went by an index whose packs are gone")
	}
	w.overwrite(path, good)
	if after := w.names(); strings.Join(before, " ") != strings.Join(after, " ") {
		t.Errorf("prune removed something: %v became %v", before, after)
	}
	w.expectClean()
}

// TestAWrongIndexIsAnErrorEverywhere moves a large content to the last frame.
func TestAWrongIndexIsAnErrorEverywhere(t *testing.T) {
	w := newWorld(t)
	done := w.publish(hello, "1", files{"large": noise(1, 3<<20), "small": noise(2, 5000)})
	rel, err := w.repo.Release(done.Release)
	if err != nil {
		t.Fatal(err)
	}
	ix, err := w.repo.Index(done.Release, rel.Tree)
	if err != nil {
		t.Fatal(err)
	}
	for i := range ix.Objects {
		ix.Objects[i] = repo.Location{Frame: int32(len(ix.Frames) - 1)}
	}
	var doc strings.Builder
	out, err := sealed.NewWriter(&doc)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(ix.Encode(out), out.Close()); err != nil {
		t.Fatal(err)
	}
	w.overwrite(filepath.Join(w.path, repo.IndexName(done.Release)), []byte(doc.String()))
	if _, err := w.repo.Repack(t.Context(), now); !errors.Is(err, repo.ErrIndex) {
		t.Errorf("repack: %v", err)
	}
	if _, err := w.repo.Prune(t.Context(), 0, now, false); !errors.Is(err, repo.ErrIndex) {
		t.Errorf("prune: %v", err)
	}
	if len(w.findings()) == 0 {
		t.Error("check finds nothing")
	}
}

// TestPublishingAgainBringsBack loses or spoils each file of a release, and
// publishes its folder again.
func TestPublishingAgainBringsBack(t *testing.T) {
	content := files{"a": noise(1, 5000), "b": noise(2, 300<<10)}
	for what, harm := range map[string]func(path string) error{
		"lost":   os.Remove,
		"spoilt": func(path string) error { return os.WriteFile(path, []byte("rubbish"), 0o644) },
		"cut":    func(path string) error { return os.Truncate(path, 10) },
	} {
		for _, folder := range []string{"packs", "index", "trees"} {
			w := newWorld(t)
			w.publish(hello, "1", content)
			for _, name := range w.names() {
				if strings.HasPrefix(name, folder+"/") {
					if err := harm(filepath.Join(w.path, name)); err != nil {
						t.Fatal(err)
					}
				}
			}
			again := w.publish(hello, "2", content)
			have := w.contents(again.Release)
			if have["/files/a"] != content["a"] || have["/files/b"] != content["b"] {
				t.Errorf("%s %s: the new release is not whole", folder, what)
			}
		}
	}
}

// TestRepackSettlesOnContentOfSeveralPacks has nothing to gain.
func TestRepackSettlesOnContentOfSeveralPacks(t *testing.T) {
	w := newWorld(t)
	w.publish(hello, "1", files{"huge": noise(1, 140<<20)})
	for range 2 {
		done, err := w.repo.Repack(t.Context(), now)
		if err != nil || done.Retired != 0 {
			t.Errorf("repack: %+v, %v", done, err)
		}
	}
}

package composefs_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/composefs"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
)

// stating is a Content whose releases state an image.
type stating struct {
	deploy.Content
	image digest.Digest
}

func (s *stating) Image(string) (digest.Digest, error) { return s.image, nil }

// An image that is not the one that the release states is not made, and not mounted.
func TestStatedImage(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount images")
	}
	root, err := beneath.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	trial, err := deploy.NewTrial(root, "composefs")
	if err != nil {
		t.Fatal(err)
	}
	defer trial.Close()
	b, site, spec := composefs.Backend{}, trial.Site, trial.Spec
	content := &stating{site.Content, digest.Of([]byte("another image"))}
	site.Content = content
	if err := b.Make(t.Context(), site, spec); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("made, although the release states another image: %v", err)
	}
	if _, err := b.Open(t.Context(), site, spec.Name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening what was refused: %v", err)
	}
	content.image = digest.Digest{} // stated by nobody
	if err := b.Make(t.Context(), site, spec); err != nil {
		t.Fatal(err)
	}
	content.image = digest.Of([]byte("another image"))
	if _, err := b.Open(t.Context(), site, spec.Name); !errors.Is(err, deploy.ErrDamaged) || !strings.Contains(err.Error(), "states") {
		t.Errorf("mounted, although the release states another image: %v", err)
	}
	if err := b.Remove(t.Context(), site, spec.Name); err != nil {
		t.Error(err)
	}
}

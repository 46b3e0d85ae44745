package tree_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/erofs"
	"github.com/larch-project/larch/tree"
)

// The image of a tree is that of its text, which is a dump as other tools read it.
func TestImageIsThatOfTheText(t *testing.T) {
	names, err := filepath.Glob("../spec/vectors/tree/accept-*.txt")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := data[bytes.Index(data, []byte("/ 0 ")):] // behind the vector's header
		have, err := tree.ImageDigest(tree.Decode(bytes.NewReader(text)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b := erofs.NewBuilder()
		if err := b.ReadDump(bytes.NewReader(text)); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		img, err := b.Finish(erofs.Larch)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var want digest.Hasher
		if _, err := img.WriteTo(&want); err != nil || want.Digest() != have {
			t.Errorf("%s: %v by entries, %v by the text, error %v", strings.TrimPrefix(name, "../"), have, want.Digest(), err)
		}
	}
}

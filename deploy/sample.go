package deploy

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/tree"
)

// Sample is a file of a tree that is read through a new mount before anybody else
// sees it: overlayfs that does not know its marks shows zeros of the right length,
// without an error. The zero Sample is of a tree whose contents all stand in it.
type Sample struct {
	Path   string        `json:"path"`
	Object string        `json:"object"` // where its content is, below the site's root
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
}

// wholeSample is up to what size a sample is read whole, in bytes. Of a larger one the
// beginning is compared with the object's.
const wholeSample = 256 << 10

// Consider takes an entry whose content is an object if it is smaller than the sample
// so far.
func (s *Sample) Consider(e *tree.Entry, object string) {
	if s.Path == "" || e.Size < s.Size {
		*s = Sample{string(e.Path), object, e.Digest, e.Size}
	}
}

// Try reads the sample through a mounted tree: ErrDamaged if it is not what it is to be.
func (s *Sample) Try(site, mounted *beneath.Dir) error {
	if s.Path == "" {
		return nil
	}
	f, err := mounted.Open(strings.TrimPrefix(s.Path, "/"))
	if err == nil {
		err = s.compare(site, f)
		f.Close()
	}
	if err != nil {
		return fmt.Errorf("%w: reading %q through the mount: %w", ErrDamaged, s.Path, err)
	}
	return nil
}

func (s *Sample) compare(site *beneath.Dir, f *os.File) error {
	if s.Size <= wholeSample {
		return digest.Verify(io.LimitReader(f, s.Size+1), s.Digest, s.Size)
	}
	object, err := site.Open(s.Object)
	if err != nil {
		return err
	}
	defer object.Close()
	var have, want [digest.BlockSize]byte
	if _, err := io.ReadFull(f, have[:]); err != nil {
		return err
	}
	if _, err := io.ReadFull(object, want[:]); err != nil {
		return err
	}
	if !bytes.Equal(have[:], want[:]) {
		return &digest.MismatchError{Want: s.Digest, WantSize: s.Size, HaveSize: s.Size}
	}
	return nil
}

package deploy

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/verity"
	"github.com/larch-project/larch/tree"
)

// Look makes sure of contents that a form refers to by name. It may be used
// concurrently.
type Look struct {
	Site       Site
	unmeasured atomic.Bool
}

// At gives the name of an entry's content, which is there and has its size.
func (l *Look) At(e *tree.Entry) (string, error) {
	name, err := l.Site.Content.Locate(e)
	if err != nil {
		return "", err
	}
	switch st, err := l.Site.Root.Lstat(name); {
	case err != nil:
		return "", err
	case st.Size != e.Size || st.Mode&unix.S_IFMT != unix.S_IFREG:
		return "", &digest.MismatchError{Want: e.Digest, WantSize: e.Size, HaveSize: st.Size}
	case l.unmeasured.Load():
		return name, nil
	}
	f, err := l.Site.Root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if have, err := verity.Measure(f); err != nil || have != e.Digest {
		l.unmeasured.Store(true)
	}
	return name, nil
}

// Measured tells whether the kernel answers for all contents that were looked at:
// fs-verity is enabled on each, and its measure is its digest.
func (l *Look) Measured() bool { return !l.unmeasured.Load() }

package deploy

import (
	"path"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/verity"
	"github.com/larch-project/larch/tree"
)

// Look makes sure of contents that a form refers to by name. It may be used
// concurrently. Close it after use.
type Look struct {
	Site       Site
	Present    bool // as in Spec: only what the kernel answers for is looked at
	unmeasured atomic.Bool

	mu      sync.Mutex
	folders map[string]*beneath.Dir // that hold contents, kept open
}

// Close closes what Look has kept open.
func (l *Look) Close() {
	for _, dir := range l.folders {
		dir.Close()
	}
}

func (l *Look) folder(name string) (*beneath.Dir, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if dir := l.folders[name]; dir != nil {
		return dir, nil
	}
	dir, err := l.Site.Root.OpenDir(name)
	if err != nil {
		return nil, err
	}
	if l.folders == nil {
		l.folders = map[string]*beneath.Dir{}
	}
	l.folders[name] = dir
	return dir, nil
}

// At gives the name of an entry's content, which is there and has its size.
func (l *Look) At(e *tree.Entry) (string, error) {
	name, err := l.Site.Content.Locate(e)
	if err != nil || l.Present && l.unmeasured.Load() {
		return name, err
	}
	dir, err := l.folder(path.Dir(name))
	if err != nil {
		return "", err
	}
	switch st, err := dir.Lstat(path.Base(name)); {
	case err != nil:
		return "", err
	case st.Size != e.Size || st.Mode&unix.S_IFMT != unix.S_IFREG:
		return "", &digest.MismatchError{Want: e.Digest, WantSize: e.Size, HaveSize: st.Size}
	case l.unmeasured.Load():
		return name, nil
	}
	f, err := dir.Open(path.Base(name))
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

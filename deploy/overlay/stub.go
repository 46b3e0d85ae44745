package overlay

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/inode"
	"github.com/larch-project/larch/tree"
)

const (
	prefix   = "user.overlay." // of attributes that overlayfs reads with the option userxattr
	metacopy = prefix + "metacopy"
	redirect = prefix + "redirect"

	objects = "objects" // the data-only layer, below the site's root
)

// stubs gives the tree of stubs: the same entries with the attributes that the stub
// has. Entries are the caller's to keep.
func stubs(content deploy.Content, entries iter.Seq2[*tree.Entry, error]) iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		for e, err := range entries {
			if err == nil {
				e, err = stub(content, e)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

func stub(content deploy.Content, e *tree.Entry) (*tree.Entry, error) {
	if !e.External() && len(e.Xattrs) == 0 {
		return e, nil
	}
	made := *e
	made.Xattrs = make([]tree.Xattr, 0, len(e.Xattrs)+2)
	for _, x := range e.Xattrs {
		if strings.HasPrefix(x.Name, prefix) { // rule R7 of spec/2-tree.md keeps them out
			return nil, fmt.Errorf("%q: attribute %q is overlayfs's own", e.Path, x.Name)
		}
		made.Xattrs = append(made.Xattrs, x)
	}
	if e.External() {
		name, err := content.Locate(e)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Path.Quoted(), err)
		}
		below, ok := strings.CutPrefix(name, objects+"/")
		if !ok {
			return nil, fmt.Errorf("%q: its content is in %q, not below %s", e.Path, name, objects)
		}
		made.Xattrs = append(made.Xattrs,
			tree.Xattr{Name: metacopy, Value: metacopyValue(e.Digest)},
			tree.Xattr{Name: redirect, Value: []byte("/" + below)})
	}
	slices.SortFunc(made.Xattrs, func(a, b tree.Xattr) int { return cmp.Compare(a.Name, b.Name) })
	return &made, nil
}

// redirected gives where the content of a stub is, below the data-only layer: an
// absolute path there.
func redirected(stub *tree.Entry) string {
	for _, x := range stub.Xattrs {
		if x.Name == redirect {
			return string(x.Value)
		}
	}
	return ""
}

// metacopyValue says that the content is elsewhere, and what it measures.
//
// Source: struct ovl_metacopy of Linux: version 0, its length, flags 0, SHA-256.
func metacopyValue(d digest.Digest) []byte {
	return append([]byte{0, 4 + digest.Size, 0, 1}, d[:]...)
}

// mostNoted bounds how many different stubs of one tree are remembered, to make
// equal ones one file.
const mostNoted = 1 << 16

// maker implements deploy.Maker.
type maker struct {
	root  *beneath.Dir // of the tree of stubs
	owner atomic.Bool  // attributes can be set of files alone that their owner may write

	mu   sync.Mutex
	made map[string]string // key to a path below root
}

// Again implements deploy.Maker: hardlinks of the tree are hardlinks of stubs.
func (*maker) Again(*tree.Entry) bool { return false }

// File implements deploy.Maker.
func (m *maker) File(dir *beneath.Dir, e *tree.Entry, name string) error {
	if !e.External() {
		return m.create(dir, e, name)
	}
	if linked, err := m.link(dir, e, name); linked || err != nil {
		return err
	}
	if err := m.create(dir, e, name); err != nil {
		return err
	}
	m.note(e)
	return nil
}

// link gives an equal stub one more name.
func (m *maker) link(dir *beneath.Dir, e *tree.Entry, name string) (bool, error) {
	m.mu.Lock()
	first, known := m.made[key(e)]
	m.mu.Unlock()
	if !known {
		return false, nil
	}
	err := dir.Link(m.root, first, name)
	if errors.Is(err, unix.EMLINK) {
		return false, nil
	}
	return err == nil, err
}

func (m *maker) note(e *tree.Entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.made) < mostNoted {
		m.made[key(e)] = string(e.Path[1:])
	}
}

// key is equal for entries whose stubs are.
func key(e *tree.Entry) string {
	b := make([]byte, 0, 128)
	b = append(b, e.Digest[:]...)
	for _, v := range []uint64{uint64(e.Mode), uint64(e.UID), uint64(e.GID), uint64(e.Mtime.Sec), uint64(e.Mtime.Nsec)} {
		b = binary.AppendUvarint(b, v)
	}
	for _, x := range e.Xattrs {
		b = binary.AppendUvarint(b, uint64(len(x.Name)))
		b = append(b, x.Name...)
		b = binary.AppendUvarint(b, uint64(len(x.Value)))
		b = append(b, x.Value...)
	}
	return string(b)
}

// create makes a file of its own: a stub, or one whose content is in the tree.
func (m *maker) create(dir *beneath.Dir, e *tree.Entry, name string) error {
	mode := e.Mode &^ 0o222
	made := mode
	if m.owner.Load() || mode&^0o777 != 0 || e.UID != 0 || e.GID != 0 { // a change of owner may take bits away
		made = 0o600
	}
	f, err := dir.Create(name, made)
	if err != nil {
		return err
	}
	if err = dir.Change("write", name); err == nil {
		if e.External() {
			err = f.Truncate(e.Size)
		} else {
			_, err = f.Write(e.Inline)
		}
	}
	if err == nil {
		err = m.dress(f, e, mode, made)
	}
	return errors.Join(err, f.Close())
}

// dress gives a file of the mode made all that it lacks. Who may change only what he can
// write finds that out once, and begins with another mode from then on.
func (m *maker) dress(f *os.File, e *tree.Entry, mode, made uint32) error {
	if made != mode {
		return deploy.Dress(f, e, mode)
	}
	err := deploy.Mark(f, e)
	if errors.Is(err, unix.EACCES) {
		m.owner.Store(true)
		if err = f.Chmod(0o600); err == nil {
			err = deploy.Dress(f, e, mode)
		}
		return err
	}
	if err == nil {
		err = inode.SetTime(f, e.Mtime.Sec, e.Mtime.Nsec)
	}
	return err
}

package deploy

import (
	"bytes"
	"errors"
	"iter"
	"os"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/btrfs"
	"github.com/larch-project/larch/internal/verity"
	"github.com/larch-project/larch/tree"
)

// Trial is a site with a release of one file, in which a backend's Probe can find out
// what works.
type Trial struct {
	Site     Site
	Spec     Spec
	Measured bool // the file system has fs-verity

	root   *beneath.Dir // of the real site
	folder string
}

// trialText is content that a tree does not hold itself.
var trialText = bytes.Repeat([]byte("larch "), 16)

// NewTrial makes one below tmp/. Close it after use.
func NewTrial(root *beneath.Dir, backend string) (_ *Trial, err error) {
	t := &Trial{root: root, folder: "tmp/probe-" + backend}
	if err := root.RemoveAll(t.folder); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			root.RemoveAll(t.folder)
		}
	}()
	if err := root.MkdirAll(t.folder, 0o755); err != nil {
		return nil, err
	}
	dir, err := root.OpenDir(t.folder)
	if err != nil {
		return nil, err
	}
	content := trialContent{dir}
	t.Site = Site{Root: dir, Content: content}
	t.Spec = Spec{Name: "probe", Tree: func() iter.Seq2[*tree.Entry, error] { return content.Tree("probe") }}
	if t.Measured, err = content.put(); err != nil {
		dir.Close()
		return nil, err
	}
	return t, nil
}

// OnDisk is what a folder's file system alone guarantees.
func OnDisk(folder *beneath.Dir) Guarantee {
	if btrfs.Is(folder.File()) {
		return Checksummed
	}
	return Stored
}

// Close removes it.
func (t *Trial) Close() error {
	return errors.Join(t.Site.Root.Close(), t.root.RemoveAll(t.folder))
}

// Sample is the release's file, below its tree, with its content.
func (t *Trial) Sample() (name string, content []byte) { return trialEntry().Path.Base(), trialText }

func trialEntry() *tree.Entry {
	return &tree.Entry{
		Path: "/sample", Kind: tree.Regular, Mode: 0o444, Nlink: 1,
		Size: int64(len(trialText)), Digest: digest.Of(trialText),
	}
}

// trialContent is the Content of a trial.
type trialContent struct{ dir *beneath.Dir }

// put stores the sample, and tells whether the kernel answers for it.
func (c trialContent) put() (bool, error) {
	name, _ := c.Locate(trialEntry())
	if err := c.dir.MkdirAll(name[:len("objects/ab")], 0o755); err != nil {
		return false, err
	}
	f, err := c.dir.Create(name, 0o444)
	if err != nil {
		return false, err
	}
	if _, err := f.Write(trialText); err != nil {
		f.Close()
		return false, err
	}
	sealed, _, err := verity.Enable(f)
	if err != nil {
		f.Close()
		return false, nil
	}
	return true, sealed.Close()
}

// Open implements Content.
func (c trialContent) Open(e *tree.Entry) (*os.File, error) {
	name, _ := c.Locate(e)
	return c.dir.Open(name)
}

// Link implements Content.
func (c trialContent) Link(e *tree.Entry, to *beneath.Dir, name string) error {
	from, _ := c.Locate(e)
	return to.Link(c.dir, from, name)
}

// Locate implements Content.
func (trialContent) Locate(e *tree.Entry) (string, error) {
	name := e.Digest.String()
	return "objects/" + name[:2] + "/" + name[2:], nil
}

// Tree implements Content.
func (trialContent) Tree(string) iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		root := &tree.Entry{Path: "/", Kind: tree.Directory, Mode: 0o755, Nlink: 1}
		_ = yield(root, nil) && yield(trialEntry(), nil)
	}
}

// Image implements Content: the release does not say.
func (trialContent) Image(string) (digest.Digest, error) { return digest.Digest{}, nil }

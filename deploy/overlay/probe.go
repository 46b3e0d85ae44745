package overlay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"strings"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/verity"
	"github.com/larch-project/larch/tree"
)

// probeName is the folder in which Probe makes a site.
const probeName = "tmp/probe-overlay"

// Probe makes a deployment of one file aside, and mounts it.
func (b Backend) Probe(ctx context.Context, site deploy.Site) deploy.Support {
	support := deploy.Support{Verifies: deploy.Stored, SharesCache: true}
	measured, err := b.try(ctx, site.Root)
	if measured {
		support.Verifies = deploy.Signed
	}
	if err != nil {
		support.Why = err.Error()
	}
	support.Usable = err == nil
	return support
}

func (b Backend) try(ctx context.Context, root *beneath.Dir) (measured bool, err error) {
	if err := root.RemoveAll(probeName); err != nil {
		return false, err
	}
	if err := root.MkdirAll(probeName, 0o755); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, root.RemoveAll(probeName)) }()
	dir, err := root.OpenDir(probeName)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	site := deploy.Site{Root: dir, Content: (*probeContent)(&tree.Entry{
		Path: "/probe", Kind: tree.Regular, Mode: 0o444, Nlink: 1,
		Size: int64(len(probeText)), Digest: digest.Of(probeText),
	})}
	if measured, err = putProbe(dir); err != nil {
		return false, err
	}
	const name = "probe"
	spec := deploy.Spec{Name: name, Tree: func() entries { return site.Content.Tree(name) }}
	if err := b.Make(ctx, site, spec); err != nil {
		return false, err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	if err := b.prepare(ctx, site, name, cmd); err != nil {
		return false, err
	}
	cmd.Args = cmd.Args[:len(cmd.Args)-2] // no program: mount, and end
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return false, explain(err, said.String())
	}
	return measured, nil
}

// explain says what keeps this machine from it.
func explain(err error, said string) error {
	said = strings.TrimSpace(said)
	switch {
	case said == "":
		return fmt.Errorf("no namespace for mounts: %w: the kernel does not let this user have one", err)
	case len(said) > 500:
		said = said[:500]
	}
	return fmt.Errorf("%s: it needs Linux 6.16 or so", strings.TrimPrefix(said, "larch: "))
}

// probeText is content that a tree does not hold itself.
var probeText = bytes.Repeat([]byte("larch "), 16)

// putProbe stores it, and tells whether the kernel answers for it.
func putProbe(dir *beneath.Dir) (bool, error) {
	name, err := (*probeContent)(nil).Locate(&tree.Entry{Digest: digest.Of(probeText)})
	if err != nil {
		return false, err
	}
	if err := dir.MkdirAll(name[:len("objects/ab")], 0o755); err != nil {
		return false, err
	}
	f, err := dir.Create(name, 0o444)
	if err != nil {
		return false, err
	}
	if _, err := f.Write(probeText); err != nil {
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

type entries = iter.Seq2[*tree.Entry, error]

// probeContent is the deploy.Content of a tree of one file.
type probeContent tree.Entry

// Open implements deploy.Content.
func (*probeContent) Open(*tree.Entry) (*os.File, error) { return nil, errors.ErrUnsupported }

// Link implements deploy.Content.
func (*probeContent) Link(*tree.Entry, *beneath.Dir, string) error { return errors.ErrUnsupported }

// Locate implements deploy.Content.
func (*probeContent) Locate(e *tree.Entry) (string, error) {
	name := e.Digest.String()
	return "objects/" + name[:2] + "/" + name[2:], nil
}

// Tree implements deploy.Content.
func (c *probeContent) Tree(string) entries {
	return func(yield func(*tree.Entry, error) bool) {
		root := &tree.Entry{Path: "/", Kind: tree.Directory, Mode: 0o755, Nlink: 1}
		_ = yield(root, nil) && yield((*tree.Entry)(c), nil)
	}
}

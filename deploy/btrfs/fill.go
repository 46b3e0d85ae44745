package btrfs

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/btrfs"
	"github.com/larch-project/larch/tree"
)

// note is what a deployment remembers. It is written last: its file is from the
// transaction of the subvolume's last change, or from a later one.
type note struct {
	Subvolume [16]byte `json:"subvolume"`
}

func fill(ctx context.Context, site deploy.Site, spec deploy.Spec, aside *beneath.Dir) error {
	based, err := update(ctx, site, spec, aside)
	if err == nil && !based {
		err = anew(ctx, site, spec, aside)
	}
	if err != nil {
		return err
	}
	root, err := aside.OpenDir(treeName)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := aside.Change("read-only", treeName); err != nil {
		return err
	}
	if err := btrfs.SetReadOnly(root.File(), true); err != nil {
		return err
	}
	state, err := btrfs.Describe(root.File())
	if err != nil {
		return err
	}
	return deploy.WriteNote(aside, note{state.UUID})
}

// anew fills a new subvolume.
func anew(ctx context.Context, site deploy.Site, spec deploy.Spec, aside *beneath.Dir) error {
	if err := aside.Change("subvolume", treeName); err != nil {
		return err
	}
	if err := btrfs.Create(aside.File(), treeName); err != nil {
		return err
	}
	root, err := aside.OpenDir(treeName)
	if err != nil {
		return err
	}
	return deploy.Build(ctx, maker{site.Content}, root, spec.Tree())
}

// update makes the tree in a snapshot of the previous one, if that is there and as it
// was made. Where its folders' modes keep us out, there is no subvolume either.
func update(ctx context.Context, site deploy.Site, spec deploy.Spec, aside *beneath.Dir) (bool, error) {
	if spec.Previous == "" || spec.Previous == spec.Name {
		return false, nil
	}
	held, err := snapshot(ctx, site, spec.Previous, aside)
	if held == nil || err != nil {
		return false, err
	}
	defer held.Close()
	root, err := aside.OpenDir(treeName)
	if err != nil {
		return false, err
	}
	defer root.Close()
	before := func() iter.Seq2[*tree.Entry, error] { return site.Content.Tree(spec.Previous) }
	err = deploy.Update(ctx, maker{site.Content}, root, before, spec.Tree)
	if errors.Is(err, fs.ErrPermission) {
		return false, aside.RemoveAll(treeName)
	}
	return err == nil, err
}

// snapshot makes a snapshot of a deployment, which is held, unless it is not there or is
// not what was made: then neither is given.
func snapshot(ctx context.Context, site deploy.Site, name string, aside *beneath.Dir) (io.Closer, error) {
	hold, err := named(name).Hold(ctx, site.Root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	root, err := unchanged(site.Root, name)
	if err != nil || root == nil {
		return nil, errors.Join(err, hold.Close())
	}
	defer root.Close()
	if err = aside.Change("snapshot", treeName); err == nil {
		err = btrfs.Snapshot(aside.File(), treeName, root.File())
	}
	if err != nil {
		hold.Close()
		if errors.Is(err, fs.ErrPermission) { // it is somebody else's
			return nil, nil
		}
		return nil, err
	}
	return hold, nil
}

// unchanged opens the tree of a deployment that has not changed since it was made, or
// gives nil.
func unchanged(site *beneath.Dir, name string) (*beneath.Dir, error) {
	folder, err := site.OpenDir(named(name).Folder())
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	var n note
	if deploy.ReadNote(folder, &n) != nil {
		return nil, nil
	}
	f, err := folder.Open(deploy.NoteName)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	made, err := btrfs.Generation(f)
	if err != nil {
		return nil, err
	}
	root, err := folder.OpenDir(treeName)
	if err != nil {
		return nil, nil
	}
	state, err := btrfs.Describe(root.File())
	if err != nil || !state.ReadOnly || state.UUID != n.Subvolume || state.Changed > made {
		root.Close()
		return nil, nil
	}
	return root, nil
}

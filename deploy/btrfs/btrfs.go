package btrfs

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/btrfs"
	"github.com/larch-project/larch/internal/inode"
	"github.com/larch-project/larch/tree"
)

// treeName is the subvolume in the deployment's folder.
const treeName = "tree"

// Backend implements deploy.Backend. The zero value is ready for use.
type Backend struct{}

// Name implements deploy.Backend.
func (Backend) Name() string { return "btrfs" }

func named(name string) deploy.Deployment { return deploy.Deployment{Name: name, Backend: "btrfs"} }

// Make implements deploy.Backend.
func (Backend) Make(ctx context.Context, site deploy.Site, spec deploy.Spec) error {
	return named(spec.Name).Make(ctx, site.Root, deploy.Form{
		Right: func(folder *beneath.Dir) (bool, error) { return isRight(ctx, site, spec, folder) },
		Fill:  func(aside *beneath.Dir) error { return fill(ctx, site, spec, aside) },
	})
}

// isRight compares what is there with the tree. A file that is on the same blocks of
// the disk as the store's is as good as the store's.
func isRight(ctx context.Context, site deploy.Site, spec deploy.Spec, folder *beneath.Dir) (bool, error) {
	root, err := folder.OpenDir(treeName)
	if err != nil {
		return false, err
	}
	defer root.Close()
	if !btrfs.IsSubvolume(root.File()) {
		return false, nil
	}
	if state, err := btrfs.Describe(root.File()); err != nil || !state.ReadOnly {
		return false, err
	}
	for _, err := range deploy.Compare(ctx, root, spec.Tree(), sharing(site.Content)) {
		return false, err // the first difference is enough
	}
	return true, nil
}

// sharing knows files by their blocks.
func sharing(content deploy.Content) deploy.Known {
	return func(e *tree.Entry, dir *beneath.Dir, name string, _ *unix.Stat_t) bool {
		if !e.External() || len(e.Xattrs) > 0 {
			return false
		}
		theirs, err := content.Open(e)
		if err != nil {
			return false
		}
		defer theirs.Close()
		ours, err := dir.Open(name)
		if err != nil {
			return false
		}
		defer ours.Close()
		return btrfs.SameExtents(ours, theirs)
	}
}

// Open implements deploy.Backend.
func (Backend) Open(ctx context.Context, site deploy.Site, name string) (*deploy.View, error) {
	return named(name).View(ctx, site, treeName)
}

// Remove implements deploy.Backend. The file system gives the space of a subvolume back
// behind.
func (Backend) Remove(_ context.Context, site deploy.Site, name string) error {
	return named(name).Remove(site.Root, nil)
}

// maker implements deploy.Maker: files share their blocks with the store's.
type maker struct{ content deploy.Content }

// Again implements deploy.Maker.
func (maker) Again(*tree.Entry) bool { return false }

// File implements deploy.Maker.
func (m maker) File(dir *beneath.Dir, e *tree.Entry, name string) error {
	return deploy.PlaceFile(m.content, dir, e, name, e.Mode, clone)
}

func clone(to, from *os.File, size int64) error {
	err := inode.Clone(to, from, size)
	if errors.Is(err, unix.EXDEV) {
		err = errors.Join(err, errors.New("the store is not on the btrfs of the deployments"))
	}
	return err
}

// Probe makes a deployment of one file aside, and removes it.
func (b Backend) Probe(ctx context.Context, site deploy.Site) deploy.Support {
	support := deploy.Support{Verifies: deploy.OnDisk(site.Root)}
	if !btrfs.Is(site.Root.File()) {
		support.Why = "the installation is not on btrfs: put it on one, or \"larch pool create\" makes one in a file"
		return support
	}
	trial, err := deploy.NewTrial(site.Root, b.Name())
	if err == nil {
		err = b.Make(ctx, trial.Site, trial.Spec)
		if err == nil {
			support.Note, err = b.tryRemoval(trial)
		}
		err = errors.Join(err, trial.Close())
	}
	if err != nil {
		support.Why, support.Err = err.Error(), err
	}
	support.Usable = err == nil
	return support
}

// tryRemoval finds out how a subvolume can be removed, and says what would be better.
func (Backend) tryRemoval(trial *deploy.Trial) (note string, err error) {
	folder, err := trial.Site.Root.OpenDir(named(trial.Spec.Name).Folder())
	if err != nil {
		return "", err
	}
	defer folder.Close()
	root, err := folder.OpenDir(treeName)
	if err != nil {
		return "", err
	}
	defer root.Close()
	if err := btrfs.SetReadOnly(root.File(), false); err != nil {
		return "", err
	}
	err = btrfs.Destroy(folder.File(), treeName)
	if errors.Is(err, fs.ErrPermission) {
		return "old versions are removed file by file: the mount option user_subvol_rm_allowed would let their owner do it at once", nil
	}
	return "", err
}

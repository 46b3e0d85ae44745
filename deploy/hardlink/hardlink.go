package hardlink

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/tree"
)

const treeName = "tree"

// Backend implements deploy.Backend. The zero value is ready for use.
type Backend struct{}

// Name implements deploy.Backend.
func (Backend) Name() string { return "hardlink" }

func named(name string) deploy.Deployment { return deploy.Deployment{Name: name, Backend: "hardlink"} }

// Probe makes a file with two names.
func (Backend) Probe(_ context.Context, site deploy.Site) deploy.Support {
	support := deploy.Support{Usable: true, Verifies: deploy.Stored, SharesCache: true}
	if err := tryLink(site.Root); err != nil {
		support.Usable, support.Why = false, err.Error()
	}
	return support
}

func tryLink(root *beneath.Dir) error {
	const one, two = "tmp/probe-hardlink-1", "tmp/probe-hardlink-2"
	if err := root.MkdirAll("tmp", 0o755); err != nil {
		return err
	}
	root.Remove(one)
	root.Remove(two)
	f, err := root.Create(one, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	err = root.Link(root, one, two)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) {
		err = errors.New("the file system has no hard links: put the installation on another one")
	}
	root.Remove(two)
	return errors.Join(err, root.Remove(one))
}

// Make implements deploy.Backend.
func (b Backend) Make(ctx context.Context, site deploy.Site, spec deploy.Spec) error {
	d := named(spec.Name)
	if there, err := d.Exists(site.Root); err != nil {
		return err
	} else if there {
		switch right, err := isRight(ctx, site, spec); {
		case err != nil:
			return fmt.Errorf("checking deployment %.12s: %w", spec.Name, err)
		case right:
			return d.Persist(site.Root)
		}
	}
	if err := makeAside(ctx, site, spec); err != nil {
		d.Abandon(site.Root)
		return fmt.Errorf("making deployment %.12s: %w", spec.Name, err)
	}
	return nil
}

// isRight tells whether the deployment that is there is the one to be made. A
// file that is the store's own is as good as the store's.
func isRight(ctx context.Context, site deploy.Site, spec deploy.Spec) (bool, error) {
	hold, err := named(spec.Name).Hold(ctx, site.Root)
	if err != nil {
		return false, ignoreShape(err)
	}
	defer hold.Close()
	root, err := site.Root.OpenDir(named(spec.Name).Folder() + "/" + treeName)
	if err != nil {
		return false, ignoreShape(err)
	}
	defer root.Close()
	same := func(e *tree.Entry, _ *beneath.Dir, _ string, have *unix.Stat_t) bool {
		if !linked(e) {
			return false
		}
		name, err := site.Content.Locate(e)
		if err != nil {
			return false
		}
		st, err := site.Root.Lstat(name)
		return err == nil && st.Dev == have.Dev && st.Ino == have.Ino
	}
	for _, err := range deploy.Compare(ctx, root, spec.Tree(), same) {
		return false, err // the first difference is enough
	}
	return true, nil
}

// ignoreShape drops errors that say what is there is no deployment of ours.
func ignoreShape(err error) error {
	for _, shape := range []error{fs.ErrNotExist, unix.ENOTDIR, unix.ELOOP} {
		if errors.Is(err, shape) {
			return nil
		}
	}
	return err
}

func makeAside(ctx context.Context, site deploy.Site, spec deploy.Spec) error {
	d := named(spec.Name)
	aside, err := d.Begin(site.Root)
	if err != nil {
		return err
	}
	defer aside.Close()
	if err := aside.Mkdir(treeName, 0o755); err != nil {
		return err
	}
	root, err := aside.OpenDir(treeName)
	if err != nil {
		return err
	}
	if err := deploy.Build(ctx, maker{site.Content}, root, spec.Tree()); err != nil {
		return err
	}
	if err := aside.SyncFS(); err != nil { // the one barrier
		return err
	}
	return d.Place(site.Root)
}

// Open implements deploy.Backend.
func (Backend) Open(ctx context.Context, site deploy.Site, name string) (*deploy.View, error) {
	hold, err := named(name).Hold(ctx, site.Root)
	if err != nil {
		return nil, err
	}
	return &deploy.View{Path: filepath.Join(site.Root.Path(), named(name).Folder(), treeName), Hold: hold}, nil
}

// Remove implements deploy.Backend.
func (Backend) Remove(_ context.Context, site deploy.Site, name string) error {
	err := named(name).Retire(site.Root, site.Root.RemoveAll)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

package hardlink

import (
	"context"
	"errors"

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
	support := deploy.Support{Usable: true, Verifies: deploy.OnDisk(site.Root), SharesCache: true}
	if err := tryLink(site.Root); err != nil {
		support.Usable, support.Why, support.Err = false, err.Error(), err
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
	return named(spec.Name).Make(ctx, site.Root, deploy.Form{
		Right: func(folder *beneath.Dir) (bool, error) { return isRight(ctx, site, spec, folder) },
		Fill:  func(aside *beneath.Dir) error { return fill(ctx, site, spec, aside) },
	})
}

// isRight compares what is there with the tree. A file that is the store's own is
// as good as the store's.
func isRight(ctx context.Context, site deploy.Site, spec deploy.Spec, folder *beneath.Dir) (bool, error) {
	root, err := folder.OpenDir(treeName)
	if err != nil {
		return false, err
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

func fill(ctx context.Context, site deploy.Site, spec deploy.Spec, aside *beneath.Dir) error {
	if err := aside.Mkdir(treeName, 0o755); err != nil {
		return err
	}
	root, err := aside.OpenDir(treeName)
	if err != nil {
		return err
	}
	return deploy.Build(ctx, maker{site.Content}, root, spec.Tree())
}

// Open implements deploy.Backend.
func (Backend) Open(ctx context.Context, site deploy.Site, name string) (*deploy.View, error) {
	return named(name).View(ctx, site, treeName)
}

// Remove implements deploy.Backend.
func (Backend) Remove(_ context.Context, site deploy.Site, name string) error {
	return named(name).Remove(site.Root, nil)
}

package composefs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
)

// What a deployment's folder holds.
const (
	imageName = "image"
	linksName = "run"   // contents with the run bit, as the image names them
	mountName = "mount" // where the tree is seen
	belowName = "below" // an empty folder that older kernels need on the way

	objects = "objects" // of the site
)

// Backend implements deploy.Backend. The zero value is ready for use.
type Backend struct{}

// Name implements deploy.Backend.
func (Backend) Name() string { return "composefs" }

func named(name string) deploy.Deployment { return deploy.Deployment{Name: name, Backend: "composefs"} }

// note is what a deployment remembers.
type note struct {
	Image  digest.Digest `json:"image"`
	Size   int64         `json:"size"`   // of the image, bytes
	Verity bool          `json:"verity"` // the kernel answers for all contents

	Sample deploy.Sample `json:"sample"`
}

// Make implements deploy.Backend.
func (b Backend) Make(ctx context.Context, site deploy.Site, spec deploy.Spec) error {
	return named(spec.Name).Make(ctx, site.Root, deploy.Form{
		Right: func(folder *beneath.Dir) (bool, error) { return isRight(ctx, site, spec, folder) },
		Leave: func() error { return leave(site, spec.Name) },
		Fill:  func(aside *beneath.Dir) error { return fill(ctx, site, spec, aside) },
	})
}

func fill(ctx context.Context, site deploy.Site, spec deploy.Spec, aside *beneath.Dir) error {
	for _, name := range []string{mountName, belowName, linksName} {
		if err := aside.Mkdir(name, 0o755); err != nil {
			return err
		}
	}
	links, err := aside.OpenDir(linksName)
	if err != nil {
		return err
	}
	defer links.Close()
	w := &maker{look: &deploy.Look{Site: site, Present: spec.Present}, links: links}
	defer w.look.Close()
	made, err := w.image(ctx, spec.Tree(), aside)
	if err != nil {
		return err
	}
	stated, err := site.Content.Image(spec.Name)
	if err != nil {
		return err
	}
	if !stated.IsZero() && made.Image != stated {
		return fmt.Errorf("composefs image: %w", &digest.MismatchError{Want: stated, Have: made.Image, WantSize: made.Size, HaveSize: made.Size})
	}
	made.Verity = w.look.Measured()
	return deploy.WriteNote(aside, made)
}

// isRight compares the image with one that is made again and only hashed, and the
// links with the tree.
func isRight(ctx context.Context, site deploy.Site, spec deploy.Spec, folder *beneath.Dir) (bool, error) {
	var n note
	if err := deploy.ReadNote(folder, &n); err != nil {
		return false, err
	}
	links, err := folder.OpenDir(linksName)
	if err != nil {
		return false, err
	}
	defer links.Close()
	for _, name := range []string{mountName, belowName} {
		if st, err := folder.Lstat(name); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return false, err
		}
	}
	f, err := folder.Open(imageName)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if sound, err := n.isImage(f); !sound || err != nil {
		return false, err
	}
	w := &maker{look: &deploy.Look{Site: site}, links: links, there: true}
	defer w.look.Close()
	again, err := w.image(ctx, spec.Tree(), nil)
	if errors.Is(err, errLinks) {
		return false, nil
	}
	return err == nil && again.Image == n.Image, err
}

// Open implements deploy.Backend. It mounts the tree unless it is mounted, which only
// root can do: fs.ErrPermission.
func (Backend) Open(ctx context.Context, site deploy.Site, name string) (*deploy.View, error) {
	d := named(name)
	hold, err := d.Hold(ctx, site.Root)
	if err != nil {
		return nil, err
	}
	if err := ensureMounted(ctx, site, name); err != nil {
		hold.Close()
		return nil, fmt.Errorf("mounting deployment %.12s: %w", name, err)
	}
	return deploy.NewView(site, path.Join(d.Folder(), mountName), hold), nil
}

// Forget implements deploy.Forgetter: overlayfs remembers the objects that it has
// opened as long as it is mounted.
func (Backend) Forget(_ context.Context, site deploy.Site, name string) error {
	return named(name).Alone(site.Root, func() error { return leave(site, name) })
}

// Remove implements deploy.Backend.
func (Backend) Remove(_ context.Context, site deploy.Site, name string) error {
	return named(name).Remove(site.Root, func() error { return leave(site, name) })
}

// Probe makes and mounts an image of one file.
func (b Backend) Probe(ctx context.Context, site deploy.Site) deploy.Support {
	support := deploy.Support{Verifies: deploy.OnDisk(site.Root), SharesCache: true, Root: true}
	if os.Geteuid() != 0 {
		support.Why = "only root can mount images: use the system's installation (--system) as root, or the backend overlay"
		return support
	}
	trial, err := deploy.NewTrial(site.Root, b.Name())
	if err == nil {
		var checks bool
		checks, err = b.try(ctx, trial)
		err = errors.Join(err, trial.Close())
		if checks {
			support.Verifies = deploy.Signed
		}
	}
	if err != nil {
		support.Why, support.Err = err.Error(), err
	}
	support.Usable = err == nil
	return support
}

// try mounts a trial, and tells whether the kernel checks contents then.
func (b Backend) try(ctx context.Context, trial *deploy.Trial) (checks bool, err error) {
	if err := b.Make(ctx, trial.Site, trial.Spec); err != nil {
		return false, err
	}
	view, err := b.Open(ctx, trial.Site, trial.Spec.Name) // reads the sample
	if err != nil {
		return false, err
	}
	folder, err := trial.Site.Root.OpenDir(named(trial.Spec.Name).Folder())
	if err == nil {
		checks, err = verified(folder)
		folder.Close()
	}
	return checks, errors.Join(err, view.Close(), b.Remove(ctx, trial.Site, trial.Spec.Name))
}

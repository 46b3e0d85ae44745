package overlay

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os/exec"
	"path"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
)

const mountName = "mount" // an empty folder of the deployment, where the tree is seen

// Backend implements deploy.Backend.
type Backend struct {
	// Command calls Enter with the arguments that follow it: a program and its leading
	// arguments.
	Command []string
}

// Name implements deploy.Backend.
func (Backend) Name() string { return "overlay" }

func named(name string) deploy.Deployment { return deploy.Deployment{Name: name, Backend: "overlay"} }

// note is what a deployment remembers.
type note struct {
	Tree   digest.Digest `json:"tree"`   // whose contents were there
	Verity bool          `json:"verity"` // the kernel answers for all of them
}

// Make implements deploy.Backend.
func (Backend) Make(ctx context.Context, site deploy.Site, spec deploy.Spec) error {
	return named(spec.Name).Make(ctx, site.Root, deploy.Form{
		Right: func(folder *beneath.Dir) (bool, error) { return isRight(folder, spec.Info.Digest) },
		Fill:  func(aside *beneath.Dir) error { return fill(ctx, site, spec, aside) },
	})
}

func fill(ctx context.Context, site deploy.Site, spec deploy.Spec, aside *beneath.Dir) error {
	if err := aside.Mkdir(mountName, 0o755); err != nil {
		return err
	}
	look := &deploy.Look{Site: site, Present: spec.Present}
	defer look.Close()
	for e, err := range stubs(site.Content, spec.Tree()) { // that there can be a stub for each
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err == nil && e.External() {
			_, err = look.At(e)
		}
		if err != nil {
			return err
		}
	}
	return deploy.WriteNote(aside, note{spec.Info.Digest, look.Measured()})
}

func isRight(folder *beneath.Dir, of digest.Digest) (bool, error) {
	for _, err := range differences(folder) {
		return false, err // the first is enough
	}
	var n note
	err := deploy.ReadNote(folder, &n)
	return n.Tree == of, err
}

// differences finds what is wrong with the folder of a deployment.
func differences(folder *beneath.Dir) iter.Seq2[deploy.Difference, error] {
	return func(yield func(deploy.Difference, error) bool) {
		err := deploy.ReadNote(folder, new(note))
		if errors.Is(err, fs.ErrNotExist) {
			if !yield(deploy.Difference{Path: "/" + deploy.NoteName, Problem: "is missing or damaged"}, nil) {
				return
			}
		} else if err != nil {
			yield(deploy.Difference{}, err)
			return
		}
		st, err := folder.Lstat(mountName)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			yield(deploy.Difference{}, err)
		} else if err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			yield(deploy.Difference{Path: "/" + mountName, Problem: "is no directory"}, nil)
		}
	}
}

// Open implements deploy.Backend.
func (b Backend) Open(ctx context.Context, site deploy.Site, name string) (*deploy.View, error) {
	hold, err := named(name).Hold(ctx, site.Root)
	if err != nil {
		return nil, err
	}
	view := deploy.NewView(site, path.Join(named(name).Folder(), mountName), hold)
	mounted, err := isMounted(site, name)
	if err != nil {
		hold.Close()
		return nil, err
	}
	if !mounted {
		view.Prepare = func(ctx context.Context, cmd *exec.Cmd) error { return b.prepare(ctx, site, name, cmd) }
		view.Compare = func(context.Context) iter.Seq2[deploy.Difference, error] { return compare(site, name) }
	}
	return view, nil
}

// isMounted tells whether this process is where the tree is mounted.
func isMounted(site deploy.Site, name string) (bool, error) {
	folder, err := site.Root.OpenDir(named(name).Folder())
	if err != nil {
		return false, err
	}
	defer folder.Close()
	mounted, err := deploy.Overlaid(folder, mountName)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return false, nil // differences says so
	}
	return mounted, err
}

// compare is differences for a deployment that is there.
func compare(site deploy.Site, name string) iter.Seq2[deploy.Difference, error] {
	return func(yield func(deploy.Difference, error) bool) {
		folder, err := site.Root.OpenDir(named(name).Folder())
		if err != nil {
			yield(deploy.Difference{}, err)
			return
		}
		defer folder.Close()
		differences(folder)(yield)
	}
}

// Remove implements deploy.Backend.
func (Backend) Remove(_ context.Context, site deploy.Site, name string) error {
	return named(name).Remove(site.Root, nil)
}

package overlay

import (
	"context"
	"errors"
	"iter"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/tree"
)

const (
	treeName  = "tree"  // the stubs
	mountName = "mount" // an empty folder, where the tree is seen
)

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
	Verity bool `json:"verity"` // the kernel answers for all contents
}

// Make implements deploy.Backend.
func (Backend) Make(ctx context.Context, site deploy.Site, spec deploy.Spec) error {
	return named(spec.Name).Make(ctx, site.Root, deploy.Form{
		Right: func(folder *beneath.Dir) (bool, error) { return isRight(ctx, site, spec, folder) },
		Fill:  func(aside *beneath.Dir) error { return fill(ctx, site, spec, aside) },
	})
}

func fill(ctx context.Context, site deploy.Site, spec deploy.Spec, aside *beneath.Dir) error {
	for _, name := range []string{treeName, mountName} {
		if err := aside.Mkdir(name, 0o755); err != nil {
			return err
		}
	}
	measured, err := fillTree(ctx, site, spec, aside)
	if err != nil {
		return err
	}
	return deploy.WriteNote(aside, note{Verity: measured})
}

// fillTree makes the stubs, and tells whether the kernel answers for all contents.
func fillTree(ctx context.Context, site deploy.Site, spec deploy.Spec, aside *beneath.Dir) (bool, error) {
	made, err := aside.OpenDir(treeName)
	if err != nil {
		return false, err
	}
	defer made.Close()
	m := &maker{look: &deploy.Look{Site: site, Present: spec.Present}, root: made, made: map[string]string{}}
	defer m.look.Close()
	if spec.Previous != "" {
		previous, err := site.Root.OpenDir(named(spec.Previous).Folder() + "/" + treeName)
		if err == nil {
			defer previous.Close()
			m.previous = previous
		}
	}
	root, err := aside.OpenDir(treeName) // Build closes it
	if err != nil {
		return false, err
	}
	err = deploy.Build(ctx, m, root, stubs(site.Content, spec.Tree()))
	return m.look.Measured(), err
}

func isRight(ctx context.Context, site deploy.Site, spec deploy.Spec, folder *beneath.Dir) (bool, error) {
	if err := deploy.ReadNote(folder, new(note)); err != nil {
		return false, err
	}
	if st, err := folder.Lstat(mountName); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return false, err
	}
	for _, err := range compare(ctx, unquestioned{site.Content}, folder, spec.Tree()) {
		return false, err // the first difference is enough
	}
	return true, nil
}

// unquestioned says where contents are, whatever is wrong with them: the stubs that
// lead there are right all the same.
type unquestioned struct{ deploy.Content }

func (u unquestioned) Locate(e *tree.Entry) (string, error) {
	name, err := u.Content.Locate(e)
	if errors.Is(err, digest.ErrMismatch) {
		err = nil
	}
	return name, err
}

// compare finds the differences of a deployment's stubs from a tree.
func compare(ctx context.Context, content deploy.Content, folder *beneath.Dir, entries iter.Seq2[*tree.Entry, error]) iter.Seq2[deploy.Difference, error] {
	return func(yield func(deploy.Difference, error) bool) {
		root, err := folder.OpenDir(treeName)
		if err != nil {
			yield(deploy.Difference{}, err)
			return
		}
		defer root.Close()
		for d, err := range deploy.Compare(ctx, root, stubs(content, entries), isStub) {
			if !yield(d, err) {
				return
			}
		}
	}
}

// Open implements deploy.Backend.
func (b Backend) Open(ctx context.Context, site deploy.Site, name string) (*deploy.View, error) {
	hold, err := named(name).Hold(ctx, site.Root)
	if err != nil {
		return nil, err
	}
	view := &deploy.View{Path: filepath.Join(site.Root.Path(), named(name).Folder(), mountName), Hold: hold}
	mounted, err := isMounted(site, name)
	if err != nil {
		hold.Close()
		return nil, err
	}
	if !mounted {
		view.Prepare = func(ctx context.Context, cmd *exec.Cmd) error { return b.prepare(ctx, site, name, cmd) }
		view.Compare = func(ctx context.Context) iter.Seq2[deploy.Difference, error] {
			return differences(ctx, site, name, site.Content.Tree(name))
		}
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
	return deploy.Overlaid(folder, mountName)
}

// differences is compare for a deployment that is there.
func differences(ctx context.Context, site deploy.Site, name string, entries iter.Seq2[*tree.Entry, error]) iter.Seq2[deploy.Difference, error] {
	return func(yield func(deploy.Difference, error) bool) {
		folder, err := site.Root.OpenDir(named(name).Folder())
		if err != nil {
			yield(deploy.Difference{}, err)
			return
		}
		defer folder.Close()
		for d, err := range compare(ctx, unquestioned{site.Content}, folder, entries) {
			if !yield(d, err) {
				return
			}
		}
	}
}

// Remove implements deploy.Backend.
func (Backend) Remove(_ context.Context, site deploy.Site, name string) error {
	return named(name).Remove(site.Root, nil)
}

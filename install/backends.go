package install

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/btrfs"
	"github.com/larch-project/larch/deploy/composefs"
	"github.com/larch-project/larch/deploy/fuse"
	"github.com/larch-project/larch/deploy/hardlink"
	"github.com/larch-project/larch/deploy/overlay"
)

// Backends lists all forms in which a release can be on disk, the simplest first, for
// the installation in a folder. helper is Options.Helper.
func Backends(dir string, helper []string) []deploy.Backend {
	return []deploy.Backend{
		hardlink.Backend{},
		overlay.Backend{Command: with(helper, "enter")},
		composefs.Backend{},
		btrfs.Backend{},
		fuse.Backend{Command: with(helper, "fuse", dir), Lazy: true},
	}
}

// Help is what Options.Helper does with the arguments that follow it.
func Help(ctx context.Context, helper, args []string) error {
	switch {
	case len(args) > 1 && args[0] == "enter":
		return overlay.Enter(args[1:])
	case len(args) > 2 && args[0] == "fuse":
		dir := args[1]
		return fuse.Serve(ctx, with(helper, "fuse", dir), args[2:], &onDemand{dir: dir, helper: helper})
	}
	return fmt.Errorf("%w: no helper for %q", ErrArgument, args)
}

// with gives a helper's command with some arguments, or nil without a helper.
func with(helper []string, args ...string) []string {
	if len(helper) == 0 {
		return nil
	}
	return slices.Concat(helper, args)
}

// BackendSupport is a backend and what it can do on this machine.
type BackendSupport struct {
	Name string
	deploy.Support
	Default bool // it is used unless another one is named
}

// Support tries all backends. It takes the installation's lock, unless the folder
// cannot be written, which the backends then say.
func (i *Installation) Support(ctx context.Context) ([]BackendSupport, error) {
	held, err := i.hold(ctx)
	switch {
	case err == nil:
		defer held.Close()
	case !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EROFS):
		return nil, err
	}
	return i.support(ctx, i.opt.Backends), nil
}

// support finds the default too: of those that are usable the one with the
// strongest guarantee, and among equals the first.
func (i *Installation) support(ctx context.Context, backends []deploy.Backend) []BackendSupport {
	var all []BackendSupport
	best := -1
	for n, b := range backends {
		all = append(all, BackendSupport{Name: b.Name(), Support: b.Probe(ctx, i.site())})
		if all[n].Usable && !asked(b) && (best < 0 || all[n].Verifies > all[best].Verifies) {
			best = n
		}
	}
	if best >= 0 {
		all[best].Default = true
	}
	return all
}

// asked tells whether a backend is used only where it is asked for: what needs a
// process of Larch's that serves it is a choice.
func asked(b deploy.Backend) bool { return b.Name() == OnDemandBackend }

// backend finds the implementation that made a deployment.
func (i *Installation) backend(name string) (deploy.Backend, error) {
	for _, b := range i.opt.Backends {
		if b.Name() == name {
			return b, nil
		}
	}
	return nil, fmt.Errorf("%w: this larch knows no %.40q", ErrBackend, name)
}

// broken tells whether an error says something of the machine's state at this moment,
// and nothing of what it can do.
func broken(err error) bool {
	for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC, unix.EDQUOT, unix.EMFILE, unix.ENFILE, unix.ENOMEM} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// chooseBackend gives a usable backend: the one that is wanted, or the default. It
// changes the installation if probing does.
func (i *Installation) chooseBackend(ctx context.Context, wanted string) (*BackendSupport, error) {
	if wanted != "" {
		b, err := i.backend(wanted)
		if err != nil {
			return nil, err
		}
		s := b.Probe(ctx, i.site())
		if !s.Usable {
			return nil, fmt.Errorf("%w: %s: %s", ErrBackend, wanted, cmp.Or(s.Why, "not usable"))
		}
		return &BackendSupport{Name: wanted, Support: s}, nil
	}
	all := i.support(ctx, slices.DeleteFunc(slices.Clone(i.opt.Backends), asked))
	var why []string
	for _, s := range all {
		if broken(s.Err) { // who comes next would hide it
			return nil, fmt.Errorf("trying the backend %s: %w", s.Name, s.Err)
		}
		if s.Default {
			return &s, nil
		}
		why = append(why, s.Name+": "+cmp.Or(s.Why, "not usable"))
	}
	return nil, errors.Join(fmt.Errorf("%w: %s", ErrBackend, strings.Join(why, "; ")), i.tryWriting())
}

// tryWriting finds out whether it is the disk's fault that no backend can be used.
func (i *Installation) tryWriting() error {
	name := path.Join("tmp", "probe-"+rand.Text())
	if err := i.root.Mkdir(name, 0o700); err != nil {
		return err
	}
	return i.root.RemoveAll(name)
}

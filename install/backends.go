package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/composefs"
	"github.com/larch-project/larch/deploy/hardlink"
	"github.com/larch-project/larch/deploy/overlay"
)

// Backends lists all forms in which a release can be on disk, the simplest first.
// helper is Options.Helper.
func Backends(helper []string) []deploy.Backend {
	return []deploy.Backend{
		hardlink.Backend{},
		overlay.Backend{Command: with(helper, "enter")},
		composefs.Backend{},
	}
}

// Helpers is what Options.Helper does when its next argument is one of these names.
var Helpers = map[string]func(ctx context.Context, args []string) error{
	"enter": func(_ context.Context, args []string) error { return overlay.Enter(args) },
}

// with gives a helper's command for one of its names, or nil without a helper.
func with(helper []string, name string) []string {
	if len(helper) == 0 {
		return nil
	}
	return append(slices.Clip(helper), name)
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
	return i.support(ctx), nil
}

// support finds the default too: of those that are usable, and need no process that
// serves them, the one with the strongest guarantee, and among equals the first.
func (i *Installation) support(ctx context.Context) []BackendSupport {
	var all []BackendSupport
	best := -1
	for n, b := range i.opt.Backends {
		all = append(all, BackendSupport{Name: b.Name(), Support: b.Probe(ctx, i.site())})
		if all[n].Usable && !all[n].Served && (best < 0 || all[n].Verifies > all[best].Verifies) {
			best = n
		}
	}
	if best >= 0 {
		all[best].Default = true
	}
	return all
}

// backend finds the implementation that made a deployment.
func (i *Installation) backend(name string) (deploy.Backend, error) {
	for _, b := range i.opt.Backends {
		if b.Name() == name {
			return b, nil
		}
	}
	return nil, fmt.Errorf("%w: this larch knows no %.40q", ErrBackend, name)
}

// chooseBackend gives the name of a usable backend: the one that is wanted, or
// the default. It changes the installation if probing does.
func (i *Installation) chooseBackend(ctx context.Context, wanted string) (string, error) {
	if wanted != "" {
		b, err := i.backend(wanted)
		if err != nil {
			return "", err
		}
		if s := b.Probe(ctx, i.site()); !s.Usable {
			return "", fmt.Errorf("%w: %s: %s", ErrBackend, wanted, cmp.Or(s.Why, "not usable"))
		}
		return wanted, nil
	}
	all := i.support(ctx)
	var why []string
	for _, s := range all {
		if s.Default {
			return s.Name, nil
		}
		why = append(why, s.Name+": "+cmp.Or(s.Why, "not usable"))
	}
	return "", fmt.Errorf("%w: %s", ErrBackend, strings.Join(why, "; "))
}

package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/release"
)

// Opened is an installed application that is held for use. It stays what it is,
// whatever is installed, undone or collected meanwhile, until it is closed.
type Opened struct {
	Installed Installed
	Release   *release.Release
	Metadata  release.Metadata
	Tree      *deploy.View // the application's tree: metadata, files, export
	Runtime   *deploy.View // its runtime's tree; nil if that is the host's
}

// OpenApp finds what is installed under a full or short name, and holds it and
// its runtime. It takes no lock that a transaction waits for, and needs no
// permission to write.
func (i *Installation) OpenApp(ctx context.Context, short string) (*Opened, error) {
	for {
		current, err := i.Current()
		if err != nil {
			return nil, err
		}
		o, err := i.openApp(ctx, current, short)
		if errors.Is(err, fs.ErrNotExist) {
			if now, changed := i.currentNumber(); changed == nil && now != current.Number { // collected meanwhile
				continue
			}
			err = fmt.Errorf("%w: \"larch verify --repair\" may bring it back", err)
		}
		return o, err
	}
}

func (i *Installation) openApp(ctx context.Context, g *Generation, short string) (_ *Opened, err error) {
	in, err := g.Resolve(short)
	if err != nil {
		return nil, err
	}
	o := &Opened{Installed: *in}
	defer func() {
		if err != nil {
			o.Close()
		}
	}()
	if o.Tree, err = i.view(ctx, *in); err != nil {
		return nil, err
	}
	if o.Release, err = i.document(in.Release); err != nil {
		return nil, err
	}
	if o.Metadata, err = metadataOf(o.Release); err != nil {
		return nil, err
	}
	if r := o.Metadata.Runtime; r != "" && r != release.HostRuntime {
		ref, err := release.ParseRef(r)
		if err != nil {
			return nil, err
		}
		runtime := g.Find(ref)
		if runtime == nil {
			return nil, fmt.Errorf("%s needs %s, which is %w", in.Ref, ref, ErrNotInstalled)
		}
		if o.Runtime, err = i.view(ctx, *runtime); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// view opens a deployment.
func (i *Installation) view(ctx context.Context, in Installed) (*deploy.View, error) {
	b, err := i.backend(in.Backend)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in.Ref, err)
	}
	v, err := b.Open(ctx, i.site(), in.Release.String())
	if err != nil {
		return nil, fmt.Errorf("opening %s %s: %w", in.Ref, in.Version, err)
	}
	return v, nil
}

// Close ends the hold on the deployments; programs that inherited it go on.
func (o *Opened) Close() error {
	var errs []error
	for _, v := range []*deploy.View{o.Tree, o.Runtime} {
		if v != nil {
			errs = append(errs, v.Close())
		}
	}
	return errors.Join(errs...)
}

// Elsewhere tells whether the files can only be seen by a command that Prepare has
// prepared.
func (o *Opened) Elsewhere() bool {
	return o.Tree.Prepare != nil || o.Runtime != nil && o.Runtime.Prepare != nil
}

// Prepare changes a command so that it runs where the application's files are.
func (o *Opened) Prepare(ctx context.Context, cmd *exec.Cmd) error {
	for _, v := range []*deploy.View{o.Tree, o.Runtime} {
		if v == nil || v.Prepare == nil {
			continue
		}
		if err := v.Prepare(ctx, cmd); err != nil {
			return fmt.Errorf("preparing %s %s: %w", o.Installed.Ref, o.Installed.Version, err)
		}
	}
	return nil
}

// ErrNoPlace is matched when an installed release is in no folder that everybody
// can see.
var ErrNoPlace = errors.New("it is seen by its own programs alone")

// Place says where an installed release is on disk. The folder stays until the
// release is neither installed nor in a generation that gc keeps.
func (i *Installation) Place(ctx context.Context, short string) (string, error) {
	current, err := i.Current()
	if err != nil {
		return "", err
	}
	in, err := current.Resolve(short)
	if err != nil {
		return "", err
	}
	v, err := i.view(ctx, *in)
	if err != nil {
		return "", err
	}
	if v.Prepare != nil {
		return "", errors.Join(fmt.Errorf("%s: %w (backend %s): \"larch run --command sh\" looks inside", in.Ref, ErrNoPlace, in.Backend), v.Close())
	}
	return v.Path, v.Close()
}

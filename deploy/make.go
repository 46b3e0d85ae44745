package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
)

// Form is how a deployment that is a folder is judged and made.
type Form struct {
	// Right tells whether the deployment that is there, in this folder, is the one to
	// be made, as cheaply as the form allows. It is held meanwhile. Errors that say
	// that it has another shape count as no.
	Right func(folder *beneath.Dir) (bool, error)
	// Leave, unless nil, undoes what Open did to the one that is there, before another
	// takes its place. Nobody holds it.
	Leave func() error
	// Fill makes it in an empty folder. It need not make anything durable.
	Fill func(aside *beneath.Dir) error
}

// Make makes a deployment unless the right one is there: aside, behind one barrier,
// and into its place in one step. On return it survives power loss; after an error
// there is what was there before.
func (d Deployment) Make(ctx context.Context, root *beneath.Dir, form Form) error {
	if there, err := d.Exists(root); err != nil {
		return err
	} else if there {
		switch right, err := d.right(ctx, root, form); {
		case err != nil:
			return fmt.Errorf("checking deployment %.12s: %w", d.Name, err)
		case right:
			return d.Persist(root)
		}
	}
	if err := d.makeAside(root, form); err != nil {
		d.Abandon(root)
		return fmt.Errorf("making deployment %.12s: %w", d.Name, err)
	}
	return nil
}

func (d Deployment) right(ctx context.Context, root *beneath.Dir, form Form) (bool, error) {
	hold, err := d.Hold(ctx, root)
	if err != nil {
		return false, ignoreShape(err)
	}
	defer hold.Close()
	folder, err := root.OpenDir(d.Folder())
	if err != nil {
		return false, ignoreShape(err)
	}
	defer folder.Close()
	right, err := form.Right(folder)
	return right, ignoreShape(err)
}

// ignoreShape drops errors that say that what is there is no deployment of ours.
func ignoreShape(err error) error {
	for _, shape := range []error{fs.ErrNotExist, unix.ENOTDIR, unix.ELOOP} {
		if errors.Is(err, shape) {
			return nil
		}
	}
	return err
}

func (d Deployment) makeAside(root *beneath.Dir, form Form) error {
	aside, err := d.Begin(root)
	if err != nil {
		return err
	}
	defer aside.Close()
	if err := form.Fill(aside); err != nil {
		return err
	}
	if err := aside.SyncFS(); err != nil { // the one barrier
		return err
	}
	return d.Place(root, form.Leave)
}

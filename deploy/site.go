package deploy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/lock"
)

const (
	folder   = "deployments"
	scratch  = "tmp"
	lockName = "lock"
)

// Deployment names one deployment of a site.
type Deployment struct {
	Name    string // Spec.Name
	Backend string // Backend.Name
}

// Folder is where the deployment is, below the site's root.
func (d Deployment) Folder() string { return path.Join(folder, d.base()) }

func (d Deployment) base() string { return d.Name + "." + d.Backend }

// aside is where it is made.
func (d Deployment) aside() string { return path.Join(scratch, "deploy-"+d.base()) }

func (d Deployment) check() error {
	for _, part := range []string{d.Name, d.Backend} {
		if part == "" || strings.ContainsAny(part, "./") {
			return fmt.Errorf("deployment %q of %q: not a name", d.Name, d.Backend)
		}
	}
	return nil
}

// List gives all deployments of a site, in the order of names.
func List(root *beneath.Dir) ([]Deployment, error) {
	names, err := root.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []Deployment
	for _, name := range names {
		if base, backend, ok := strings.Cut(name, "."); ok && base != "" && backend != "" {
			all = append(all, Deployment{base, backend})
		}
	}
	return all, err
}

// Hold gives the deployment's lock, held shared: until it is closed, nothing
// takes the deployment away. fs.ErrNotExist if there is none.
func (d Deployment) Hold(ctx context.Context, root *beneath.Dir) (*os.File, error) {
	return d.locked(root, func(f *os.File) error { return lock.Shared(ctx, f) })
}

// View holds a deployment whose tree is a folder of this name in its own. Without that
// folder, or with a link in its place, it is ErrDamaged.
func (d Deployment) View(ctx context.Context, site Site, folder string) (*View, error) {
	hold, err := d.Hold(ctx, site.Root)
	if err != nil {
		return nil, err
	}
	v := NewView(site, path.Join(d.Folder(), folder), hold)
	root, err := v.Open()
	switch {
	case err == nil:
		return v, root.Close()
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP):
		err = fmt.Errorf("%w: it has no tree", ErrDamaged)
	}
	return nil, errors.Join(err, hold.Close())
}

// claim makes sure that nobody holds the deployment, until it is closed: ErrInUse
// if somebody does. What has no lock cannot be held.
func (d Deployment) claim(root *beneath.Dir) (io.Closer, error) {
	f, err := d.locked(root, func(f *os.File) error {
		held, err := lock.TryExclusive(f)
		if err == nil && !held {
			err = fmt.Errorf("%s: %w", d.Folder(), ErrInUse)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return io.NopCloser(nil), nil
	}
	return f, err
}

// locked opens and takes the lock, again if it is another's by then: a
// deployment may have been removed or exchanged while it waited.
func (d Deployment) locked(root *beneath.Dir, take func(*os.File) error) (*os.File, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	for {
		f, err := root.Open(d.Folder() + "/" + lockName)
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) { // what is there is no deployment
			err = &fs.PathError{Op: "open", Path: d.Folder(), Err: fs.ErrNotExist}
		}
		if err != nil {
			return nil, err
		}
		if err := take(f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if same, err := d.current(root, f); same || err != nil {
			if err != nil {
				f.Close()
				f = nil
			}
			return f, err
		}
		f.Close()
	}
}

// Alone does something to a deployment that nobody holds meanwhile: ErrInUse if
// somebody does. Without a deployment it does nothing.
func (d Deployment) Alone(root *beneath.Dir, do func() error) error {
	claimed, err := d.claim(root)
	if err != nil {
		return err
	}
	defer claimed.Close()
	return do()
}

// current tells whether an open lock is still that of the deployment.
func (d Deployment) current(root *beneath.Dir, f *os.File) (bool, error) {
	var mine unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &mine); err != nil {
		return false, err
	}
	named, err := root.Lstat(d.Folder() + "/" + lockName)
	return err == nil && mine.Dev == named.Dev && mine.Ino == named.Ino, err
}

// Exists tells whether there is a deployment of that name.
func (d Deployment) Exists(root *beneath.Dir) (bool, error) {
	if err := d.check(); err != nil {
		return false, err
	}
	return root.Exists(d.Folder())
}

// Begin gives an empty folder, in tmp/, in which the deployment is made; what an
// interrupted attempt left there is removed. Place moves it into place.
func (d Deployment) Begin(root *beneath.Dir) (*beneath.Dir, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	for _, name := range []string{scratch, folder} {
		if err := root.MkdirAll(name, 0o755); err != nil {
			return nil, err
		}
	}
	if err := root.RemoveAll(d.aside()); err != nil {
		return nil, err
	}
	if err := root.Mkdir(d.aside(), 0o755); err != nil {
		return nil, err
	}
	made, err := root.OpenDir(d.aside())
	if err != nil {
		return nil, err
	}
	f, err := made.Create(lockName, 0o644)
	if err == nil {
		err = errors.Join(f.Chmod(0o644), f.Close()) // whoever may run it may hold it
	}
	if err != nil {
		made.Close()
		return nil, err
	}
	return made, nil
}

// Place moves what was made since Begin into place, in one step, and makes that
// durable; all of it must be durable already. A deployment that is there already
// is exchanged for it and removed: ErrInUse if it is held. leave, which may be nil,
// is called before, when nobody holds it any more, to undo what Open did.
func (d Deployment) Place(root *beneath.Dir, leave func() error) error {
	err := root.RenameNoReplace(d.aside(), d.Folder()) // the commit point
	if errors.Is(err, fs.ErrExist) {
		err = d.exchange(root, leave)
	}
	if err != nil {
		return err
	}
	return d.Persist(root)
}

// Persist makes durable that the deployment is in its place: for one that was
// there already, whose maker may have been stopped just before.
func (d Deployment) Persist(root *beneath.Dir) error {
	deployments, err := root.OpenDir(folder)
	if err != nil {
		return err
	}
	defer deployments.Close()
	return deployments.Sync()
}

func (d Deployment) exchange(root *beneath.Dir, leave func() error) error {
	claimed, err := d.claim(root)
	if err != nil {
		return err
	}
	defer claimed.Close()
	if leave != nil {
		if err := leave(); err != nil {
			return err
		}
	}
	if err := root.Exchange(d.aside(), d.Folder()); err != nil { // the commit point
		return err
	}
	return root.RemoveAll(d.aside())
}

// Abandon removes what was made since Begin, if it can; the next Begin does
// otherwise.
func (d Deployment) Abandon(root *beneath.Dir) { root.RemoveAll(d.aside()) }

// Retire takes the deployment away in one step, and calls delete with the path,
// below the site's root, of what was its folder. ErrInUse while it is held;
// fs.ErrNotExist if there is none. leave, which may be nil, is called before, when
// nobody holds it any more, to undo what Open did.
func (d Deployment) Retire(root *beneath.Dir, leave func() error, delete func(name string) error) error {
	claimed, err := d.claim(root)
	if err != nil {
		return err
	}
	defer claimed.Close()
	if leave != nil {
		if err := leave(); err != nil {
			return err
		}
	}
	trash := path.Join(scratch, "trash-"+rand.Text())
	if err := root.MkdirAll(scratch, 0o755); err != nil {
		return err
	}
	if err := root.RenameNoReplace(d.Folder(), trash); err != nil { // the commit point
		return err
	}
	return delete(trash)
}

// Remove retires a deployment that is no more than its folder once leave, which may
// be nil, was called, and deletes it. No error if there is none.
func (d Deployment) Remove(root *beneath.Dir, leave func() error) error {
	err := d.Retire(root, leave, root.RemoveAll)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

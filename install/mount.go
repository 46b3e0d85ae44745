package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/mount"
)

// ErrNotMounted is matched when something is not a mount of Larch's.
var ErrNotMounted = errors.New("not a mount of larch's")

// mountSource is what tables of mounts show for what Larch mounts.
const mountSource = "larch"

// inDeployment finds folders of deployments that are mounted as they are.
var inDeployment = regexp.MustCompile(`/deployments/[0-9a-f]{64}\.[a-z]+/`)

// Mount shows the tree of what is installed under a full or short name at a folder,
// read-only, until Unmount or a restart. Only root can. The folder is used as it is
// opened, and must belong to who mounts: what it is replaced by meanwhile is not
// followed.
func (i *Installation) Mount(ctx context.Context, short, folder string) (err error) {
	current, err := i.Current()
	if err != nil {
		return err
	}
	in, err := current.Resolve(short)
	if err != nil {
		return err
	}
	at, err := openPoint(folder)
	if err != nil {
		return err
	}
	defer at.Close()
	v, err := i.view(ctx, *in)
	if err != nil {
		return err
	}
	defer v.Close()
	if v.Prepare != nil {
		return fmt.Errorf("%s: %w (backend %s): install it with --backend composefs to mount it", in.Ref, ErrNoPlace, in.Backend)
	}
	below, err := filepath.Rel(i.root.Path(), v.Path)
	if err != nil {
		return err
	}
	from, err := i.root.OpenFile(below, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	clone, err := mount.Clone(from)
	if err != nil {
		return asRoot(err)
	}
	defer clone.Close()
	return asRoot(mount.Attach(clone, at))
}

// asRoot says what helps against a lack of privileges.
func asRoot(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: only root can mount; \"larch path\" says where it is already", err)
	}
	return err
}

// openPoint opens a folder on which something is to be mounted.
func openPoint(name string) (*os.File, error) {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return nil, &fs.PathError{Op: "mount at", Path: name, Err: errors.New("it is no folder, or a symlink to one: name the folder itself")}
		}
		return nil, &fs.PathError{Op: "mount at", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		f.Close()
		return nil, &fs.PathError{Op: "mount at", Path: name, Err: err}
	}
	if uid := os.Geteuid(); st.Uid != 0 && int(st.Uid) != uid {
		f.Close()
		return nil, fmt.Errorf("mount at %s: it belongs to user %d, who could put another in its place: %w", name, st.Uid, fs.ErrPermission)
	}
	return f, nil
}

// MountAll mounts all deployments that are used through a mount: after a restart,
// for users who cannot. It gives how many.
func (i *Installation) MountAll(ctx context.Context) (n int, err error) {
	current, err := i.Current()
	if err != nil {
		return 0, err
	}
	for _, in := range current.Installed {
		v, openErr := i.view(ctx, in)
		if openErr != nil {
			err = errors.Join(err, openErr)
			continue
		}
		n++
		err = errors.Join(err, v.Close())
	}
	return n, err
}

// Unmount takes away what Mount has mounted at a folder:
// ErrNotMounted if there is nothing of ours, unix.EBUSY while programs use it, unless
// lazy, which leaves it to those.
func Unmount(folder string, lazy bool) error {
	table, err := mount.Table()
	if err != nil {
		return err
	}
	real, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	above, err := filepath.EvalSymlinks(filepath.Dir(real)) // as the table has it
	if err != nil {
		return err
	}
	real = filepath.Join(above, filepath.Base(real))
	ours := false
	for _, e := range table {
		if e.Point == real { // the last one is on top
			ours = e.Source == mountSource || inDeployment.MatchString(e.Root)
		}
	}
	if !ours {
		return fmt.Errorf("%s: %w", folder, ErrNotMounted)
	}
	err = mount.Unmount(real, lazy)
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%w: programs use it: end them, or --lazy leaves it to them", err)
	}
	return asRoot(err)
}

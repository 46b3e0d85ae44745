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

// ErrPoint is matched when a folder is no place for a mount: one that another user
// could have put there, or none at all.
var ErrPoint = errors.New("no place to mount at")

// ErrNotRoot is matched when mounting needs root.
var ErrNotRoot = errors.New("only root can mount")

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
		return fmt.Errorf("%w (%w)", ErrNotRoot, err)
	}
	return err
}

// openPoint opens the folder to mount at. What belongs to another user than root and
// this one is refused: the other could have meant it.
func openPoint(name string) (*os.File, error) {
	f, err := openFolder("mount at", name)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return nil, &fs.PathError{Op: "mount at", Path: name, Err: err}
	}
	if uid := os.Geteuid(); st.Uid != 0 && int(st.Uid) != uid {
		f.Close()
		return nil, fmt.Errorf("mount at %s: it belongs to user %d, who could put another in its place: %w", name, st.Uid, fs.ErrPermission)
	}
	return f, nil
}

// openFolder opens a folder for its place alone. No symlink may lead there, at the end
// of the path or on the way: where others can write, theirs could lead anywhere.
func openFolder(op, name string) (*os.File, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, filepath.Clean(name), &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, fmt.Errorf("%s %s: %w: a symlink is part of the path: name the folder itself", op, name, ErrPoint)
	case errors.Is(err, unix.ENOTDIR):
		return nil, fmt.Errorf("%s %s: %w: it is no folder", op, name, ErrPoint)
	case err != nil:
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
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
	full, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(filepath.Dir(full)) // as the table has it
	if err != nil {
		return err
	}
	above, err := openFolder("umount", real) // the folder itself would be in use
	if err != nil {
		return err
	}
	defer above.Close()
	if ours, err := isOurs(filepath.Join(real, filepath.Base(full))); err != nil {
		return err
	} else if !ours {
		return fmt.Errorf("%s: %w", folder, ErrNotMounted)
	}
	err = mount.Unmount(fmt.Sprintf("/proc/self/fd/%d/%s", above.Fd(), filepath.Base(full)), lazy)
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%s: %w: programs use it: end them, or --lazy leaves it to them", folder, unix.EBUSY)
	}
	return asRoot(err)
}

// isOurs tells whether Larch has mounted what is seen at a path without symlinks.
func isOurs(path string) (ours bool, err error) {
	table, err := mount.Table()
	for _, e := range table {
		if e.Point == path { // the last one is on top
			ours = e.Source == mountSource || inDeployment.MatchString(e.Root)
		}
	}
	return ours, err
}

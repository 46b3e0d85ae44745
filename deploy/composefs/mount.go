package composefs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/lock"
	"github.com/larch-project/larch/internal/mount"
	"github.com/larch-project/larch/internal/verity"
)

// ensureMounted mounts a deployment unless it is mounted.
func ensureMounted(ctx context.Context, site deploy.Site, name string) error {
	folder, err := site.Root.OpenDir(named(name).Folder())
	if err != nil {
		return err
	}
	defer folder.Close()
	if mounted, err := deploy.Overlaid(folder, mountName); mounted || err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return deploy.ErrUnmounted
	}
	turn, err := folder.Open(imageName)
	if err != nil {
		return err
	}
	defer turn.Close()
	if err := lock.Exclusive(ctx, turn); err != nil {
		return err
	}
	if mounted, err := deploy.Overlaid(folder, mountName); mounted || err != nil { // somebody else had the turn
		return err
	}
	return mountTree(site, name, folder)
}

func mountTree(site deploy.Site, name string, folder *beneath.Dir) error {
	var n note
	if err := deploy.ReadNote(folder, &n); err != nil {
		return err
	}
	if stated, err := site.Content.Image(name); err != nil {
		return err
	} else if !stated.IsZero() && stated != n.Image {
		return fmt.Errorf("%w: its image is not the one that the release states", deploy.ErrDamaged)
	}
	mounted, err := n.mount(site, folder)
	if err != nil {
		return err
	}
	defer mounted.Close()
	if err := n.try(site, mounted); err != nil {
		return err
	}
	at, err := folder.OpenDir(mountName)
	if err != nil {
		return err
	}
	defer at.Close()
	return mount.Attach(mounted, at.File())
}

// mount makes the mount of a deployment, unattached, from the very image that it has
// compared.
func (n note) mount(site deploy.Site, folder *beneath.Dir) (*os.File, error) {
	image, err := folder.Open(imageName)
	if err != nil {
		return nil, err
	}
	defer image.Close()
	if sound, err := n.isImage(image); err != nil || !sound {
		return nil, errors.Join(err, fmt.Errorf("%w: its image has changed", deploy.ErrDamaged))
	}
	names, err := mount.Image(image)
	if err != nil {
		return nil, err
	}
	defer names.Close()
	below, err := folder.OpenDir(belowName)
	if err != nil {
		return nil, err
	}
	defer below.Close()
	o := mount.Overlay{Source: "larch", Names: names, Verity: n.Verity, Folder: below.File()}
	for _, layer := range []struct {
		of   *beneath.Dir
		name string
	}{{site.Root, objects}, {folder, linksName}} {
		dir, err := layer.of.OpenDir(layer.name)
		if errors.Is(err, fs.ErrNotExist) { // a store without objects
			continue
		}
		if err != nil {
			return nil, err
		}
		defer dir.Close()
		o.Contents = append(o.Contents, dir.File())
	}
	return o.Mount()
}

// isImage tells whether an open file is the image: by the kernel's measure, else by
// reading it.
func (n note) isImage(f *os.File) (bool, error) {
	if have, err := verity.Measure(f); err == nil {
		return have == n.Image, nil
	}
	err := digest.Verify(f, n.Image, n.Size)
	if errors.Is(err, digest.ErrMismatch) {
		return false, nil
	}
	return err == nil, err
}

// try reads the sample through a mount that nobody sees yet.
func (n note) try(site deploy.Site, mounted *os.File) error {
	root, err := beneath.Open("/proc/self/fd/" + strconv.Itoa(int(mounted.Fd())))
	if err != nil {
		return err
	}
	defer root.Close()
	return n.Sample.Try(site.Root, root)
}

// leave unmounts a deployment that nobody holds: deploy.ErrInUse if its tree is
// mounted elsewhere too.
func leave(site deploy.Site, name string) error {
	d := named(name)
	folder, err := site.Root.OpenDir(d.Folder())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	if err != nil {
		return err
	}
	defer folder.Close()
	at, err := folder.Lstat(mountName)
	if err != nil {
		return nil // what is there is no deployment of ours
	}
	if mounted, err := deploy.Overlaid(folder, mountName); !mounted || err != nil {
		return err
	}
	own := filepath.Join(site.Root.Path(), d.Folder(), mountName)
	if elsewhere, err := otherPlace(uint64(at.Dev), own); err != nil {
		return err
	} else if elsewhere != "" {
		return fmt.Errorf("%s is mounted at %s, too: %w: \"larch umount\" it there", d.Folder(), elsewhere, deploy.ErrInUse)
	}
	return mount.Detach(own)
}

// verified tells whether the kernel checks the contents of a tree that is mounted.
func verified(folder *beneath.Dir) (bool, error) {
	dir, err := folder.OpenDir(mountName)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	at, err := dir.Lstat(".")
	if err != nil {
		return false, err
	}
	table, err := mount.Table()
	if err != nil {
		return false, err
	}
	for _, e := range table {
		if e.Device == deviceName(uint64(at.Dev)) && slices.Contains(strings.Split(e.Super, ","), "verity=require") {
			return true, nil
		}
	}
	return false, nil
}

func deviceName(device uint64) string {
	return fmt.Sprintf("%d:%d", unix.Major(device), unix.Minor(device))
}

// otherPlace gives another place where a file system is mounted; "" if there is none.
func otherPlace(device uint64, own string) (string, error) {
	own, err := filepath.EvalSymlinks(own) // as the table has it
	if err != nil {
		return "", err
	}
	table, err := mount.Table()
	if err != nil {
		return "", err
	}
	for _, e := range table {
		if e.Device == deviceName(device) && e.Point != own {
			return e.Point, nil
		}
	}
	return "", nil
}

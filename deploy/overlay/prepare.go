package overlay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
)

// separator stands between what is to be mounted and the program that is to run.
const separator = "--"

// order is one deployment that Enter mounts.
type order struct {
	Root   string `json:"root"`   // of the site: an absolute path
	Folder string `json:"folder"` // of the deployment, below it
	Verity bool   `json:"verity"` // refuse contents that the kernel does not answer for

	// The folder of stubs that was compared with the tree.
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`

	Sample deploy.Sample `json:"sample"`
}

// prepare compares the stubs with the tree, and has the command begin through Enter
// in namespaces of its own.
func (b Backend) prepare(ctx context.Context, site deploy.Site, name string, cmd *exec.Cmd) error {
	if len(b.Command) == 0 {
		return errors.New("overlay: no command is known that mounts")
	}
	m, err := examine(ctx, site, name)
	if err != nil {
		return fmt.Errorf("deployment %.12s: %w", name, err)
	}
	spec, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if cmd.Args[0] == b.Command[0] && isolated(cmd) { // another view of the same command
		cmd.Args = slices.Insert(cmd.Args, len(b.Command), string(spec))
		return nil
	}
	program := cmd.Path
	if cmd.Err != nil {
		return cmd.Err
	}
	cmd.Path = b.Command[0]
	cmd.Args = slices.Concat(b.Command, []string{string(spec), separator, program}, cmd.Args)
	isolate(cmd, os.Getuid(), os.Getgid())
	return nil
}

// examine finds out what to mount; stubs that are not those of the tree are
// deploy.ErrDamaged.
func examine(ctx context.Context, site deploy.Site, name string) (*order, error) {
	folder, err := site.Root.OpenDir(named(name).Folder())
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	var n note
	if err := deploy.ReadNote(folder, &n); err != nil {
		return nil, err
	}
	var sample deploy.Sample
	for d, err := range compare(ctx, site.Content, folder, sampled(site.Content, site.Content.Tree(name), &sample)) {
		if errors.Is(err, digest.ErrMismatch) { // of a content that was in doubt
			err = fmt.Errorf("%w: %w", deploy.ErrDamaged, err)
		}
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %s %s", deploy.ErrDamaged, d.Path.Quoted(), d.Problem)
	}
	st, err := folder.Lstat(treeName)
	if err != nil {
		return nil, err
	}
	return &order{
		Root: site.Root.Path(), Folder: named(name).Folder(), Verity: n.Verity,
		Device: uint64(st.Dev), Inode: st.Ino, Sample: sample,
	}, nil
}

// isolated tells whether a command begins in a mount namespace of its own.
func isolated(cmd *exec.Cmd) bool {
	return cmd.SysProcAttr != nil && cmd.SysProcAttr.Cloneflags&unix.CLONE_NEWNS != 0
}

// isolate gives a command a mount namespace, and to a user other than root a user
// namespace, in which he is who he is, with the one capability that mounting needs.
func isolate(cmd *exec.Cmd, uid, gid int) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	attr := cmd.SysProcAttr
	attr.Cloneflags |= unix.CLONE_NEWNS
	if uid == 0 {
		return
	}
	attr.Cloneflags |= unix.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
	attr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN}
}

package overlay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/tree"
)

// separator stands between what is to be mounted and the program that is to run.
const separator = "--"

// order is one deployment that Enter mounts.
type order struct {
	Root   string `json:"root"`   // of the site: an absolute path
	Folder string `json:"folder"` // of the deployment, below it
	Verity bool   `json:"verity"` // refuse contents that the kernel does not answer for
	Stubs  int    `json:"stubs"`  // the descriptor of their tree, as text

	Sample deploy.Sample `json:"sample"`
}

// prepare has the command begin through Enter in namespaces of its own, and gives it the
// tree of stubs.
func (b Backend) prepare(ctx context.Context, site deploy.Site, name string, cmd *exec.Cmd) error {
	if len(b.Command) == 0 {
		return errors.New("overlay: no command is known that mounts")
	}
	m, stubs, err := examine(ctx, site, name)
	if err != nil {
		return fmt.Errorf("deployment %.12s: %w", name, err)
	}
	m.Stubs = 3 + len(cmd.ExtraFiles)
	cmd.ExtraFiles = append(cmd.ExtraFiles, stubs)
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

// examine finds out what to mount, and writes the stubs down.
func examine(ctx context.Context, site deploy.Site, name string) (*order, *os.File, error) {
	folder, err := site.Root.OpenDir(named(name).Folder())
	if err != nil {
		return nil, nil, err
	}
	defer folder.Close()
	for d, err := range differences(folder) {
		if err == nil {
			err = fmt.Errorf("%w: %s %s", deploy.ErrDamaged, d.Path.Quoted(), d.Problem)
		}
		return nil, nil, err
	}
	var n note
	if err := deploy.ReadNote(folder, &n); err != nil {
		return nil, nil, err
	}
	m := &order{Root: site.Root.Path(), Folder: named(name).Folder(), Verity: n.Verity}
	f, err := inMemory()
	if err != nil {
		return nil, nil, err
	}
	if err := m.list(ctx, site, name, f); err != nil {
		f.Close()
		return nil, nil, err
	}
	return m, f, nil
}

// inMemory makes a file that only who inherits it can reach.
func inMemory() (*os.File, error) {
	fd, err := unix.MemfdCreate("larch-stubs", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), "(stubs)"), nil
}

// list writes the tree of stubs to f, from the tree as it was signed, and finds its
// sample.
func (m *order) list(ctx context.Context, site deploy.Site, name string, f *os.File) error {
	text := tree.NewEncoder(f)
	for e, err := range stubs(site.Content, site.Content.Tree(name)) {
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if errors.Is(err, digest.ErrMismatch) { // of a content that was in doubt
			err = fmt.Errorf("%w: %w", deploy.ErrDamaged, err)
		}
		if err == nil {
			err = text.Write(e)
		}
		if err != nil {
			return err
		}
		if e.External() {
			m.Sample.Consider(e, objects+redirected(e))
		}
	}
	if err := text.Close(); err != nil {
		return err
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
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

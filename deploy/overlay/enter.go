package overlay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/mount"
	"github.com/larch-project/larch/tree"
)

// Enter mounts what its arguments say, which prepare has written, reads one file of
// each tree and compares it, gives up the capability that this needs, and becomes
// the program. It returns only with an error, or with nil if no program is named.
// The process is alone in its mount namespace.
func Enter(args []string) error {
	runtime.LockOSThread() // capabilities are a thread's
	at := slices.Index(args, separator)
	if at < 1 {
		return errors.New("nothing to mount")
	}
	if err := mount.Private(); err != nil {
		return err
	}
	for _, text := range args[:at] {
		var m order
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			return fmt.Errorf("what to mount: %w", err)
		}
		if err := m.enter(); err != nil {
			return fmt.Errorf("mounting %s: %w", m.Folder, err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up capabilities: %w", err)
	}
	program := args[at+1:]
	if len(program) < 2 {
		return nil
	}
	return &os.PathError{Op: "exec", Path: program[0], Err: unix.Exec(program[0], program[1:], os.Environ())}
}

// enter mounts one deployment.
func (m *order) enter() error {
	root, err := beneath.Open(m.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	names, err := m.placeStubs(root)
	if err != nil {
		return err
	}
	defer names.Close()
	made, err := m.make(root, names)
	if err != nil {
		return err
	}
	defer made.Close()
	if err := mount.Attach(made, names.File()); err != nil { // over the stubs
		return err
	}
	return m.try(root)
}

// placeStubs makes the tree of stubs, in a file system in memory that is mounted where
// the tree will be seen.
func (m *order) placeStubs(root *beneath.Dir) (*beneath.Dir, error) {
	at := path.Join(m.Folder, mountName)
	below, err := root.OpenDir(at)
	if err != nil {
		return nil, err
	}
	defer below.Close()
	memory, err := mount.Memory("larch")
	if err != nil {
		return nil, err
	}
	defer memory.Close()
	if err := mount.Attach(memory, below.File()); err != nil {
		return nil, err
	}
	names, err := root.OpenDir(at)
	if err != nil {
		return nil, err
	}
	if err := m.fill(root, names); err != nil {
		names.Close()
		return nil, err
	}
	return names, nil
}

func (m *order) fill(root, names *beneath.Dir) error {
	list := os.NewFile(uintptr(m.Stubs), "(stubs)")
	if list == nil {
		return unix.EBADF
	}
	defer list.Close()
	defer list.Truncate(0)         // whoever started this process has it open, too
	top, err := names.OpenDir(".") // Build closes it
	if err != nil {
		return err
	}
	err = deploy.Build(context.Background(), &maker{root: names, made: map[string]string{}}, top, tree.Decode(list))
	if errors.Is(err, unix.ENOSPC) {
		err = fmt.Errorf("%w: the names of the tree do not fit into memory: use another backend", err)
	}
	return err
}

// make gives a mount of the tree that is attached nowhere yet.
func (m *order) make(root, names *beneath.Dir) (*os.File, error) {
	contents, err := root.OpenDir(objects)
	if errors.Is(err, os.ErrNotExist) { // all contents stand in the tree
		contents, err = root.OpenDir(m.Folder) // any folder
	}
	if err != nil {
		return nil, err
	}
	defer contents.Close()
	return mount.Overlay{
		Source: "larch", Names: names.File(), Contents: []*os.File{contents.File()}, User: true, Verity: m.Verity,
	}.Mount()
}

// try reads the sample through the mount.
func (m *order) try(root *beneath.Dir) error {
	mounted, err := root.OpenDir(path.Join(m.Folder, mountName))
	if err != nil {
		return err
	}
	defer mounted.Close()
	return m.Sample.Try(root, mounted)
}

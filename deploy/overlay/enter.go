package overlay

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/mount"
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
	at, err := root.OpenDir(path.Join(m.Folder, mountName))
	if err != nil {
		return err
	}
	defer at.Close()
	made, err := m.make(root)
	if err != nil {
		return err
	}
	defer made.Close()
	if err := mount.Attach(made, at.File()); err != nil {
		return err
	}
	return m.try(root)
}

// make gives a mount of the tree that is attached nowhere yet.
func (m *order) make(root *beneath.Dir) (*os.File, error) {
	stubs, err := root.OpenDir(path.Join(m.Folder, treeName))
	if err != nil {
		return nil, err
	}
	defer stubs.Close()
	st, err := stubs.Lstat(".")
	if err != nil {
		return nil, err
	}
	if uint64(st.Dev) != m.Device || st.Ino != m.Inode {
		return nil, errors.New("another folder is in the place of the stubs")
	}
	contents, err := root.OpenDir(objects)
	if errors.Is(err, os.ErrNotExist) { // all contents stand in the tree
		contents, err = root.OpenDir(path.Join(m.Folder, mountName)) // any empty folder
	}
	if err != nil {
		return nil, err
	}
	defer contents.Close()
	return mount.Overlay{
		Source: "larch", Names: stubs.File(), Contents: []*os.File{contents.File()}, User: true, Verity: m.Verity,
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

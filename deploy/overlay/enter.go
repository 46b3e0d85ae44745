package overlay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
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
	// Nothing that happens here is to be seen elsewhere.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	for _, text := range args[:at] {
		var m mount
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
func (m *mount) enter() error {
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
	defer unix.Close(made)
	if err := unix.MoveMount(made, "", int(at.File().Fd()), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH); err != nil {
		return fmt.Errorf("attaching: %w", err)
	}
	return m.try(root)
}

// make gives a mount of the tree that is attached nowhere yet.
func (m *mount) make(root *beneath.Dir) (int, error) {
	stubs, err := root.OpenDir(path.Join(m.Folder, treeName))
	if err != nil {
		return -1, err
	}
	defer stubs.Close()
	st, err := stubs.Lstat(".")
	if err != nil {
		return -1, err
	}
	if uint64(st.Dev) != m.Device || st.Ino != m.Inode {
		return -1, fmt.Errorf("%w: another folder is in the place of the stubs", digest.ErrMismatch)
	}
	contents, err := root.OpenDir(objects)
	if errors.Is(err, os.ErrNotExist) { // all contents stand in the tree
		contents, err = root.OpenDir(path.Join(m.Folder, mountName)) // any empty folder
	}
	if err != nil {
		return -1, err
	}
	defer contents.Close()
	return overlayOf(stubs, contents, m.Verity)
}

// overlayOf mounts stubs over a data-only layer.
func overlayOf(stubs, contents *beneath.Dir, verity bool) (int, error) {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen: %w", err)
	}
	defer unix.Close(fs)
	steps := []func() error{
		func() error { return unix.FsconfigSetString(fs, "source", "larch") },
		func() error { return unix.FsconfigSetFlag(fs, "userxattr") },
		func() error { return unix.FsconfigSetFd(fs, "lowerdir+", int(stubs.File().Fd())) },
		func() error { return unix.FsconfigSetFd(fs, "datadir+", int(contents.File().Fd())) },
		func() error {
			if !verity {
				return nil
			}
			return unix.FsconfigSetString(fs, "verity", "require")
		},
		func() error { return unix.FsconfigCreate(fs) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return -1, fmt.Errorf("overlayfs: %w%s", err, kernelWords(fs))
		}
	}
	made, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return -1, fmt.Errorf("fsmount: %w%s", err, kernelWords(fs))
	}
	return made, nil
}

// kernelWords is what the kernel says of a file system that could not be mounted.
//
// Source: fsopen(2), "Message retrieval interface".
func kernelWords(fs int) string {
	var words []string
	buf := make([]byte, 4096)
	for range 16 {
		n, err := unix.Read(fs, buf)
		if err != nil || n == 0 {
			break
		}
		words = append(words, strings.TrimSpace(strings.TrimPrefix(string(buf[:n]), "e ")))
	}
	if len(words) == 0 {
		return ""
	}
	return ": " + strings.Join(words, "; ")
}

// try reads the sample through the mount: some kernels mount what they then show as
// zeros, or not at all.
func (m *mount) try(root *beneath.Dir) error {
	if m.Sample == "" {
		return nil
	}
	mounted, err := root.OpenDir(path.Join(m.Folder, mountName))
	if err != nil {
		return err
	}
	defer mounted.Close()
	f, err := mounted.Open(strings.TrimPrefix(m.Sample, "/"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := digest.Verify(io.LimitReader(f, m.Size+1), m.Digest, m.Size); err != nil {
		return fmt.Errorf("reading %q: %w", m.Sample, err)
	}
	return nil
}

package install

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/durable"
)

// Where an installation may be: what is checked before anything is changed.

// makeFolder makes a missing folder that nobody else can write, whatever the
// umask.
func makeFolder(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	err := os.Mkdir(dir, 0o755)
	switch {
	case err == nil:
		return os.Chmod(dir, 0o755)
	case errors.Is(err, fs.ErrExist):
		return nil
	}
	return err
}

// checkEmpty refuses a folder that is no installation and has something in it, which
// is not ours to sweep. What another process begins meanwhile is an installation.
func (i *Installation) checkEmpty() error {
	names, err := i.root.ReadDir(".")
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == lockName || name == "lost+found" || strings.HasPrefix(name, ".new-") {
			continue
		}
		if begun, err := i.root.Exists(formatName); begun || err != nil {
			return err
		}
		return fmt.Errorf("%w: it is no installation, and it has %.80q: name an empty folder, or one that is not there", ErrOwner, name)
	}
	return nil
}

// begin makes an empty folder an installation.
func (i *Installation) begin() error {
	if err := i.checkEmpty(); err != nil {
		return err
	}
	if err := i.tryLinks(); err != nil {
		return err
	}
	return durable.WriteFile(i.root, formatName, []byte(format1), 0o644)
}

// tryLinks wants a file system with symlinks and several names for a file, before
// anything is fetched for it.
func (i *Installation) tryLinks() error {
	first, second := ".new-first"+rand.Text(), ".new-second"+rand.Text()
	err := i.root.Symlink(lockName, first)
	if err == nil {
		err = i.root.Link(i.root, first, second)
		err = errors.Join(err, i.root.RemoveAll(second), i.root.RemoveAll(first))
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w: its file system has no symlinks or hard links, as FAT has none: choose another folder with --root: %w", ErrOwner, err)
	}
	return err
}

// checkOwner refuses to change what others could change at the same time.
func (i *Installation) checkOwner() error {
	st, err := i.root.Lstat(".")
	switch {
	case err != nil:
		return err
	case st.Uid != uint32(os.Geteuid()):
		return fmt.Errorf("%w: it belongs to user %d: run larch as that user, or choose another folder with --root", ErrOwner, st.Uid)
	case st.Mode&0o022 != 0: // a group too is others, as sshd has it for ~/.ssh
		return fmt.Errorf("%w: others than user %d can write in it: chmod go-w %s", ErrOwner, st.Uid, i.root.Path())
	}
	return checkAbove(i.root.File())
}

// checkAbove refuses a folder that somebody else could put another in the place of,
// as sshd and sudo refuse files: each of those above it must belong to this user or
// to root, and nobody else may rename what is in it. They are found from the open
// folder upward, not by their names. To others than root a group is no stranger: it
// is often their own.
func checkAbove(dir *os.File) error {
	strangers := uint32(0o002)
	if os.Geteuid() == 0 {
		strangers = 0o022
	}
	var before unix.Stat_t
	fd, err := unix.FcntlInt(dir.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	for err == nil {
		above, openErr := unix.Openat(fd, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		unix.Close(fd)
		if errors.Is(openErr, unix.EACCES) { // nobody else's to say
			return nil
		}
		fd, err = above, openErr
		var st unix.Stat_t
		if err == nil {
			err = unix.Fstat(fd, &st)
		}
		switch {
		case err != nil:
		case st.Ino == before.Ino && st.Dev == before.Dev: // the root
			return unix.Close(fd)
		case st.Uid != 0 && st.Uid != uint32(os.Geteuid()) && !unmapped(st.Uid):
			err = fmt.Errorf("%w: a folder above it belongs to user %d, who could put another in its place", ErrOwner, st.Uid)
		case st.Mode&strangers != 0 && st.Mode&unix.S_ISVTX == 0:
			err = fmt.Errorf("%w: others can rename it, for a folder above it has mode %04o", ErrOwner, st.Mode&0o7777)
		}
		before = st
	}
	unix.Close(fd)
	return fmt.Errorf("looking at the folders above: %w", err)
}

// overflow is the user that files of users have which a user namespace does not
// know, the machine's root among them.
const overflow = 65534

// unmapped tells whether a user is one that our user namespace does not know.
func unmapped(uid uint32) bool {
	table, err := os.ReadFile("/proc/self/uid_map")
	if uid != overflow || err != nil {
		return false
	}
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		var inside, outside, count uint64
		if _, err := fmt.Sscan(lines.Text(), &inside, &outside, &count); err != nil || inside <= overflow && overflow-inside < count {
			return false
		}
	}
	return true
}

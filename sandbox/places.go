package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/release"
)

// place is a folder or file of the machine, and what the program may do with it
// and with what is below it.
type place struct {
	path   string
	access release.Access
	own    bool // it is Larch's own, or other applications'
}

// folders shows what the permission filesystems gives.
func (s *setup) folders(hidden []string) error {
	s.places = s.wanted(s.hidden(hidden))
	for _, p := range s.places {
		if err := s.mount(p); err != nil {
			return err
		}
	}
	s.system()
	return nil
}

// wanted finds the places of all permissions on this machine: each once, with the
// least that is said of it, sorted by path so that each comes after what it is in.
// Where closed ones are inside, they are places without access.
func (s *setup) wanted(closed []string) []place {
	least := make(map[string]release.Access)
	for _, item := range s.app.Metadata.Permissions.Filesystems {
		for path, access := range s.locate(item) {
			if slices.ContainsFunc(closed, func(c string) bool { return within(path, c) }) {
				if access != release.NoAccess {
					s.note(fmt.Sprintf("filesystems: %q: not given: it is private", item))
				}
				continue
			}
			if before, ok := least[path]; !ok || access < before {
				least[path] = access
			}
		}
	}
	var places []place
	for path, access := range least {
		places = append(places, place{path, access, false})
	}
	for _, path := range closed {
		if allowed(places, path) != release.NoAccess {
			places = append(places, place{path, release.NoAccess, true})
		}
	}
	home := func(p place) bool { return p.path == s.host.home }
	if !slices.ContainsFunc(places, home) && allowed(places, s.host.home) == release.NoAccess {
		places = append(places, place{s.host.home, release.NoAccess, false})
	}
	slices.SortFunc(places, func(a, b place) int { return strings.Compare(a.path, b.path) })
	return places
}

// allowed is what places say of a path: the innermost one that it is in.
func allowed(places []place, path string) release.Access {
	inner := place{}
	for _, p := range places {
		if within(path, p.path) && len(p.path) > len(inner.path) {
			inner = p
		}
	}
	return inner.access
}

// locate gives the paths that an item of the permission means on this machine.
func (s *setup) locate(item string) map[string]release.Access {
	wanted, err := release.ParseFilesystem(item)
	if err != nil || !wanted.Given() && wanted.Access != release.NoAccess {
		s.note(fmt.Sprintf("filesystems: %q: not given", item))
		return nil
	}
	head, rest, _ := strings.Cut(wanted.Place, "/")
	var paths []string
	switch {
	case wanted.Place == "host":
		paths = append(hostFolders(), s.host.home)
	case wanted.Place == "home":
		paths = []string{s.host.home}
	case head == "~":
		paths = []string{filepath.Join(s.host.home, rest)}
	case head == "":
		paths = []string{wanted.Place}
	case strings.HasPrefix(head, "xdg-"):
		if base := s.host.folder(head); base != "" {
			paths = []string{filepath.Join(base, rest)}
		} else {
			s.note(fmt.Sprintf("filesystems: %q: this machine has no such folder", item))
		}
	}
	located := make(map[string]release.Access)
	for _, path := range paths {
		if !release.Reserved(path) || s.host.inSession(path) {
			located[path] = wanted.Access
		}
	}
	return located
}

// hostFolders are the folders of the root that hold people's files.
func hostFolders() (paths []string) {
	entries, err := os.ReadDir("/")
	if err != nil {
		return nil
	}
	system := []string{"efi", "root", "run", "tmp", "var", "lost+found"}
	for _, e := range entries {
		if e.IsDir() && !release.Reserved("/"+e.Name()) && !slices.Contains(system, e.Name()) {
			paths = append(paths, "/"+e.Name())
		}
	}
	if _, err := os.Lstat("/run/media"); err == nil {
		paths = append(paths, "/run/media")
	}
	return paths
}

// mount shows one place, or hides it.
func (s *setup) mount(p place) error {
	outside := allowed(s.places, filepath.Dir(p.path))
	writable := p.access >= release.ReadWrite
	switch {
	case p.path == s.host.home && p.access == release.NoAccess:
		s.add("--perms", "0700", "--tmpfs", p.path)
		return nil
	case p.access == release.NoAccess:
		if outside == release.NoAccess {
			return nil
		}
		return s.hide(p, outside)
	case p.access != release.Create && outside != release.NoAccess && writable == (outside >= release.ReadWrite):
		return nil // shown already
	}
	return s.show(p, outside)
}

// show gives a place that can be opened. One that cannot is not given, unless it
// were then open to change as a part of what is around it.
func (s *setup) show(p place, outside release.Access) error {
	f, kind, err := s.host.open(p.path)
	if errors.Is(err, fs.ErrNotExist) && p.access == release.Create {
		if err = s.host.mkdir(p.path); err == nil {
			f, kind, err = s.host.open(p.path)
		}
	}
	switch {
	case errors.Is(err, unix.ELOOP):
		err = errors.New("it is reached through a symlink")
	case err == nil && kind != unix.S_IFDIR && kind != unix.S_IFREG && kind != unix.S_IFSOCK:
		f.Close()
		err = fmt.Errorf("it is %s", typeWords(kind))
	}
	gone := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
	if err != nil && !gone && p.access == release.ReadOnly && outside >= release.ReadWrite {
		return fmt.Errorf("%w: %q cannot be kept from change: %w", ErrPolicy, p.path, err)
	}
	if err != nil {
		s.note(fmt.Sprintf("filesystems: %q: not given: %v", p.path, err))
		return nil
	}
	s.bind(f, s.inside(p.path), p.access >= release.ReadWrite)
	return nil
}

// inside is where a path of the machine is in the sandbox: in the same place, but
// for the session's folder.
func (s *setup) inside(path string) string {
	if s.host.inSession(path) {
		return s.sessionDir() + strings.TrimPrefix(path, s.host.runtime)
	}
	return path
}

// hide covers something inside a place that is given. What cannot be hidden for
// sure ends the attempt.
func (s *setup) hide(p place, outside release.Access) error {
	f, kind, err := s.host.open(p.path)
	if errors.Is(err, fs.ErrNotExist) && p.own && outside >= release.ReadWrite {
		// It is made here, lest the program make it.
		if err = s.host.mkdir(p.path); err == nil {
			f, kind, err = s.host.open(p.path)
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
		return nil // nothing there, or nothing that this user could see
	case err != nil:
		return fmt.Errorf("%w: %q cannot be kept from the program: %w", ErrPolicy, p.path, err)
	}
	defer f.Close()
	switch kind {
	case unix.S_IFDIR:
		s.add("--perms", "0700", "--tmpfs", s.inside(p.path))
	case unix.S_IFLNK:
		return fmt.Errorf("%w: %q is a symlink and cannot be kept from the program", ErrPolicy, p.path)
	default:
		number, err := s.passData("nothing", nil)
		if err != nil {
			return err
		}
		s.add("--perms", "0000", "--ro-bind-data", number, s.inside(p.path))
	}
	return nil
}

// system shows the machine's own programs and settings below /run/host, read-only.
func (s *setup) system() {
	given := func(name string) bool {
		i := slices.IndexFunc(s.app.Metadata.Permissions.Filesystems, func(item string) bool {
			fs, err := release.ParseFilesystem(item)
			return err == nil && fs.Place == name && fs.Access != release.NoAccess
		})
		return i >= 0
	}
	if given("host-os") {
		s.add("--ro-bind", "/usr", "/run/host/usr")
		for _, name := range rootLinks {
			if info, err := os.Lstat("/" + name); err == nil && info.Mode()&fs.ModeSymlink != 0 {
				s.add("--symlink", "usr/"+name, "/run/host/"+name)
			}
		}
	}
	if given("host-etc") {
		s.add("--ro-bind", "/etc", "/run/host/etc")
	}
}

// start is the folder in which the program begins: the caller's, if it is part of
// what is given.
func (s *setup) start(dir string) string {
	if filepath.IsAbs(dir) {
		dir = realPath(filepath.Clean(dir))
		if allowed(s.places, dir) != release.NoAccess && !s.host.inSession(dir) {
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				return dir
			}
		}
	}
	return s.host.home
}

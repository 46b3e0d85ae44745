package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/release"
)

// dataFolders are made in each application's data folder, with the variables that
// name them.
var dataFolders = []struct{ name, variable string }{
	{"cache", "XDG_CACHE_HOME"},
	{"config", "XDG_CONFIG_HOME"},
	{"data", "XDG_DATA_HOME"},
	{".local/state", "XDG_STATE_HOME"},
}

// dataFolder shows the application's own data, writable, where it is on the machine
// too. What is in it the application may have made: the way is resolved without
// symlinks, and what is mounted is the folder that was opened.
func (s *setup) dataFolder() error {
	s.data = filepath.Join(s.host.home, ".var/app", s.app.Ref.ID)
	if s.app.DataDir != "" {
		dir, name := filepath.Split(filepath.Clean(s.app.DataDir))
		s.data = filepath.Join(realPath(dir), name)
	}
	if !filepath.IsAbs(s.data) || release.Reserved(s.data) || within(s.host.home, s.data) {
		return fmt.Errorf("%w: data folder %q", ErrPolicy, s.data)
	}
	if err := s.openData(); err != nil {
		return fmt.Errorf("%w: data folder %q: %w", ErrPolicy, s.data, err)
	}
	s.add("--bind-fd", s.pass(s.kept.File()), s.data)
	s.linkSettings()
	return nil
}

func (s *setup) openData() error {
	if err := s.host.mkdir(s.data); err != nil {
		return err
	}
	base, rest := s.host.split(s.data)
	parent, err := beneath.Open(base)
	if err != nil {
		return err
	}
	defer parent.Close()
	if s.kept, err = parent.OpenDir(rest); err != nil {
		return err
	}
	st, err := s.kept.Lstat(".")
	if err == nil && int(st.Uid) != s.host.uid {
		err = fmt.Errorf("it belongs to the user %d", st.Uid)
	}
	for _, f := range dataFolders {
		if err == nil {
			err = s.kept.MkdirAll(f.name, 0o700)
		}
		s.env[f.variable] = path.Join(s.data, f.name)
	}
	if err != nil {
		s.kept.Close()
	}
	return err
}

// linkSettings makes what is given of the user's own settings appear where the
// program looks for its settings, unless it has some of that name.
func (s *setup) linkSettings() {
	for kind, folder := range map[string]string{"xdg-cache": "cache", "xdg-config": "config", "xdg-data": "data"} {
		base := s.host.folder(kind)
		for _, p := range s.places {
			if p.access == release.NoAccess || p.path == base || !within(p.path, base) {
				continue
			}
			name := folder + strings.TrimPrefix(p.path, base)
			err := s.kept.MkdirAll(path.Dir(name), 0o700)
			if err == nil {
				err = s.kept.Symlink(p.path, name)
			}
			if err != nil && !errors.Is(err, fs.ErrExist) {
				s.note(fmt.Sprintf("filesystems: %q: no link to it: %v", p.path, err))
			}
		}
	}
}

// persistent shows folders of the data folder in the program's home, which is
// otherwise empty at each start.
func (s *setup) persistent() error {
	if allowed(s.places, s.host.home) != release.NoAccess {
		return nil // the program has the real ones
	}
	taken := []string{s.data}
	for _, p := range s.places {
		if p.access != release.NoAccess {
			taken = append(taken, p.path)
		}
	}
	for _, name := range slices.Sorted(slices.Values(s.app.Metadata.Permissions.Persistent)) {
		if err := s.kept.MkdirAll(name, 0o700); err != nil {
			return fmt.Errorf("%w: persistent folder: %w", ErrPolicy, err)
		}
		at := filepath.Join(s.host.home, name)
		if name == "." || overlaps(at, taken) {
			s.note(fmt.Sprintf("persistent: %q: not given: something else is there", name))
			continue
		}
		taken = append(taken, at)
		f, err := s.kept.OpenFile(name, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return fmt.Errorf("%w: persistent folder: %w", ErrPolicy, err)
		}
		s.bind(f, at, true)
	}
	return nil
}

// overlaps tells whether a path is in one of the others, or has one in it. A mount
// inside another that the program can write to would be resolved by names that the
// program chose.
func overlaps(at string, others []string) bool {
	for _, other := range others {
		if within(at, other) || within(other, at) {
			return true
		}
	}
	return false
}

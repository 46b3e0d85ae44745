package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/release"
)

// host is what a run may use of the machine: the caller's identity, environment
// and folders.
type host struct {
	uid, gid int
	user     string
	home     string // real path
	runtime  string // real path of the session's folder; "" if there is none
	environ  map[string]string
}

// newHost believes the environment as far as it makes sense.
func newHost(environ []string) (*host, error) {
	h := &host{uid: os.Getuid(), gid: os.Getgid(), user: "user", environ: make(map[string]string)}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		h.environ[name] = value
	}
	home := h.environ["HOME"]
	if !filepath.IsAbs(home) {
		return nil, fmt.Errorf("%w: HOME is %.200q: want an absolute path", ErrPolicy, home)
	}
	var err error
	if h.home, err = filepath.EvalSymlinks(home); err != nil {
		return nil, fmt.Errorf("home folder: %w", err)
	}
	if release.Reserved(h.home) {
		return nil, fmt.Errorf("%w: HOME is %q, which is the system's", ErrPolicy, h.home)
	}
	if u := h.environ["USER"]; plainName(u) {
		h.user = u
	}
	h.runtime = sessionFolder(h.environ["XDG_RUNTIME_DIR"], h.uid)
	return h, nil
}

// plainName tells whether a user's name can stand in /etc/passwd.
func plainName(s string) bool {
	return s != "" && len(s) <= 32 && !strings.ContainsFunc(s, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-", r)
	})
}

// sessionFolder gives the real path, if the folder belongs to the user alone.
func sessionFolder(dir string, uid int) string {
	if !filepath.IsAbs(dir) {
		return ""
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return ""
	}
	var st unix.Stat_t
	if unix.Stat(real, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != uid || st.Mode&0o077 != 0 {
		return ""
	}
	return real
}

// realPath follows the symlinks of the part of a path that exists.
func realPath(name string) string {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		return real
	}
	parent := filepath.Dir(name)
	if parent == name {
		return name
	}
	return filepath.Join(realPath(parent), filepath.Base(name))
}

// open opens what is at an absolute path as a handle that can be mounted, and says
// what it is (unix.S_IFDIR...). No symlink is followed, but for those that lead to
// the home and session folders themselves: the rest of the way may be somebody
// else's to change.
func (h *host) open(name string) (*os.File, uint32, error) {
	base, rest := h.split(name)
	dir, err := beneath.Open(base)
	if err != nil {
		return nil, 0, err
	}
	defer dir.Close()
	f, err := dir.OpenFile(rest, unix.O_PATH, 0)
	if err != nil {
		return nil, 0, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, st.Mode & unix.S_IFMT, nil
}

// mkdir makes a folder and its parents, as open would find them.
func (h *host) mkdir(name string) error {
	base, rest := h.split(name)
	dir, err := beneath.Open(base)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.MkdirAll(rest, 0o700)
}

// split gives the trusted folder from which a path is resolved, and the rest.
func (h *host) split(name string) (base, rest string) {
	for _, base := range []string{h.runtime, h.home, "/"} {
		if base != "" && within(name, base) {
			rest := strings.TrimPrefix(strings.TrimPrefix(name, base), "/")
			if rest == "" {
				rest = "."
			}
			return base, rest
		}
	}
	return "/", name
}

// inSession tells whether a path is the session's folder or in it.
func (h *host) inSession(path string) bool { return h.runtime != "" && within(path, h.runtime) }

// within tells whether name is dir or below it; both are clean and absolute.
func within(name, dir string) bool {
	return name == dir || dir == "/" || strings.HasPrefix(name, dir+"/")
}

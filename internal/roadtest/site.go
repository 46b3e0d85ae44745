package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/larch-project/larch/internal/measure"
)

const app = "org.example.Road"

// ref names what is published.
func ref() string {
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64", "386": "i686"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	return "app/" + app + "/" + arch + "/stable"
}

// site is a repository that is published into and served, with keys of its own.
type site struct {
	larch       string // the command
	dir         string // with repo, keys and home
	url         string // of the repository
	fingerprint string
	server      *measure.Server
}

// newSite makes a site in a new folder; root is what the server serves.
func newSite(larch, dir, root string, server *measure.Server) (*site, error) {
	if err := os.MkdirAll(filepath.Join(dir, "home"), 0o755); err != nil {
		return nil, err
	}
	name, err := filepath.Rel(root, dir)
	if err != nil {
		return nil, err
	}
	s := &site{larch: larch, dir: dir, url: server.URL + "/" + filepath.ToSlash(name) + "/repo", server: server}
	_, out, err := s.do("", "init", s.repo(), "--json")
	if err != nil {
		return nil, err
	}
	var made struct{ Fingerprint string }
	err = json.Unmarshal([]byte(out), &made)
	s.fingerprint = made.Fingerprint
	return s, err
}

func (s *site) repo() string { return filepath.Join(s.dir, "repo") }

// do runs larch, for a machine if root is not empty.
func (s *site) do(root string, args ...string) (measure.Usage, string, error) {
	return s.doBy("", root, args...)
}

// doBy runs larch with the given routes: "packs" leaves deltas alone.
func (s *site) doBy(routes, root string, args ...string) (measure.Usage, string, error) {
	env := []string{
		"LARCH_ROUTES=" + routes, "LARCH_ROOT=" + root, "LARCH_KEYS=" + filepath.Join(s.dir, "keys"),
		"HOME=" + filepath.Join(s.dir, "home"), "XDG_CONFIG_HOME=", "XDG_DATA_HOME=", "XDG_CACHE_HOME=", "XDG_STATE_HOME=",
	}
	return measure.Run(env, s.larch, args...)
}

// publish publishes a version and says what that took.
func (s *site) publish(v version) (publication, error) {
	before, err := inventory(s.repo())
	if err != nil {
		return publication{}, err
	}
	u, _, err := s.do("", "publish", s.repo(), ref(), v.dir, "--version", v.name, "--command", "x", "--quiet")
	if err != nil {
		return publication{}, err
	}
	after, err := inventory(s.repo())
	return publication{u.CPU, u.Memory, after.since(before)}, err
}

// install makes a machine that has the newest version, in a new folder.
func (s *site) install(machine, routes string) (figure, error) {
	s.server.Reset()
	if _, _, err := s.do(machine, "remote", "add", "road", s.url, "--root-key", s.fingerprint, "--quiet"); err != nil {
		return figure{}, err
	}
	return s.finish(s.doBy(routes, machine, "install", app, "--yes", "--quiet"))
}

// update brings a machine to the newest version.
func (s *site) update(machine, routes string) (figure, error) {
	s.server.Reset()
	return s.finish(s.doBy(routes, machine, "update", "--yes", "--quiet"))
}

func (s *site) finish(u measure.Usage, _ string, err error) (figure, error) {
	count := s.server.Count()
	return figure{Bytes: count.Bytes, Requests: count.Requests, CPU: u.CPU, Memory: u.Memory}, err
}

// holds compares what a machine has deployed with a version.
func (s *site) holds(machine string, v version) error {
	_, path, err := s.do(machine, "path", app)
	if err != nil {
		return err
	}
	deployed := strings.TrimSpace(path)
	if _, err := os.Stat(filepath.Join(v.dir, "metadata")); err != nil {
		deployed = filepath.Join(deployed, "files")
	}
	return sameTree(v.dir, deployed)
}

// contents says what files a repository has: their sizes, and by what a
// replacement of the same size would be noticed.
type contents map[string]stamp

type stamp struct {
	size int64
	id   string
}

func inventory(repo string) (contents, error) {
	c := contents{}
	err := filepath.WalkDir(repo, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(repo, p)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		inode := info.Sys().(*syscall.Stat_t).Ino
		c[filepath.ToSlash(name)] = stamp{info.Size(), strconv.FormatUint(inode, 10) + info.ModTime().String()}
		return nil
	})
	return c, err
}

// since adds up what was not there before.
func (c contents) since(before contents) (s storage) {
	for name, now := range c {
		if before[name] == now {
			continue
		}
		switch folder, rest, _ := strings.Cut(name, "/"); {
		case folder == "packs":
			s.packs += now.size
		case folder == "deltas" && strings.HasSuffix(rest, "/empty"):
			s.streams += now.size
		case folder == "deltas":
			s.deltas += now.size
		default:
			s.rest += now.size
		}
	}
	return s
}

//go:build amd64

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/measure"
	"github.com/larch-project/larch/internal/mount"
)

// lab is where it happens: the programs, a repository that is served, and worlds.
type lab struct {
	disk        string // the folder that it was given, with the file system
	dir         string // in it, without symbolic links
	kind        string
	site        string // the repository that installations know
	server      *measure.Server
	fingerprint string
	backends    []string
}

// Refs of the lab's repository.
const (
	hello   = "app/org.example.Hello/x86_64/stable"
	toolkit = "runtime/org.example.Tools/x86_64/1"
)

// versions of the application, the oldest first.
var versions = [...]string{"1.0", "1.1", "2.0"}

// newLab builds the programs and the repository in a folder, on a file system of this
// kind: inMemory or onBtrfs. Close it.
func newLab(dir, kind string) (*lab, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	l := &lab{disk: dir, dir: dir, kind: kind}
	if err := l.mount(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	l.site = filepath.Join(l.dir, "site/repo")
	for _, program := range []string{"cmd/larch", "internal/faults/launch", "internal/faults/victim"} {
		cmd := exec.Command("go", "build", "-trimpath", "-o", l.program(filepath.Base(program)), "github.com/larch-project/larch/"+program)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building %s: %w: %s", program, err, out)
		}
	}
	if err := l.publish(); err != nil {
		return nil, err
	}
	if l.server, err = measure.Serve(l.site); err != nil {
		return nil, err
	}
	return l, l.learn()
}

// Kinds of file systems, for labs of root; others have what is there.
const (
	inMemory = "tmpfs"
	onBtrfs  = "btrfs"
)

// mount gives the lab a file system of its own, in memory, so that no disk's speed
// counts.
func (l *lab) mount() error {
	if os.Geteuid() != 0 {
		return nil
	}
	if err := unix.Mount("larch-faults", l.disk, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=3g,mode=755"); err != nil {
		return fmt.Errorf("mounting a file system in memory: %w", err)
	}
	if l.kind == inMemory {
		return nil
	}
	l.dir = filepath.Join(l.disk, "mounted")
	script := `set -e; mkdir "$1"; truncate -s 2G "$1.img"; mkfs.btrfs -q "$1.img"; mount -o loop,nosuid,nodev "$1.img" "$1"`
	if out, err := exec.Command("/bin/sh", "-c", script, "sh", l.dir).CombinedOutput(); err != nil {
		return fmt.Errorf("making a btrfs: %w: %s", err, out)
	}
	return nil
}

func (l *lab) Close() error {
	if l.server != nil {
		l.server.Close()
	}
	err := detachBelow(l.disk)
	if os.Geteuid() == 0 {
		err = errors.Join(err, mount.Detach(l.disk))
	}
	return errors.Join(err, measure.RemoveAll(l.disk))
}

// program is the path of one of the programs that were built, or of another.
func (l *lab) program(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(l.dir, "bin", cmp.Or(name, "larch"))
}

// source is the folder of a version of the application, or of the runtime.
func (l *lab) source(version string) string { return filepath.Join(l.dir, "source", version) }

// publish makes the site, and the sources that it is made of.
func (l *lab) publish() error {
	if err := tools().write(l.source("tools")); err != nil {
		return err
	}
	for _, v := range versions {
		if err := application(v).write(l.source(v)); err != nil {
			return err
		}
	}
	w := l.world("site")
	lines := [][]string{{"init", l.site}, {"publish", l.site, toolkit, l.source("tools"), "--version", "1"}}
	for _, v := range versions {
		lines = append(lines, []string{"publish", l.site, hello, l.source(v), "--version", v, "--requires", toolkit})
	}
	lines = append(lines, []string{"repo", "prune", l.site})
	return w.must(lines...)
}

// learn asks the programs what the scenarios need to know.
func (l *lab) learn() error {
	w := l.world("site")
	var keys []struct{ Role, ID string }
	if err := w.ask(&keys, "key", "list", l.site, "--json"); err != nil {
		return err
	}
	for _, k := range keys {
		if k.Role == "root" {
			l.fingerprint = k.ID
		}
	}
	var backends []struct {
		Name   string
		Usable bool
	}
	if err := w.ask(&backends, "backends", "--json"); err != nil {
		return err
	}
	for _, b := range backends {
		if b.Usable {
			l.backends = append(l.backends, b.Name)
		}
	}
	if l.fingerprint == "" || len(l.backends) == 0 {
		return fmt.Errorf("no root key in %+v, or no backend in %+v", keys, backends)
	}
	return nil
}

// world is a folder that a command may change, and where everything is that it may
// find.
type world struct {
	*lab
	dir  string
	from string // the folder that it is a copy of, or its own
}

func (l *lab) world(name string) *world {
	dir := filepath.Join(l.dir, name)
	return &world{l, dir, dir}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// env is all that programs know of: nothing of the machine that the test runs on.
func (w *world) env() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=" + w.path("home"), "XDG_CONFIG_HOME=" + w.path("home/config"), "XDG_DATA_HOME=" + w.path("home/data"),
		"XDG_CACHE_HOME=" + w.path("home/cache"), "FLATPAK_SYSTEM_DIR=" + w.path("system"), "FLATPAK_TRIGGERSDIR=" + w.path("triggers"), // there are none
		"LARCH_ROOT=" + w.path("machine"), "LARCH_KEYS=" + w.path("keys"), "TMPDIR=" + w.path("tmp"),
		"GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1",
	}
}

// expand puts paths into a command line: {w} is the world.
func (w *world) expand(line []string) []string {
	r := strings.NewReplacer("{w}", w.dir, "{source}", filepath.Join(w.lab.dir, "source"), "{site}", w.site, "{url}", w.url(), "{root}", w.fingerprint)
	out := make([]string, len(line))
	for n, word := range line {
		out[n] = r.Replace(word)
	}
	return out
}

func (w *world) url() string {
	if w.server == nil {
		return ""
	}
	return w.server.URL
}

// larch runs the command as users do. A code that is not 0 is not an error.
func (w *world) larch(line ...string) (code int, stdout, stderr string) { return w.call("", line...) }

// call is larch for any program.
func (w *world) call(program string, line ...string) (code int, stdout, stderr string) {
	cmd := exec.Command(w.program(program), w.expand(line)...)
	cmd.Env, cmd.Dir = w.env(), w.lab.dir
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); cmd.ProcessState == nil {
		return 127, "", err.Error()
	}
	return cmd.ProcessState.ExitCode(), out.String(), problems.String()
}

// must runs command lines of larch that have to succeed.
func (w *world) must(lines ...[]string) error { return w.mustAll("", lines...) }

// mustAll is must for any program.
func (w *world) mustAll(program string, lines ...[]string) error {
	for _, line := range lines {
		if code, out, problems := w.call(program, line...); code != 0 {
			return fmt.Errorf("%s %s: exit code %d: %s%s", cmp.Or(program, "larch"), strings.Join(line, " "), code, out, problems)
		}
	}
	return nil
}

// ask runs a command and decodes the document that it prints.
func (w *world) ask(doc any, line ...string) error {
	code, out, problems := w.larch(line...)
	if code != 0 {
		return fmt.Errorf("larch %s: exit code %d: %s%s", strings.Join(line, " "), code, out, problems)
	}
	return json.Unmarshal([]byte(out), doc)
}

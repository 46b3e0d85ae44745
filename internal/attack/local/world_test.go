package local

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/larch-project/larch/release"
)

var arch = release.HostArch()

// The users: one that attacks or is attacked, and one more. They have no names.
const (
	ordinary = 54321
	stranger = 54322
)

// world is one user's machine for one test.
type world struct {
	t    *testing.T
	kit  *kit
	uid  int
	dir  string // the user's
	home string
	root string // the installation
	env  []string
}

// attack is a test of one number. why says what it guards against.
func attack(t *testing.T, name, why string, do func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Cleanup(func() {
			if t.Failed() {
				t.Log("it guards against this: " + why)
			}
		})
		do(t)
	})
}

// everyUser runs a test as root and as an ordinary user; without root, as who we are.
func everyUser(t *testing.T, do func(t *testing.T, w *world)) {
	t.Helper()
	if uid := os.Getuid(); uid != 0 {
		do(t, newWorld(t, uid))
		return
	}
	for name, uid := range map[string]int{"root": 0, "user": ordinary} {
		t.Run(name, func(t *testing.T) { do(t, newWorld(t, uid)) })
	}
}

// asRoot is a test that needs several users.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, for there are several users in it")
	}
}

func newWorld(t *testing.T, uid int) *world {
	t.Helper()
	w := &world{t: t, kit: shared(), uid: uid, dir: t.TempDir()}
	w.must(os.Chmod(filepath.Dir(w.dir), 0o755), os.Chmod(w.dir, 0o755), chown(w.dir, uid))
	w.home, w.root = w.mkdir("home"), filepath.Join(w.dir, "machine")
	w.env = []string{"HOME=" + w.home, "PATH=" + os.Getenv("PATH"), "LARCH_ROOT=" + w.root, "LANG=C"}
	return w
}

func chown(path string, uid int) error {
	if os.Getuid() != 0 {
		return nil
	}
	return os.Lchown(path, uid, uid)
}

func (w *world) must(errs ...error) {
	w.t.Helper()
	if err := errors.Join(errs...); err != nil {
		w.t.Fatal(err)
	}
}

// mkdir makes a folder of the user's.
func (w *world) mkdir(name string) string {
	w.t.Helper()
	full := w.dir
	for part := range strings.SplitSeq(name, "/") {
		full = filepath.Join(full, part)
		if err := os.Mkdir(full, 0o755); err == nil {
			w.must(chown(full, w.uid))
		} else if !errors.Is(err, fs.ErrExist) {
			w.t.Fatal(err)
		}
	}
	return full
}

// write makes a file of the user's.
func (w *world) write(name, text string) string {
	w.t.Helper()
	full := filepath.Join(w.mkdir(filepath.Dir(name)), filepath.Base(name))
	w.must(os.WriteFile(full, []byte(text), 0o644), chown(full, w.uid))
	return full
}

// result is what a command printed and exited with.
type result struct {
	code     int
	out, err string
}

// command prepares larch as the world's user.
func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.Command(w.kit.larch, args...)
	cmd.Env, cmd.Dir = w.env, "/"
	w.as(cmd, w.uid)
	return cmd
}

// as runs a command as a user.
func (w *world) as(cmd *exec.Cmd, uid int) {
	if os.Getuid() == 0 && uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
}

// larch runs a command line.
func (w *world) larch(args ...string) result {
	w.t.Helper()
	return w.finish(w.command(args...))
}

func (w *world) finish(cmd *exec.Cmd) result {
	w.t.Helper()
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	w.sane(out.String(), problem.String())
	return result{cmd.ProcessState.ExitCode(), out.String(), problem.String()}
}

// sane wants messages without a trace of a panic.
func (w *world) sane(texts ...string) {
	w.t.Helper()
	for _, text := range texts {
		if strings.Contains(text, "goroutine ") || strings.Contains(text, "panic:") {
			w.t.Errorf("it panicked:\n%s", text)
		}
	}
}

// ok is larch, and must succeed.
func (w *world) ok(args ...string) string {
	w.t.Helper()
	r := w.larch(args...)
	if r.code != 0 {
		w.t.Fatalf("larch %q: code %d\n%s%s", args, r.code, r.out, r.err)
	}
	return r.out
}

// refused wants an exit code, and a text in the message.
func (w *world) refused(r result, code int, text string) {
	w.t.Helper()
	if r.code != code || !strings.Contains(r.err, text) {
		w.t.Errorf("code %d, want %d and %q\n%s%s", r.code, code, text, r.out, r.err)
	}
}

// trust adds the kit's repository.
func (w *world) trust() *world {
	w.t.Helper()
	w.ok("remote", "add", "example", w.kit.repo, "--root-key", w.kit.fingerprint)
	return w
}

// installed is a world with an application of these permissions.
func (w *world) installed(id, lines string) string {
	w.t.Helper()
	name := w.kit.app(w.t, id, lines, "1", nil)
	w.trust()
	w.ok("install", name, "--yes", "--backend", "hardlink")
	return name
}

// probe runs the application's probe, which must succeed, and gives its output.
func (w *world) probe(name string, args ...string) string {
	w.t.Helper()
	return w.ok(append([]string{"run", name, "--"}, args...)...)
}

// canary is a folder outside of everything, with a file; it must not change.
func (w *world) canary(owner int) string {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "canary")
	file := filepath.Join(dir, "f")
	w.must(os.Mkdir(dir, 0o755), os.WriteFile(file, []byte("S3CR3T"), 0o644), chown(dir, owner), chown(file, owner))
	before := snapshot(w.t, dir)
	w.t.Cleanup(func() {
		if after := snapshot(w.t, dir); !slices.Equal(before, after) {
			w.t.Errorf("the canary is %q now, was %q", after, before)
		}
	})
	return dir
}

// snapshot describes everything below a folder, with times of change.
func snapshot(t *testing.T, dir string) (lines []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		line := strings.Join([]string{strings.TrimPrefix(path, dir), info.Mode().String(), info.ModTime().String(), string(rune(st.Uid)), string(rune(st.Nlink))}, " ")
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += " " + string(data)
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// clean wants the installation to be what it should be, and nothing of it to have a
// mark that no file of an application has.
func (w *world) clean() {
	w.t.Helper()
	if r := w.larch("verify"); r.code != 0 {
		w.t.Errorf("verify: code %d\n%s%s", r.code, r.out, r.err)
	}
	filepath.WalkDir(w.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			w.t.Error(err)
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		odd := info.Mode() & (fs.ModeSetuid | fs.ModeSetgid | fs.ModeDevice | fs.ModeNamedPipe | fs.ModeSocket)
		if odd != 0 || info.Mode().Type() != fs.ModeSymlink && info.Mode()&0o002 != 0 {
			w.t.Errorf("%s has the mode %v", path, info.Mode())
		}
		return nil
	})
}

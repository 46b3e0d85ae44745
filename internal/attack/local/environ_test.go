package local

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// shell runs larch from a shell that does something before.
func (w *world) shell(before string, args ...string) result {
	w.t.Helper()
	cmd := w.command(args...)
	cmd.Args = append([]string{"sh", "-c", before + `; exec "$@"`, "sh", cmd.Path}, args...)
	cmd.Path = "/bin/sh"
	return w.finish(cmd)
}

func TestEnvironment(t *testing.T) {
	attack(t, "J-10 variables", "what others set, or a wrong setting, leads to files elsewhere or to other programs", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			name := w.installed("Probe", "")
			canary := w.canary(0)
			evil := w.mkdir("evil")
			for _, program := range []string{"bwrap", "larch", "sh", "fusermount3", "id"} {
				w.must(os.Chmod(w.write("evil/"+program, "#!/bin/sh\necho pwned\n"), 0o755))
			}
			good := w.env
			set := func(variables ...string) []string {
				var env []string
				for _, old := range good {
					key, _, _ := strings.Cut(old, "=")
					if !strings.Contains("\n"+strings.Join(variables, "\n"), "\n"+key+"=") {
						env = append(env, old)
					}
				}
				for _, v := range variables {
					if !strings.HasSuffix(v, "=UNSET") {
						env = append(env, v)
					}
				}
				return env
			}
			for _, c := range []struct {
				what      string
				variables []string
				args      []string
				code      int
				text      string // in what it prints or complains
			}{
				{"no HOME, nor a root", []string{"HOME=UNSET", "LARCH_ROOT=UNSET"}, []string{"list"}, 1, "absolute"},
				{"a relative HOME", []string{"HOME=x", "LARCH_ROOT=UNSET"}, []string{"list"}, 1, "absolute"},
				{"a relative HOME, to run", []string{"HOME=x"}, []string{"run", name}, 1, "absolute"},
				{"HOME is the root", []string{"HOME=/"}, []string{"run", name, "--", "args"}, 1, "system's"},
				{"HOME is /etc", []string{"HOME=/etc"}, []string{"run", name, "--", "args"}, 1, "system's"},
				{"HOME is not there", []string{"HOME=/nonexistent/x"}, []string{"run", name, "--", "args"}, 3, "home folder"},
				{"HOME has a newline", []string{"HOME=" + w.home + "\n/x"}, []string{"run", name, "--", "args"}, 3, ""},
				{"a relative XDG_DATA_HOME", []string{"XDG_DATA_HOME=x", "LARCH_ROOT=UNSET"}, []string{"list"}, 0, ""},
				{"XDG_DATA_HOME has a newline", []string{"XDG_DATA_HOME=\n/x", "LARCH_ROOT=UNSET"}, []string{"list"}, 0, ""},
				{"a relative XDG_CONFIG_HOME", []string{"XDG_CONFIG_HOME=../x"}, []string{"run", name, "--", "args"}, 0, "[]"},
				{"a relative XDG_RUNTIME_DIR", []string{"XDG_RUNTIME_DIR=../x"}, []string{"run", name, "--", "args"}, 0, "[]"},
				{"another's XDG_RUNTIME_DIR", []string{"XDG_RUNTIME_DIR=" + canary}, []string{"run", name, "--", "args"}, 0, "[]"},
				{"TMPDIR is a magic link", []string{"TMPDIR=/proc/self/cwd"}, []string{"verify"}, 0, ""},
				{"TMPDIR is not there", []string{"TMPDIR=/nonexistent"}, []string{"run", name, "--", "args"}, 0, "[]"},
				{"the loader's", []string{"LD_PRELOAD=/evil.so", "LD_LIBRARY_PATH=/evil", "LD_AUDIT=/evil.so"}, []string{"run", name, "--", "args"}, 0, "[]"},
				{"Go's", []string{"GODEBUG=http2debug=2,netdns=9", "GOTRACEBACK=crash", "GOGC=off", "GOMAXPROCS=999"}, []string{"run", name, "--", "args"}, 0, "[]"},
				{"PATH is the working folder", []string{"PATH=."}, []string{"run", name, "--", "args"}, 1, "bubblewrap"},
				{"PATH is relative", []string{"PATH=evil:./evil"}, []string{"run", name, "--", "args"}, 1, "bubblewrap"},
				{"no PATH", []string{"PATH=UNSET"}, []string{"run", name, "--", "args"}, 1, "bubblewrap"},
				{"a proxy", []string{"HTTP_PROXY=http://127.0.0.1:1", "https_proxy=http://127.0.0.1:1", "ALL_PROXY=socks5://127.0.0.1:1"}, []string{"update", "--yes"}, 0, "Nothing to do"},
				{"LANG is an escape code", []string{"LANG=\x1b[2J", "LC_ALL=\x1b]0;x\x07"}, []string{"run", name, "--", "env"}, 0, "HOME="},
				{"IFS", []string{"IFS=/"}, []string{"run", name, "--", "args"}, 0, "[]"},
				{"100 KiB each", []string{"A=" + strings.Repeat("a", 100<<10), "LANG=" + strings.Repeat("b", 100<<10)}, []string{"run", name, "--", "args"}, 0, "[]"},
				{"an empty root", []string{"LARCH_ROOT=", "HOME=" + w.home}, []string{"list"}, 0, ""},
				{"a root that is a file", []string{"LARCH_ROOT=" + filepath.Join(canary, "f")}, []string{"list"}, 3, ""},
				{"NETRC is a folder", []string{"NETRC=" + canary}, []string{"update", "--yes"}, 0, ""},
			} {
				cmd := w.command(c.args...)
				cmd.Env, cmd.Dir = set(c.variables...), w.dir
				if c.what == "PATH is the working folder" {
					cmd.Dir = evil
				}
				r := w.finish(cmd)
				if (c.code == 0) != (r.code == 0) || !strings.Contains(r.out+r.err, c.text) || strings.Contains(r.out+r.err, "pwned") {
					t.Errorf("%s: code %d, want %d and %q\n%s%s", c.what, r.code, c.code, c.text, r.out, r.err)
				}
				if strings.ContainsAny(r.err, "\x1b\x07") || c.args[0] == "run" && strings.Contains(r.out, "\x1b") {
					t.Errorf("%s: control characters: %q %q", c.what, r.out, r.err)
				}
			}
			if _, err := os.Stat(filepath.Join(w.dir, "x")); err == nil {
				t.Error("a relative path was used")
			}
			w.clean()
		})
	})
	attack(t, "J-11 what a process inherits", "a file that was opened as number 2 got messages; limits and ignored signals that nobody expects", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			name := w.installed("Probe", "")
			for _, before := range []string{
				"mkdir d && cd d && rmdir ../d", "cd //", "cd /proc/self/task", "exec <&-", "exec >&-", "exec 2>&-", "exec <&- >&- 2>&-",
				"ulimit -f 0", "ulimit -n 32", "ulimit -c unlimited", "ulimit -s 256", "trap '' CHLD PIPE USR1 WINCH", "trap '' INT TERM HUP",
			} {
				for _, args := range [][]string{
					{"list"}, {"uninstall", name, "--yes"}, {"install", name, "--yes", "--no-deltas"}, {"run", name, "--", "args"}, {"verify"},
				} {
					r := w.shell("cd "+w.dir+"; "+before, args...)
					if r.code != 0 && before != "ulimit -f 0" {
						t.Errorf("%s: %q: code %d\n%s%s", before, args, r.code, r.out, r.err)
					}
					if r.code < 0 || r.code > 8 {
						t.Errorf("%s: %q: code %d\n%s%s", before, args, r.code, r.out, r.err)
					}
				}
				w.ok("install", name, "--yes")
				w.clean()
				w.probe(name, "args")
			}
		})
	})
	attack(t, "J-11 a thousand open files", "files that a caller forgot reach the program", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			name := w.installed("Probe", "")
			null := must(os.Open("/etc/passwd"))(t)
			defer null.Close()
			cmd := w.command("run", name, "--", "fds")
			for range 1000 {
				cmd.ExtraFiles = append(cmd.ExtraFiles, null)
			}
			r := w.finish(cmd)
			if lines := strings.Count(r.out, "\n"); r.code != 0 || lines != 3 || strings.Contains(r.out, "passwd") {
				t.Errorf("code %d, %d files\n%.500s%s", r.code, lines, r.out, r.err)
			}
		})
	})
	attack(t, "J-12 arguments", "GHSA-v2gw-v9h5-9q4x: an argument with ../ became a path", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			w.installed("Probe", "")
			canary := w.canary(w.uid)
			before := snapshot(t, w.root)
			names := []string{
				"", "-x", "--", "--bind", "../x", "../../canary", "/etc/passwd", ".", "..", "a/../b", "app/../../x/stable", "app/org.example.Probe/x86_64/../stable",
				"runtime/org.example.Probe/" + arch + "/stable", "APP/org.example.Probe/" + arch + "/stable", "app/org.example.Probe/../stable",
				"app//" + arch + "/stable", "org.example.Probe@", "org.example.Probe@../x", "org.example.Probe@\x1b[2J", "\x1b[2J", "\xff", "a\nb", "%s%n", strings.Repeat("a", 100<<10),
				"app/org.example.Probe/" + arch + "/stable/", "remotes/example", "file:///etc", canary,
			}
			for _, name := range names {
				for _, verb := range []string{"install", "uninstall", "run", "path", "info", "update", "mount"} {
					args := []string{verb, "--", name}
					if verb == "mount" {
						args = append(args, canary)
					}
					r := w.larch(args...)
					short := strings.HasPrefix(name, "org.example.Probe@") && (verb == "install")
					if r.code == 0 && !(short && name == "org.example.Probe@") {
						t.Errorf("%q: done\n%s%s", args, r.out, r.err)
					}
					if r.code < 0 || r.code > 8 || strings.ContainsAny(r.err, "\x1b\xff") || len(r.err) > 4096 {
						t.Errorf("%.100q: code %d, %d bytes: %.300q", args, r.code, len(r.err), r.err)
					}
				}
			}
			for _, name := range []string{"", "-x", "../x", "a/b", ".", "..", "\x1b[2J", "a b", strings.Repeat("a", 300), "x\n"} {
				for _, args := range [][]string{{"remote", "add", "--root-key", w.kit.fingerprint, "--", name, w.kit.repo}, {"remote", "remove", "--", name}} {
					if r := w.larch(args...); r.code == 0 || strings.Contains(r.err, "\x1b") {
						t.Errorf("%.100q: code %d %q", args, r.code, r.err)
					}
				}
			}
			after := snapshot(t, w.root)
			if strings.Join(before, "\n") != strings.Join(after, "\n") {
				t.Errorf("something has changed:\n%q\n%q", before, after)
			}
			w.clean()
		})
	})
}

// TestReadersWhileRootUpdates has an ordinary user look at root's installation at
// each step of its changes.
func TestReadersWhileRootUpdates(t *testing.T) {
	attack(t, "J-14 readers of a system installation", "a list or a program that was half old and half new", func(t *testing.T) {
		asRoot(t)
		w := newWorld(t, 0)
		name := w.kit.app(t, "Reads", "", "1", nil)
		w.trust().ok("install", name, "--yes")
		w.kit.app(t, "Reads", "", "2", nil)
		done := make(chan struct{})
		failed := make(chan error, 1)
		go func() {
			defer close(failed)
			for n := 0; ; n++ {
				select {
				case <-done:
					if n < 5 {
						failed <- fmt.Errorf("only %d rounds", n)
					}
					return
				default:
				}
				if err := w.read(name); err != nil {
					failed <- err
					return
				}
			}
		}()
		for range 6 {
			w.ok("update", "--yes")
			w.ok("gc", "--keep", "1")
			w.ok("undo")
			w.ok("verify", "--repair")
		}
		close(done)
		if err := <-failed; err != nil {
			t.Error(err)
		}
	})
}

// read lists and runs as a stranger, who must see one version or the other.
func (w *world) read(name string) error {
	for _, args := range [][]string{{"list"}, {"run", "--no-sandbox", "--command=cat", name, "--", "/dev/null"}, {"path", name}, {"history"}} {
		cmd := exec.Command(w.kit.larch, args...)
		cmd.Env = append([]string{}, w.env...)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
		var out, problem bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &problem
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%q: %w: %s", args, err, problem.String())
		}
		if args[0] == "list" && !strings.Contains(out.String(), " 1 ") && !strings.Contains(out.String(), " 2 ") {
			return fmt.Errorf("list: %q", out.String())
		}
		if args[0] == "path" {
			version, err := os.ReadFile(filepath.Join(strings.TrimSpace(out.String()), "files/share/version"))
			if err != nil && !errors.Is(err, unix.ENOENT) || err == nil && string(version) != "1" && string(version) != "2" {
				return fmt.Errorf("it is version %q: %w", version, err)
			}
		}
	}
	return nil
}

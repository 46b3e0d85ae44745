package local

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// owned makes a folder of another user's, in a folder where nobody else may rename
// it.
func (w *world) owned(name string, uid int, mode os.FileMode) string {
	w.t.Helper()
	full := filepath.Join(w.dir, name)
	w.must(os.MkdirAll(filepath.Dir(full), 0o755), os.Mkdir(full, 0o755), os.Chmod(full, mode), chown(full, uid))
	return full
}

func TestOtherUsers(t *testing.T) {
	asRoot(t)
	attack(t, "J-01 names made before", "CVE-2019-12439: another user made the folder in /tmp whose name could be guessed", func(t *testing.T) {
		for _, uid := range []int{0, ordinary} {
			w := newWorld(t, uid)
			canary := w.canary(0)
			temp := w.owned("tmp", stranger, 0o777|os.ModeSticky)
			for _, name := range []string{"larch", "larch-plan-", "larch-plan", "larch-tree-", "larch-vm", fmt.Sprint("larch-", uid), ".larch", "tmp", "larch-plan-0", "larch-export"} {
				link := filepath.Join(temp, name)
				w.must(os.Symlink(filepath.Join(canary, "f"), link), chown(link, stranger))
			}
			w.env = append(w.env, "TMPDIR="+temp, "XDG_RUNTIME_DIR="+temp, "XDG_CACHE_HOME="+temp)
			before := snapshot(t, temp)[1:]
			name := w.installed("Probe", "")
			w.ok("update", "--dry-run")
			w.probe(name, "args")
			w.ok("verify", "--repair")
			w.ok("uninstall", name, "--yes")
			w.ok("gc")
			if after := snapshot(t, temp)[1:]; !slices.Equal(before, after) {
				t.Errorf("in the temporary folder there is %q, was %q", after, before)
			}
		}
	})
	attack(t, "J-01 the installation made before", "the same for the installation's own folder", func(t *testing.T) {
		for _, uid := range []int{0, ordinary} {
			w := newWorld(t, uid)
			canary := w.canary(stranger)
			add := func(root string, want string) {
				t.Helper()
				r := w.larch("remote", "add", "example", w.kit.repo, "--root-key", w.kit.fingerprint, "--root", root)
				if r.code == 0 || !strings.Contains(r.err, want) {
					t.Errorf("%s: code %d, want %q\n%s", root, r.code, want, r.err)
				}
			}
			add(w.owned("theirs", stranger, 0o777), "belongs to user")
			add(w.owned("group", uid, 0o775), "can write in it")
			add(w.owned("all", uid, 0o777|os.ModeSticky), "can write in it")
			add(filepath.Join(w.owned("above", stranger, 0o777), "machine"), "")
			link := filepath.Join(w.dir, "link")
			w.must(os.Symlink(canary, link))
			add(link, "belongs to user")
			fifo := filepath.Join(w.dir, "fifo")
			w.must(unix.Mkfifo(fifo, 0o666), chown(fifo, stranger))
			add(fifo, "")
			file := w.write("file", "")
			add(file, "")
			add("/", "")
			add("/proc/self", "")
			add("/dev/null", "")
		}
	})
	attack(t, "J-03 hard links of others", "CVE-2021-44730: a helper that was linked elsewhere trusted its own path", func(t *testing.T) {
		w := newWorld(t, 0)
		name := w.installed("Probe", "")
		theirs := w.owned("theirs", stranger, 0o755)
		var links []string
		for n, object := range must(filepath.Glob(w.root + "/objects/*/*"))(t) {
			link := filepath.Join(theirs, fmt.Sprint("object", n))
			w.must(os.Link(object, link)) // where the kernel lets users do it (fs.protected_hardlinks=0)
			links = append(links, link)
		}
		for _, link := range links {
			for _, script := range []string{`echo evil >>"$0"`, `chmod u+w "$0"`, `truncate -s0 "$0"`, `setfattr -n user.x -v y "$0"`, `mv "$0" ` + w.root + `/x`, `touch "$0"`} {
				cmd := exec.Command("sh", "-c", script, link)
				w.as(cmd, stranger)
				if err := cmd.Run(); err == nil {
					t.Errorf("%s: the stranger could do it", script)
				}
			}
		}
		w.clean()
		// The command itself, linked into a folder with programs of the same names.
		program := filepath.Join(theirs, "larch")
		w.must(os.Link(w.kit.larch, program))
		for _, fake := range []string{"bwrap", "fusermount3", "helper"} {
			path := filepath.Join(theirs, fake)
			w.must(os.WriteFile(path, []byte("#!/bin/sh\necho pwned\n"), 0o755))
		}
		cmd := w.command("run", name, "--", "args")
		cmd.Path, cmd.Dir = program, theirs
		if r := w.finish(cmd); r.code != 0 || strings.Contains(r.out+r.err, "pwned") {
			t.Errorf("run from elsewhere: %+v", r)
		}
		w.ok("uninstall", name, "--yes")
		w.ok("gc")
		w.must(os.RemoveAll(theirs))
	})
	attack(t, "J-08 what another user has begun", "GHSA-89xm-3m96-w3jg: a user ended or finished another's operation", func(t *testing.T) {
		w := newWorld(t, 0)
		name := w.installed("Probe", "")
		before := snapshot(t, w.root)
		for _, args := range [][]string{
			{"install", name, "--yes"}, {"update", "--yes"}, {"uninstall", name, "--yes"}, {"undo"}, {"gc"}, {"verify", "--repair"},
			{"remote", "remove", "example"}, {"remote", "add", "evil", w.kit.repo, "--root-key", w.kit.fingerprint},
		} {
			cmd := w.command(args...)
			w.as(cmd, stranger)
			if r := w.finish(cmd); r.code != 6 {
				t.Errorf("%q: code %d, want 6\n%s%s", args, r.code, r.out, r.err)
			}
		}
		if after := snapshot(t, w.root); !slices.Equal(before, after) {
			t.Error("a stranger changed it")
		}
	})
	attack(t, "J-13 settings that others can write", "a remote, or the list of what is installed, changed by who may not", func(t *testing.T) {
		w := newWorld(t, 0)
		name := w.installed("Probe", "")
		for _, mode := range []os.FileMode{0o775, 0o777, 0o757} {
			w.must(os.Chmod(w.root, mode))
			w.refused(w.larch("uninstall", name, "--yes"), 6, "chmod go-w")
		}
		w.must(os.Chmod(w.root, 0o755))
		for _, file := range []string{"remotes/example/remote.json", "current/state.json", "installation.json"} {
			path := filepath.Join(w.root, file)
			data := must(os.ReadFile(path))(t)
			for _, text := range []string{"", "null", "{}", strings.Replace(string(data), "{", `{"evil":1,`, 1), strings.Replace(string(data), w.kit.repo, "file:///tmp/evil", 1) + " ", "\xff"} {
				w.must(os.WriteFile(path, []byte(text), 0o644))
				r := w.larch("verify")
				if r.code == 0 {
					t.Errorf("%s: %.40q: verify has nothing to say", file, text)
				}
				if strings.ContainsAny(r.err, "\xff\x1b") {
					t.Errorf("%s: %q", file, r.err)
				}
			}
			w.must(os.WriteFile(path, data, 0o644))
		}
		w.clean()
	})
}

// must gives a value, or ends the test.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// modes lists what is below a folder with its exact modes and owners; names that
// differ from run to run are left out.
func modes(t *testing.T, dir string) (lines []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			lines = append(lines, strings.TrimPrefix(path, dir)+" "+info.Mode().String())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestModes(t *testing.T) {
	attack(t, "J-02 umask and inherited modes", "CVE-2026-97026: folders were made 0777, for the umask was trusted", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			cycle := func(umask string) []string {
				t.Helper()
				w.must(os.RemoveAll(w.root))
				for _, args := range [][]string{
					{"remote", "add", "example", w.kit.repo, "--root-key", w.kit.fingerprint},
					{"install", w.kit.app(t, "Probe", "", "1", nil), "--yes", "--backend", "hardlink"},
				} {
					cmd := w.command(args...)
					cmd.Args = append([]string{"sh", "-c", "umask " + umask + `; exec "$@"`, "sh", cmd.Path}, args...)
					cmd.Path = "/bin/sh"
					if r := w.finish(cmd); r.code != 0 {
						t.Fatalf("umask %s: %q: %s", umask, args, r.err)
					}
				}
				w.clean()
				return modes(t, w.root)
			}
			want := cycle("022")
			for _, umask := range []string{"000", "077", "0777", "027"} {
				if diff := cmp.Diff(want, cycle(umask)); diff != "" {
					t.Errorf("umask %s:\n%s", umask, diff)
				}
			}
			parent := w.mkdir("parent")
			w.must(os.Chmod(parent, 0o755|os.ModeSetgid))
			w.root = filepath.Join(parent, "machine")
			w.env = append(w.env, "LARCH_ROOT="+w.root)
			if diff := cmp.Diff(want, cycle("022")); diff != "" {
				t.Errorf("in a folder with setgid:\n%s", diff)
			}
			w.must(os.Chmod(parent, 0o755), os.RemoveAll(w.root), unix.Setxattr(parent, "system.posix_acl_default", accessList(stranger), 0))
			if diff := cmp.Diff(want, cycle("000")); diff != "" {
				t.Errorf("in a folder with a default ACL:\n%s", diff)
			}
			if os.Getuid() != 0 {
				return
			}
			for _, line := range modes(t, w.root) {
				path, _, _ := strings.Cut(line, " ")
				cmd := exec.Command("test", "-w", w.root+path)
				w.as(cmd, stranger)
				if info, err := os.Lstat(w.root + path); err == nil && info.Mode().Type() != fs.ModeSymlink && cmd.Run() == nil {
					t.Errorf("the user of the default ACL may write %s", path)
				}
			}
		})
	})
}

// accessList is a default ACL that gives a user everything.
//
// Source: Linux, include/uapi/linux/posix_acl_xattr.h.
func accessList(uid uint32) []byte {
	var b bytes.Buffer
	const nobody = ^uint32(0)
	binary.Write(&b, binary.LittleEndian, uint32(2))
	for _, entry := range []struct {
		tag, perm uint16
		id        uint32
	}{{0x01, 7, nobody}, {0x02, 7, uid}, {0x04, 7, nobody}, {0x10, 7, nobody}, {0x20, 7, nobody}} {
		binary.Write(&b, binary.LittleEndian, entry)
	}
	return b.Bytes()
}

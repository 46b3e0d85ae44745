package local

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// permissions say what is asked for, what people are shown, and what the program
// then reaches of a home folder that has all of these files.
var permissions = []struct{ asked, shown, reached string }{
	{"home", "read and change all files in your home folder, and so do whatever you can (~/.bashrc and ~/.ssh are among them)",
		".bashrc=rw .ssh=rw Documents/f=rw x/f=rw x/y/f=rw"},
	{"home:ro", "read all files in your home folder", ".bashrc=ro .ssh=ro Documents/f=ro x/f=ro x/y/f=ro"},
	{"home;!~/.ssh;!~/x", "read and change all files in your home folder, and so do whatever you can (~/.bashrc and ~/.ssh are among them)|no access to ~/.ssh|no access to ~/x",
		".bashrc=rw Documents/f=rw"},
	{"host", "read and change all your files and those of the machine, except the system's own, and so do whatever you can (~/.bashrc and ~/.ssh are among them)",
		".bashrc=rw .ssh=rw Documents/f=rw x/f=rw x/y/f=rw"},
	{"xdg-documents:ro", "read your documents", "Documents/f=ro"},
	{"~/x;~/x/y:ro", "read and change ~/x|read ~/x/y", "x/f=rw x/y/f=ro"},
	{"~/x:ro;~/x/y", "read ~/x|read and change ~/x/y", "x/f=ro x/y/f=rw"},
	{"!home", "no access to all files in your home folder", ""},
	{"~/.local/share/larch", `not given, though asked for: filesystem "~/.local/share/larch"`, ""},
	{"/etc;/;/usr", `not given, though asked for: filesystem "/etc"|not given, though asked for: filesystem "/"|not given, though asked for: filesystem "/usr"`, ""},
	{"~/link", "read and change ~/link", ""}, // a symlink leads nowhere
	{"host-root", `not given, though asked for: filesystem "host-root"`, ""},
}

// furnish puts something into the places that permissions speak of.
func (w *world) furnish() {
	w.t.Helper()
	for _, name := range []string{".bashrc", ".ssh/id", "Documents/f", "x/f", "x/y/f", ".config/autostart/old.desktop", ".local/share/other/f"} {
		w.write("home/"+name, "secret")
	}
	w.must(os.Symlink("/etc", filepath.Join(w.home, "link")), chown(filepath.Join(w.home, "link"), w.uid))
}

func TestPlaces(t *testing.T) {
	attack(t, "K-09 shown and given", "CVE-2022-21682, CVE-2021-43860: what was shown as a permission was not what the program had", func(t *testing.T) {
		for n, p := range permissions {
			t.Run(p.asked, func(t *testing.T) {
				uid := []int{ordinary, 0}[n%2]
				if os.Getuid() != 0 {
					uid = os.Getuid()
				}
				w := newWorld(t, uid)
				w.furnish()
				name := w.kit.app(t, "Places"+string(rune('A'+n)), "[Context]\nfilesystems="+p.asked+";\n", "1", nil)
				w.trust()
				var plan struct {
					Steps []struct {
						Gains []string `json:"permissions_gained"`
					} `json:"steps"`
				}
				w.must(json.Unmarshal([]byte(w.ok("install", name, "--yes", "--json")), &plan))
				if got := strings.Join(plan.Steps[0].Gains, "|"); got != p.shown {
					t.Errorf("shown:\n%q, want\n%q", got, p.shown)
				}
				var files []string
				for _, name := range []string{".bashrc", ".ssh", "Documents/f", "x/f", "x/y/f", "link/hostname", ".config/autostart", ".local/share/larch", "../machine"} {
					files = append(files, filepath.Join(w.home, name))
				}
				var got []string
				for line := range strings.Lines(w.probe(name, append([]string{"reach"}, append(files, "/etc/shadow", "/root")...)...)) {
					name, access, _ := strings.Cut(strings.TrimSpace(line), " ")
					if access != "-" {
						got = append(got, strings.TrimPrefix(name, w.home+"/")+"="+access)
					}
				}
				if have := strings.Join(got, " "); have != p.reached {
					t.Errorf("reached: %q, want %q", have, p.reached)
				}
			})
		}
	})
	attack(t, "K-18 home", "CVE-2024-1724, GO-2024-3007: a program with the home folder wrote what was run outside at the next login", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			w.furnish()
			name := w.installed("PlacesA", "[Context]\nfilesystems=home;\n")
			w.root = filepath.Join(w.home, ".local/share/larch")
			for _, path := range []string{
				".config/autostart/evil.desktop", ".config/systemd/user/evil.service", ".config/environment.d/evil.conf",
				".local/share/systemd/user/evil.service", ".local/share/dbus-1/services/evil.service", ".local/share/larch/remotes/evil",
				".config/larch/keys/evil", ".cache/larch/evil", ".var/app/org.example.Other/evil",
			} {
				w.larch("run", name, "--", "write", filepath.Join(w.home, path), "evil")
				if _, err := os.Lstat(filepath.Join(w.home, path)); err == nil {
					t.Errorf("%s was written", path)
				}
			}
			w.larch("run", name, "--", "write", filepath.Join(w.dir, "machine/evil"), "evil")
			w.larch("run", name, "--", "write", "/var/lib/larch/evil", "evil")
			for _, path := range []string{filepath.Join(w.dir, "machine/evil"), "/var/lib/larch/evil"} {
				if _, err := os.Lstat(path); err == nil {
					t.Errorf("%s was written", path)
				}
			}
			if out := w.probe(name, "write", filepath.Join(w.home, "new/f"), "text"); out != "<nil>\n" {
				t.Errorf("control: the home folder cannot be written: %s", out)
			}
		})
	})
}

func TestTheProgramsOwnFolders(t *testing.T) {
	attack(t, "K-10 links instead of folders", "CVE-2024-42472, GHSA-8688-9x26-hhxj: an application put a symlink in the place of its own folder", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			name := w.installed("Keeps", "[Context]\npersistent=.kept;\n")
			secret := w.canary(w.uid)
			w.probe(name, "write", filepath.Join(w.home, ".kept/f"), "1")
			data := filepath.Join(w.home, ".var/app", name)
			for _, folder := range []string{"data", "config", "cache", ".kept"} {
				path := filepath.Join(data, folder)
				w.must(os.Rename(path, path+".aside"), os.Symlink(secret, path), chown(path, w.uid))
				for range 2 {
					r := w.larch("run", name, "--", "reach", filepath.Join(path, "f"), filepath.Join(w.home, ".kept/f"), filepath.Join(secret, "f"))
					if r.code == 0 || strings.Contains(r.out, "r") {
						t.Errorf("%s: %+v", folder, r)
					}
				}
				w.must(os.Remove(path), os.Rename(path+".aside", path))
			}
			w.probe(name, "write", filepath.Join(w.home, ".kept/f"), "2")
		})
	})
	attack(t, "K-10 swapped while it starts", "the same, by a second instance, between the look and the use", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			name := w.installed("Keeps", "[Context]\npersistent=.kept;\n")
			secret := w.canary(w.uid)
			w.probe(name, "write", filepath.Join(w.home, ".kept/f"), "1")
			data := filepath.Join(w.home, ".var/app", name)
			link := filepath.Join(data, "link")
			w.must(os.Symlink(secret, link), chown(link, w.uid))
			defer swapping(filepath.Join(data, ".kept"), link)()
			for range 20 {
				r := w.larch("run", name, "--", "cat", filepath.Join(w.home, ".kept/f"))
				if strings.Contains(r.out, "S3CR3T") {
					t.Fatal("the program read the canary")
				}
				w.larch("run", name, "--", "write", filepath.Join(w.home, ".kept/new"), "evil")
			}
		})
	})
	attack(t, "K-12 links that the host would replace", "CVE-2026-34079, GHSA-99wv-m8rp-g58x: the host replaced a cache of the program's, through a link", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			name := w.installed("Probe", "")
			secret := w.canary(w.uid)
			w.probe(name, "args")
			data := filepath.Join(w.home, ".var/app", name)
			for _, link := range []string{".ld.so", "cache/ld.so.cache", "cache/fontconfig", "config/user-dirs.dirs", "data/larch", "tmp"} {
				path := filepath.Join(data, link)
				w.must(os.Symlink(filepath.Join(secret, "f"), path), chown(path, w.uid))
			}
			w.probe(name, "args")
			w.ok("uninstall", name, "--yes")
			w.ok("gc")
			w.ok("undo")
		})
	})
}

// swapping exchanges two names until it is stopped.
func swapping(a, b string) (stop func()) {
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
			}
		}
	})
	return func() { close(done); wait.Wait() }
}

func TestTheTree(t *testing.T) {
	attack(t, "K-13 scripts of an application", "CVE-2019-8308, CVE-2019-5736: installing ran a script of the application's as root, which replaced the installer", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			canary := w.canary(w.uid)
			script := "#!/bin/sh\ntouch " + canary + "/ran\n"
			more := content{"export/share/applications/org.example.Hooks.desktop": "[Desktop Entry]\nType=Application\nName=Hooks\nExec=sh -c 'touch " + canary + "/ran'\n"}
			for _, name := range []string{"apply_extra", "post-install", "preinst", "postinst", "triggers/x.trigger", "hooks/post-install"} {
				more["files/bin/"+name], more["files/"+name] = script, script
			}
			name := w.kit.app(t, "Hooks", "[Extra Data]\nname=x\n", "1", more)
			w.trust()
			w.ok("install", name, "--yes")
			w.ok("verify")
			w.ok("update", "--yes")
			w.ok("uninstall", name, "--yes")
			w.ok("undo")
			before := snapshot(t, w.kit.dir+"/bin")
			for line := range strings.Lines(w.probe(name, "reach", "/proc/self/exe", "/proc/1/exe", "/app/bin/probe", "/proc/1/root/usr/bin/bwrap")) {
				if strings.HasSuffix(line, " rw\n") {
					t.Errorf("it may write to %s", line)
				}
			}
			if !slices.Equal(before, snapshot(t, w.kit.dir+"/bin")) {
				t.Error("a program of the machine was changed")
			}
		})
	})
	attack(t, "K-06 metadata that two readers read differently", "CVE-2021-43860: what was behind a NUL was used and not shown", func(t *testing.T) {
		w := newWorld(t, os.Getuid())
		good := "[Application]\nname=org.example.Bad\nruntime=host\ncommand=probe\n"
		for what, text := range map[string]string{
			"NUL":                 good + "[Context]\nfilesystems=home:ro\x00;host;\n",
			"NUL behind":          good + "\x00[Context]\nfilesystems=host;\n",
			"a group twice":       good + "[Context]\nshared=ipc;\n[Context]\nfilesystems=host;\n",
			"a key twice":         good + "[Context]\nfilesystems=home:ro;\nfilesystems=host;\n",
			"a carriage return":   good + "[Context]\nfilesystems=home:ro\r;host;\n",
			"an escape code":      good + "[Context]\nfilesystems=\x1b[2J;\n",
			"a value of 1 MiB":    good + "[Context]\nfilesystems=" + strings.Repeat("a", 1<<20) + ";\n",
			"no key":              good + "[Context]\n=host;\n",
			"a line of its own":   good + "[Context]\nhost\n",
			"another's name":      strings.Replace(good, "org.example.Bad", "org.example.Probe", 1),
			"no UTF-8":            good + "[Context]\nfilesystems=\xff;\n",
			"a variable with =":   good + "[Environment]\nA\\=B=c\n",
			"a path upwards":      good + "[Context]\npersistent=../x;\n",
			"a program elsewhere": good + "[Extension org.example.X]\ndirectory=../../x\n",
		} {
			dir := filepath.Join(t.TempDir(), "bad")
			w.must(content{"metadata": text}.folder(dir))
			if out, err := w.kit.publisher("publish", w.kit.repo, "app/org.example.Bad/"+arch+"/stable", dir, "--version", "1", "--keys", w.kit.keys); err == nil {
				t.Errorf("%s was published: %s", what, out)
			} else {
				w.sane(err.Error())
				if strings.ContainsAny(err.Error(), "\x1b\x00\r") {
					t.Errorf("%s: the message has control characters: %q", what, err)
				}
			}
		}
	})
	attack(t, "K-23 another runtime", "a runtime that is not there was silently replaced by what was", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			w.trust()
			ref := "runtime/org.example.Base/" + arch + "/1"
			w.kit.app(t, "Needs", "", "1", content{"metadata": "[Application]\nname=org.example.Needs\nruntime=" + ref + "\ncommand=probe\n"})
			r := w.larch("install", "org.example.Needs", "--yes")
			w.refused(r, 3, "org.example.Base")
			w.refused(w.larch("run", "org.example.Needs"), 3, "not installed")
		})
	})
}

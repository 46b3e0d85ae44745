package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// furnish puts something into every place that permissions speak of.
func (w *world) furnish() {
	for _, name := range []string{
		"Documents/f", "Documents/sub/f", "Downloads/f", "Musik/f", "x/f", "x/y/f", "x/y/z/f", ".ssh/f", ".config/app/f", ".local/share/f",
		".local/share/larch/f", ".config/larch/f", ".cache/larch/f", ".var/app/org.other/f", "installation/f", ".netrc",
	} {
		w.write("home/"+name, "secret", 0o644)
	}
	w.write("outside/f", "secret", 0o644)
	w.write("outside/sub/f", "secret", 0o644)
	w.write("home/.config/user-dirs.dirs", "# comment\nXDG_MUSIC_DIR=\"$HOME/Musik\"\nXDG_VIDEOS_DIR=\"$HOME/\"\nXDG_PICTURES_DIR=\"/etc\"\nrm -rf\n", 0o644)
	w.symlink("/etc", "home/etclink")
	w.symlink("../outside", "home/Templates")
	w.symlink(w.dir+"/outside", "home/x/link")
	w.symlink("loop", "home/loop")
	w.attempt.Hidden = []string{w.home + "/installation", w.dir + "/hidden", "relative"}
}

// access asks a program in the sandbox what it can do with a file.
const accessScript = `for f in "$@"; do
	if ! cat "$f" >/dev/null 2>&1; then echo "$f -"
	elif (: >>"$f") 2>/dev/null; then echo "$f rw"
	else echo "$f ro"; fi
done`

// filesystems says what a program can do with which files of the home folder, for
// each value of the permission; what is not mentioned must not be visible.
var filesystems = []struct{ items, want string }{
	{"", ""},
	{"home", "Documents/f=rw x/f=rw x/y/f=rw .ssh/f=rw .netrc=rw Musik/f=rw .config/app/f=rw .local/share/f=rw"},
	{"home:ro", "Documents/f=ro x/f=ro x/y/f=ro .ssh/f=ro .netrc=ro Musik/f=ro .config/app/f=ro .local/share/f=ro"},
	{"~", "Documents/f=rw x/f=rw x/y/f=rw .ssh/f=rw .netrc=rw Musik/f=rw .config/app/f=rw .local/share/f=rw"},
	{"host", "Documents/f=rw x/f=rw x/y/f=rw .ssh/f=rw .netrc=rw Musik/f=rw .config/app/f=rw .local/share/f=rw"},
	{"host;!home", ""},
	{"!home;host", ""},
	{"home;!home", ""},
	{"!home;home:ro", "Documents/f=ro x/f=ro x/y/f=ro .ssh/f=ro .netrc=ro Musik/f=ro .config/app/f=ro .local/share/f=ro"},
	{"home;!~/x;!~/.ssh;!~/.netrc", "Documents/f=rw Musik/f=rw .config/app/f=rw .local/share/f=rw"},
	{"!~/x;home", "Documents/f=rw .ssh/f=rw .netrc=rw Musik/f=rw .config/app/f=rw .local/share/f=rw"},
	{"home;!~/x;~/x/y", "Documents/f=rw x/y/f=rw .ssh/f=rw .netrc=rw Musik/f=rw .config/app/f=rw .local/share/f=rw"},
	{"home:ro;~/x;~/x/y:ro", "Documents/f=ro x/f=rw x/y/f=ro .ssh/f=ro .netrc=ro Musik/f=ro .config/app/f=ro .local/share/f=ro"},
	{"home;!xdg-documents", "x/f=rw x/y/f=rw .ssh/f=rw .netrc=rw Musik/f=rw .config/app/f=rw .local/share/f=rw"},
	{"~/x/y;~/x:ro", "x/f=ro x/y/f=rw"},
	{"~/x;!~/x/y", "x/f=rw"},
	{"!~/x", ""},
	{"~/x:ro", "x/f=ro x/y/f=ro"},
	{"~/x/f", "x/f=rw"},
	{"~/x/f:ro", "x/f=ro"},
	{"~/missing", ""},
	{"xdg-documents", "Documents/f=rw"},
	{"xdg-documents:ro", "Documents/f=ro"},
	{"xdg-documents;~/Documents:ro", "Documents/f=ro"}, // one folder by two names: the least
	{"xdg-documents:ro;~/Documents", "Documents/f=ro"},
	{"xdg-documents;!~/Documents", ""},
	{"xdg-documents/sub", ""},
	{"xdg-music", "Musik/f=rw"},
	{"xdg-videos", ""},    // the user has none: it is the home folder
	{"xdg-pictures", ""},  // the user's choice is the system's
	{"xdg-templates", ""}, // a symlink
	{"xdg-config/app:ro", ".config/app/f=ro"},
	{"xdg-config", ".config/app/f=rw"},
	{"xdg-config/larch", ""},
	{"xdg-data", ".local/share/f=rw"},
	{"~/.local", ".local/share/f=rw"},
	{"~/.local/share/larch", ""},
	{"~/.config/larch;~/.cache/larch:ro", ""},
	{"~/.var", ""},
	{"~/.var/app", ""},
	{"~/.var/app/org.other", ""},
	{"~/installation", ""},
	{"DIR/outside", "../outside/f=rw"},
	{"DIR/outside:ro", "../outside/f=ro"},
	{"DIR/outside:ro;!DIR/outside/sub", "../outside/f=ro"},
	{"DIR/home/x", "x/f=rw x/y/f=rw"},
	{"DIR:ro", "Documents/f=ro x/f=ro x/y/f=ro .ssh/f=ro .netrc=ro Musik/f=ro .config/app/f=ro .local/share/f=ro ../outside/f=ro"},
	{"DIR:ro;!home", "../outside/f=ro"},
	{"DIR;~/x:ro;!~/x/y", "Documents/f=rw x/f=ro .ssh/f=rw .netrc=rw Musik/f=rw .config/app/f=rw .local/share/f=rw ../outside/f=rw"},
	{"~/etclink;~/x/link;~/loop;~/etclink/ssl;~/loop/a", ""},
	{"/;/etc;/usr;/proc/sys;/app;/run;/dev/shm;/run/user", ""},
	{"unknown;host-root;xdg-unknown;xdg-run", ""},
}

func TestFilesystems(t *testing.T) {
	for i, c := range filesystems {
		t.Run(c.items, func(t *testing.T) {
			oneUser(t, []int{ordinary, 0}[i%2], func(t *testing.T, w *world) {
				w.furnish()
				w.metadata = "[Context]\nfilesystems=" + strings.ReplaceAll(c.items, "DIR", w.dir) + "\n"
				files := []string{
					"Documents/f", "x/f", "x/y/f", ".ssh/f", ".netrc", "Musik/f", ".config/app/f", ".local/share/f", "../outside/f",
					".local/share/larch/f", ".config/larch/f", ".cache/larch/f", ".var/app/org.other/f", "installation/f",
					"etclink/hostname", "x/link/f", "/etc/hostname", "/etc/shadow", "/run/host/etc/passwd",
				}
				if strings.Contains(c.items, "DIR") && !strings.Contains(c.items, "DIR/") {
					// The link leads to what is given.
					files = append(files[:15], files[16:]...)
				}
				o := w.run(append([]string{"-c", "cd; " + accessScript, "sh"}, files...)...)
				var got []string
				for line := range strings.Lines(o.Out) {
					if name, access, _ := strings.Cut(strings.TrimSpace(line), " "); access != "-" {
						got = append(got, name+"="+access)
					}
				}
				if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" || o.Err != "" {
					t.Errorf("error %q, notes %q\n%s", o.Err, o.Notes, diff)
				}
			})
		})
	}
}

func TestWhatCannotBeHiddenIsAnError(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		w.furnish()
		w.metadata = "[Context]\nfilesystems=home;!xdg-templates;\n"
		w.run("-c", "echo ran").expect(t, "ErrPolicy", "cannot be kept from the program")
		w.metadata = "[Context]\nfilesystems=home;!~/loop/x;\n"
		w.run("-c", "echo ran").expect(t, "ErrPolicy", "cannot be kept from the program")
		w.metadata = "[Context]\nfilesystems=home;xdg-templates:ro;\n"
		w.run("-c", "echo ran").expect(t, "ErrPolicy", "cannot be kept from change")
		w.metadata = "[Context]\nfilesystems=home;!~/never/was;~/never/is:ro\n"
		w.sh("true")
	})
}

// TestNothingIsPlantedBeforeLarch: a program with the home folder cannot make
// Larch's own folders before Larch does.
func TestNothingIsPlantedBeforeLarch(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		w.metadata = "[Context]\nfilesystems=home;\n"
		w.sh("mkdir -p ~/.config/larch ~/.local/share/larch && echo evil >~/.config/larch/x && echo evil >~/.local/share/larch/x && echo fine >~/x")
		starters := []string{".config/autostart/x.desktop", ".config/systemd/user/x.service", ".config/environment.d/x.conf", ".local/share/systemd/user/x.service", ".local/share/dbus-1/services/x.service"}
		for _, name := range starters {
			w.sh("mkdir -p ~/" + filepath.Dir(name) + " && echo evil >~/" + name)
		}
		for _, name := range append(starters, ".config/larch/x", ".local/share/larch/x") {
			if _, err := os.Lstat(filepath.Join(w.home, name)); err == nil {
				t.Errorf("%s was written", name)
			}
		}
		if data, err := os.ReadFile(w.home + "/x"); err != nil || string(data) != "fine\n" {
			t.Errorf("its own: %q, %v", data, err)
		}
	})
}

// TestChainsOfLinks: however links are chained on the machine, a start ends soon.
func TestChainsOfLinks(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		for i := range 1000 {
			w.symlink(fmt.Sprint("link", i+1), fmt.Sprint("home/link", i))
		}
		w.symlink("link0", "home/Documents")
		w.symlink("Music", "home/Music")
		w.metadata = "[Context]\nfilesystems=~/link0;~/link990;xdg-documents;xdg-music;~/Music/a/b:create\n"
		if o := w.run("-c", "ls -A ~"); o.Out != ".var\n" || len(o.Notes) != 5 {
			t.Errorf("error %q, output %q, notes %q", o.Err, o.Out, o.Notes)
		}
		if err := os.Rename(w.home+"/.var/app", w.home+"/.var/old"); err != nil {
			t.Fatal(err)
		}
		w.symlink("../link0", "home/.var/app")
		w.run("-c", "echo ran").expect(t, "ErrPolicy", "data folder")
	})
}

func TestCreate(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		w.furnish()
		w.metadata = "[Context]\nfilesystems=~/new/folder:create;~/etclink/new:create;\n"
		w.sh("echo made >~/new/folder/f")
		if data, err := os.ReadFile(w.home + "/new/folder/f"); err != nil || string(data) != "made\n" {
			t.Errorf("%q, %v", data, err)
		}
	})
}

func TestWorkingFolder(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		w.furnish()
		for _, c := range []struct{ items, dir, want string }{
			{"", w.home + "/x", w.home},
			{"home", w.home + "/x", w.home + "/x"},
			{"~/x:ro", w.home + "/x/y", w.home + "/x/y"},
			{"home;!~/x", w.home + "/x", w.home},
			{"home", w.home + "/.var/app/org.other", w.home},
			{"home", "/etc", w.home},
			{"home", "x", w.home},
			{"home", "", w.home},
		} {
			w.metadata, w.attempt.Dir = "[Context]\nfilesystems="+c.items+";\n", c.dir
			if c.items == "" {
				w.metadata = ""
			}
			if got := w.sh("pwd"); got != c.want+"\n" {
				t.Errorf("%s in %s: began in %s", c.items, c.dir, got)
			}
		}
	})
}

// TestPlaceSwappedWhileItStarts: a program that may change ~/a makes ~/a/b a link to
// elsewhere, and back, while the sandbox starts. What it gets is the real one, or
// nothing.
func TestPlaceSwappedWhileItStarts(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		w.write("secret/f", "S3CR3T", 0o644)
		w.write("home/a/b/f", "mine", 0o644)
		w.symlink(w.dir+"/secret", "home/a/c")
		w.metadata = "[Context]\nfilesystems=~/a;~/a/b:ro;\n"
		stop := swapping(w.home+"/a/b", w.home+"/a/c")
		defer stop()
		for range 25 {
			if o := w.run("-c", "cat ~/a/b/f"); strings.Contains(o.Out, "S3CR3T") {
				t.Fatal("the program read what it linked to")
			}
		}
	})
}

func TestHostSystem(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		w.metadata = "[Context]\nfilesystems=host-os;host-etc;\n"
		out := w.sh("ls -d /run/host/usr/bin/env /run/host/etc/passwd /run/host/bin/env; (: >>/run/host/etc/passwd) 2>/dev/null || echo read-only")
		if out != "/run/host/bin/env\n/run/host/etc/passwd\n/run/host/usr/bin/env\nread-only\n" {
			t.Error(out)
		}
	})
}

func TestHomeMustMakeSense(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		for _, home := range []string{"", "relative", "/", "/usr", "/proc/self/cwd", "/etc/x\ny"} {
			w.attempt.Environ = []string{"HOME=" + home, "PATH=/usr/bin"}
			if o := w.run("-c", "echo ran"); o.Err == "" || strings.Contains(o.Out, "ran") {
				t.Errorf("HOME=%q: ran", home)
			}
		}
	})
}

package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

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

func TestDataOutlastsARun(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		w.metadata = "[Context]\npersistent=.old;deep/er;deep;.old/inner;.;\n"
		write := "for f in $XDG_DATA_HOME $XDG_CONFIG_HOME $XDG_CACHE_HOME $XDG_STATE_HOME ~/.old ~/deep/er ~ /tmp /var/tmp /dev/shm $XDG_RUNTIME_DIR; do echo $f >$f/file; done"
		w.sh(write)
		out := w.sh("for f in $XDG_DATA_HOME $XDG_CONFIG_HOME $XDG_CACHE_HOME $XDG_STATE_HOME ~/.old ~/deep/er; do cat $f/file; done; ls ~/file /tmp/file /var/tmp/file /dev/shm/file $XDG_RUNTIME_DIR/file 2>/dev/null || true")
		data := w.home + "/.var/app/org.example.Probe"
		want := strings.Join([]string{data + "/data", data + "/config", data + "/cache", data + "/.local/state", w.home + "/.old", w.home + "/deep/er", ""}, "\n")
		if out != want {
			t.Errorf("got %q\nwant %q", out, want)
		}
		if _, err := os.Lstat(w.home + "/file"); err == nil {
			t.Error("the program wrote into the real home folder")
		}
		if info, err := os.Stat(data); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("data folder: %v, %v", info, err)
		}
	})
}

// TestDataReplacedByLinks: a program that makes its own folders links to elsewhere
// gains nothing by it at its next start.
func TestDataReplacedByLinks(t *testing.T) {
	for _, name := range []string{"data", "config", "cache", ".local", ".local/state", ".old", "deep", "deep/er"} {
		for _, target := range []string{"/", "../../../secret", "SECRET", "loop"} {
			t.Run(name+" to "+target, func(t *testing.T) {
				everyUser(t, func(t *testing.T, w *world) {
					secret := w.mkdir("home/secret")
					w.write("home/secret/f", "S3CR3T", 0o644)
					w.metadata = "[Context]\npersistent=.old;deep/er;\n"
					w.symlink(strings.ReplaceAll(target, "SECRET", secret), "home/.var/app/org.example.Probe/"+name)
					o := w.run("-c", "cat "+secret+"/f ~/.old/f ~/deep/er/f $XDG_DATA_HOME/f; ls /etc/shadow; echo ran")
					if strings.Contains(o.Out, "S3CR3T") || strings.Contains(o.Out, "ran") {
						t.Errorf("output %q", o.Out)
					}
					o.expect(t, "ErrPolicy", "")
					untouched(t, secret)
				})
			})
		}
	}
}

// untouched tells whether a folder has nothing but its file f.
func untouched(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%s: %v, %v", dir, entries, err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "f")); err != nil || string(data) != "S3CR3T" {
		t.Errorf("%s/f: %q, %v", dir, data, err)
	}
}

func TestDataSwappedWhileItStarts(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		secret := w.mkdir("home/secret")
		w.write("home/secret/f", "S3CR3T", 0o644)
		w.metadata = "[Context]\npersistent=.old;\n"
		w.mkdir("home/.var/app/org.example.Probe/.old")
		w.symlink(secret, "home/.var/app/org.example.Probe/link")
		data := w.home + "/.var/app/org.example.Probe"
		stop := swapping(data+"/.old", data+"/link")
		defer stop()
		for range 25 {
			o := w.run("-c", "cat ~/.old/f; echo evil >~/.old/new; cat "+secret+"/f")
			if strings.Contains(o.Out, "S3CR3T") {
				t.Fatalf("output %q", o.Out)
			}
		}
		untouched(t, secret)
	})
}

func TestDataFolderOfAnother(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to give a folder to another user")
	}
	everyUser(t, func(t *testing.T, w *world) {
		data := w.mkdir("home/.var/app/org.example.Probe")
		if err := os.Chown(data, 7, 7); err != nil {
			t.Fatal(err)
		}
		w.run("-c", "echo ran").expect(t, "ErrPolicy", "")
	})
}

func TestDataFolderElsewhere(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		w.attempt.App.DataDir = w.mkdir("elsewhere") + "/probe"
		w.sh("echo kept >$XDG_DATA_HOME/f")
		if data, err := os.ReadFile(w.dir + "/elsewhere/probe/data/f"); err != nil || string(data) != "kept\n" {
			t.Errorf("%q, %v", data, err)
		}
		w.metadata = "[Context]\nfilesystems=home;\n"
		if out := w.sh("cat $XDG_DATA_HOME/f"); out != "kept\n" {
			t.Error(out)
		}
		for _, dir := range []string{"relative", "/", "//", "/x/..", "/usr/x", "/etc", w.home, w.dir} {
			w.attempt.App.DataDir = dir
			w.run("-c", "echo ran").expect(t, "ErrPolicy", "data folder")
		}
	})
}

func TestSettingsAppearWhereProgramsLook(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		w.furnish()
		w.metadata = "[Context]\nfilesystems=xdg-config/app:ro;\n"
		if out := w.sh("cat $XDG_CONFIG_HOME/app/f"); out != "secret" {
			t.Error(out)
		}
	})
}

// TestTreeSteersNothing: what a tree has at the top, or instead of a folder, is
// content and not a place to mount on.
func TestTreeSteersNothing(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		runtime := w.mkdir("runtime/files")
		program := w.write("runtime/files/bin/say", string(readFile(t, probe())), 0o755)
		for _, name := range []string{"dev", "proc", "sys", "run", "tmp", "home", "app", "var", "root"} {
			w.symlink("/etc", "files/"+name)
			w.symlink("/etc", "runtime/files/"+name)
		}
		w.symlink("/", "files/lib")
		w.write("files/etc", "a file", 0o644)
		w.attempt.App.Runtime, w.runtime = runtime, "runtime/org.example.Base/"+w.attempt.App.Ref.Arch+"/1"
		w.attempt.App.Command = filepath.Base(program)
		if o := w.run("call", "1000"); o.Out != "38\n" || o.Err != "" {
			t.Errorf("error %q, output %q", o.Err, o.Out)
		}
		w.symlink("/etc", "runtime/files/etc")
		w.run("call", "1000").expect(t, "ErrRuntime", "etc")
		os.Rename(runtime, runtime+".real")
		w.symlink(runtime+".real", "runtime/files")
		w.run("call", "1000").expect(t, "ErrRuntime", "")
		os.Rename(w.files, w.files+".real")
		w.symlink("/", "files")
		if o := w.run("call", "1000"); o.Err == "" {
			t.Errorf("output %q", o.Out)
		}
	})
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

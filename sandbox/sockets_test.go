package sandbox

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

// session makes a folder like $XDG_RUNTIME_DIR, with sockets in it.
func (w *world) session(sockets ...string) string {
	w.t.Helper()
	dir := w.mkdir("session")
	if err := os.Chmod(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	for _, name := range sockets {
		at := w.write("session/"+name, "", 0o600)
		os.Remove(at)
		l, err := net.Listen("unix", at)
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { l.Close() })
		os.Chown(at, w.uid, w.uid)
	}
	w.attempt.Environ = append(w.attempt.Environ, "XDG_RUNTIME_DIR="+dir)
	return dir
}

func TestDesktopSockets(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		w.session("wayland-7", "pulse/native", "bus", "app/sock")
		w.attempt.Environ = append(w.attempt.Environ, "WAYLAND_DISPLAY=wayland-7", "DISPLAY=:99999", "PULSE_SERVER=tcp:evil")
		list := "cd $XDG_RUNTIME_DIR; find . | sort | while read f; do test ! -S $f || echo $f; done; echo $WAYLAND_DISPLAY $DISPLAY $PULSE_SERVER"
		for _, c := range []struct{ metadata, want string }{
			{"", "\n"},
			{"sockets=session-bus;system-bus;ssh-auth;gpg-agent;pcsc;cups", "\n"},
			{"sockets=wayland", "./wayland-0\nwayland-0\n"},
			{"sockets=wayland;fallback-x11", "./wayland-0\nwayland-0\n"},
			{"sockets=x11", "\n"},
			{"sockets=pulseaudio", "./pulse/native\nunix:SESSION/pulse/native\n"},
			{"filesystems=xdg-run/app", "./app/sock\n\n"},
			{"filesystems=xdg-run/app/sock:ro", "./app/sock\n\n"},
			{"filesystems=xdg-run/bus;xdg-run", "\n"},
		} {
			w.metadata = "[Context]\n" + c.metadata + "\n"
			if c.metadata == "" {
				w.metadata = ""
			}
			want := strings.ReplaceAll(c.want, "SESSION", fmt.Sprint("/run/user/", w.uid))
			if out := w.sh(list); out != want {
				t.Errorf("%s: %q, want %q", c.metadata, out, want)
			}
		}
		w.metadata = "[Context]\nsockets=wayland\n"
		w.attempt.Environ = append(w.attempt.Environ, "WAYLAND_DISPLAY=/etc/passwd")
		if out := w.sh(list); out != "\n" {
			t.Errorf("a file as a display: %q", out)
		}
	})
}

func TestSessionFolderOfOthersIsNone(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		dir := w.session("wayland-0")
		os.Chmod(dir, 0o755)
		w.metadata = "[Context]\nsockets=wayland\nfilesystems=xdg-run/wayland-0\n"
		if out := w.sh("ls -A $XDG_RUNTIME_DIR"); out != "" {
			t.Errorf("%q", out)
		}
	})
}

func TestLocalDisplay(t *testing.T) {
	for display, want := range map[string]string{
		":0": "0", ":12.3": "12", "unix:1": "1", "": "", ":": "", "host:0": "", ":x": "", ":-1": "", ":../x": "", ":99999": "", ":00": "0",
	} {
		if got, ok := localDisplay(display); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", display, got, ok)
		}
	}
}

func cookie(family uint16, fields ...string) string {
	entry := binary.BigEndian.AppendUint16(nil, family)
	for _, f := range fields {
		entry = append(binary.BigEndian.AppendUint16(entry, uint16(len(f))), f...)
	}
	return string(entry)
}

func TestOnlyTheCookieOfTheDisplay(t *testing.T) {
	const name = "MIT-MAGIC-COOKIE-1"
	mine, other, remote := cookie(familyLocal, "host", "1", name, "mine"), cookie(familyLocal, "host", "2", name, "other"), cookie(0, "\x7f\x00\x00\x01", "1", name, "tcp")
	wild := cookie(familyWild, "", "", name, "wild")
	want := cookie(familyWild, "", "1", name, "mine")
	for _, c := range []struct{ file, want string }{
		{"", ""},
		{mine, want},
		{remote + other + mine + other, want},
		{wild + mine, wild + want},
		{mine + mine[:len(mine)-1], want},
		{mine + "\x01", want},
		{mine + "\x01\x00\xff\xff", want},
		{other, ""},
	} {
		if got := string(cookiesOf([]byte(c.file), "1")); got != c.want {
			t.Errorf("%q: %q, want %q", c.file, got, c.want)
		}
	}
}

func TestDevices(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		count := func() string {
			return w.sh("ls -d /dev/kmsg /dev/fuse /sys/class /dev/shm/canary 2>/dev/null | tr '\\n' ' '")
		}
		if out := count(); out != "" {
			t.Errorf("without permissions: %s", out)
		}
		w.metadata = "[Context]\ndevices=dri;input;kvm;usb;unknown\n"
		if out := count(); out != "/sys/class " {
			t.Errorf("with some: %s", out)
		}
		canary, err := os.CreateTemp("/dev/shm", "canary")
		if err != nil {
			t.Skip("needs /dev/shm: ", err)
		}
		defer os.Remove(canary.Name())
		for devices, want := range map[string]string{"shm": "1\n", "all": "0\n", "all;shm": "1\n", "dri": "0\n"} {
			w.metadata = "[Context]\ndevices=" + devices + "\n"
			if out := w.sh("ls " + canary.Name() + " 2>/dev/null | wc -l"); out != want {
				t.Errorf("%s: shared memory of others: %s", devices, out)
			}
		}
	})
}

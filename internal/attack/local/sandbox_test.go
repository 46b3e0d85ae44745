package local

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal gives both sides of a new terminal.
func terminal(t *testing.T) (ours, its *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	its, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { its.Close() })
	return ours, its
}

func TestTheCaller(t *testing.T) {
	attack(t, "K-01 terminal", "CVE-2017-5226: a program typed commands into the terminal that it was started from", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			name := w.installed("Probe", "")
			_, tty := terminal(t)
			cmd := w.command("run", name, "--", "terminal")
			out := new(strings.Builder)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, out, tty
			if cmd.SysProcAttr == nil {
				cmd.SysProcAttr = &syscall.SysProcAttr{}
			}
			cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true // it is the terminal of larch
			if err := cmd.Run(); err != nil {
				t.Fatal(err, out)
			}
			if want := strings.Repeat("push 1\n", 3) + "tty true\n"; out.String() != want {
				t.Errorf("got %q, want EPERM three times and no terminal: %q", out, want)
			}
			if n, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCINQ); err != nil || n != 0 {
				t.Errorf("%d letters were typed, %v", n, err)
			}
		})
	})
	attack(t, "K-05 names that are options", "CVE-2024-32462: a command called --bind became an option of bubblewrap", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			names := []string{"--bind", "--", "-c", "--args", "a b", "$(id)", ";id", "--dev-bind", "'\""}
			more := content{}
			for _, name := range names {
				more["files/bin/"+name] = "#!/bin/sh\nprintf '[%s]' \"$0\" \"$@\"\n"
			}
			app := w.kit.app(t, "Odd", "", "1", more)
			w.trust().ok("install", app, "--yes")
			args := []string{"--bind", "/", "/mnt", "--", "$(id)", "", "-c", "a b", "line\nbreak"}
			for _, name := range names {
				r := w.larch(append([]string{"run", "--command=" + name, app, "--"}, args...)...)
				if want := "[/app/bin/" + name + "][" + strings.Join(args, "][") + "]"; r.out != want || r.code != 0 {
					t.Errorf("command %q: code %d\n got %q %q\nwant %q", name, r.code, r.out, r.err, want)
				}
			}
			for _, name := range []string{"absent", "--absent", "../../usr/bin/id", "/usr/bin/../../etc", "$(id)x", "--bind\x01"} {
				if r := w.larch("run", "--command="+name, app, "--", "x"); r.code == 0 || strings.Contains(r.out, "uid=") {
					t.Errorf("command %q: code %d, %q", name, r.code, r.out)
				}
			}
			if r := w.larch("run", "--command=", app, "--", "args", "x"); r.out != "[\"x\"]\n" { // its own
				t.Errorf("no command: %+v", r)
			}
		})
	})
	attack(t, "K-07 environment", "CVE-2021-21261: what a sandboxed caller sets reached a process of the host", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			name := w.installed("Probe", "[Environment]\nLD_PRELOAD=/app/evil.so\nPATH=/app/evil\n")
			hostile := []string{
				"LD_PRELOAD=/evil.so", "LD_LIBRARY_PATH=/evil", "LD_AUDIT=/evil.so", "GCONV_PATH=/evil", "DBUS_SESSION_BUS_ADDRESS=unix:path=/evil",
				"XDG_RUNTIME_DIR=/tmp", "BASH_FUNC_ls%%=() { id; }", "BASH_ENV=/evil", "ENV=/evil", "PYTHONPATH=/evil", "SSH_AUTH_SOCK=/evil", "_FUSE_COMMFD=3",
				"SECRET=S3CR3T", "=evil", "GODEBUG=evil=1",
			}
			w.env = append(w.env, hostile...)
			r := w.larch("run", name, "--", "env")
			if r.code != 0 || r.err != "" { // the loader complains about what it cannot load, if bubblewrap gets it
				t.Errorf("code %d: %s", r.code, r.err)
			}
			for _, variable := range hostile {
				key, _, _ := strings.Cut(variable, "=")
				if key != "XDG_RUNTIME_DIR" && strings.Contains("\n"+r.out, "\n"+variable+"\n") {
					t.Errorf("the program has %s of the caller", key)
				}
			}
		})
	})
	attack(t, "K-08 open files", "CVE-2024-21626: a file that was left open led out of the container", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			name := w.installed("Probe", "[Context]\nfilesystems=xdg-documents;\npersistent=.x;\n")
			w.mkdir("home/Documents")
			cmd := w.command("run", name, "--", "fds")
			for _, path := range []string{"/", "/etc/passwd", w.root + "/lock", w.home} {
				f, err := os.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				cmd.ExtraFiles = append(cmd.ExtraFiles, f)
			}
			r := w.finish(cmd)
			var got []string
			for line := range strings.Lines(r.out) {
				number, target, _ := strings.Cut(strings.TrimSpace(line), " ")
				got = append(got, number)
				if strings.HasPrefix(target, "/") && target != "/dev/null" {
					t.Errorf("file %s is %s", number, target)
				}
			}
			if strings.Join(got, " ") != "0 1 2" {
				t.Errorf("open files: %q\n%s", got, r.err)
			}
		})
	})
	attack(t, "K-17 privileges", "CVE-2020-5291, CVE-2026-41163: a helper that is setuid keeps what it should give up", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			name := w.installed("Probe", "")
			out := w.probe(name, "cat", "/proc/self/status", "/proc/self/uid_map", "/proc/self/gid_map")
			for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapInh:\t0000000000000000", "CapPrm:\t0000000000000000",
				"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000"} {
				if !strings.Contains(out, want+"\n") {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			// The first process of the sandbox belongs to the same user, who may change its
			// memory: it must not be able to do more.
			first := w.probe(name, "cat", "/proc/1/status")
			for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000"} {
				if !strings.Contains(first, want+"\n") {
					t.Errorf("no %q in the first process:\n%s", want, first)
				}
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			for _, line := range lines[len(lines)-2:] {
				if f := strings.Fields(line); len(f) != 3 || f[0] != strconv.Itoa(w.uid) || f[2] != "1" {
					t.Errorf("users or groups: %q, want one", line)
				}
			}
		})
		err := filepath.WalkDir(shared().dir, func(path string, d os.DirEntry, err error) error {
			if info, infoErr := d.Info(); infoErr == nil && info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
				t.Errorf("%s is setuid", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestTheEnd(t *testing.T) {
	attack(t, "K-20 what is left", "a program that makes itself a daemon, and outlives its sandbox with a mount", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			name := w.installed("Probe", "")
			before, err := os.ReadFile("/proc/self/mountinfo")
			if err != nil {
				t.Fatal(err)
			}
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer read.Close()
			cmd := w.command("run", "--command=sh", name, "--", "-c", "trap '' TERM HUP; setsid /app/bin/probe sleep & exec /app/bin/probe sleep")
			cmd.Stdout = write
			w.must(cmd.Start(), write.Close())
			if _, err := io.ReadFull(read, make([]byte, 6)); err != nil { // both are up
				t.Fatal(err)
			}
			w.must(cmd.Process.Kill())
			if _, err := io.Copy(io.Discard, read); err != nil { // ends when the last of them has ended
				t.Error(err)
			}
			cmd.Wait()
			w.ok("uninstall", name, "--yes")
			w.ok("gc")
			after, err := os.ReadFile("/proc/self/mountinfo")
			if err != nil || strings.Contains(string(after), w.dir) {
				t.Errorf("mounts are left: %v\n%s\n%s", err, before, after)
			}
		})
	})
	attack(t, "K-19 limits", "a fork bomb; a limit that the caller has set must hold inside", func(t *testing.T) {
		asRoot(t)
		w := newWorld(t, ordinary)
		name := w.installed("Probe", "")
		cmd := exec.Command("prlimit", append([]string{"--nproc=120:120", "--fsize=1000000:1000000", "--core=0:0", w.kit.larch}, "run", name, "--", "limits")...)
		cmd.Env, cmd.Dir = w.env, "/"
		w.as(cmd, w.uid)
		r := w.finish(cmd)
		for _, want := range []string{fmt.Sprint(unix.RLIMIT_FSIZE, " 1000000 1000000"), fmt.Sprint(unix.RLIMIT_NPROC, " 120 120"), fmt.Sprint(unix.RLIMIT_CORE, " 0 0")} {
			if !strings.Contains(r.out, want+"\n") {
				t.Errorf("no %q in %q %q", want, r.out, r.err)
			}
		}
		cmd = exec.Command("prlimit", append([]string{"--nproc=120:120", w.kit.larch}, "run", name, "--", "fork", "1000")...)
		cmd.Env, cmd.Dir = w.env, "/"
		w.as(cmd, w.uid)
		r = w.finish(cmd)
		if n, err := strconv.Atoi(strings.TrimSpace(r.out)); err != nil || n > 120 {
			t.Errorf("it started %q of 1000 processes: %s", r.out, r.err)
		}
	})
	attack(t, "K-21 network off", "loopback, abstract sockets and packets that need no connection", func(t *testing.T) {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close()
		abstract, err := net.Listen("unix", "@larch-attack-"+strconv.Itoa(os.Getpid()))
		if err != nil {
			t.Fatal(err)
		}
		defer abstract.Close()
		everyUser(t, func(t *testing.T, w *world) {
			off := w.installed("Probe", "")
			on := w.kit.app(t, "Net", "[Context]\nshared=network;\n", "1", nil)
			w.ok("install", on, "--yes")
			for _, c := range [][2]string{{"tcp", tcp.Addr().String()}, {"unix", abstract.Addr().String()}} {
				if r := w.larch("run", off, "--", "connect", c[0], c[1]); r.code != 1 || strings.Contains(r.out, "connected") {
					t.Errorf("without the permission: %q: %+v", c, r)
				}
				if r := w.larch("run", on, "--", "connect", c[0], c[1]); r.out != "connected\n" {
					t.Errorf("control, with the permission: %q: %+v", c, r)
				}
			}
			for _, c := range [][2]string{{"ip4:icmp", "192.0.2.1"}, {"udp", "192.0.2.1:53"}, {"tcp", "localhost:22"}, {"tcp", "larch.example:80"}} {
				if r := w.larch("run", off, "--", "connect", c[0], c[1]); r.code != 1 {
					t.Errorf("%q: %+v", c, r)
				}
			}
			out := w.probe(off, "cat", "/proc/net/dev")
			for line := range strings.Lines(out) {
				if device, _, found := strings.Cut(line, ":"); found && strings.TrimSpace(device) != "lo" {
					t.Errorf("it has the device %s", device)
				}
			}
		})
	})
	attack(t, "K-22 proc and sys", "other users' processes, settings of the kernel, memory", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			name := w.installed("Probe", "")
			out := w.probe(name, "reach", "/proc/kcore", "/proc/kmsg", "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe",
				"/proc/sys/vm/drop_caches", "/proc/sys/kernel/hostname", "/sys", "/sys/firmware", "/sys/kernel", "/proc/1/root/etc/shadow", "/etc/shadow", "/dev/mem", "/dev/vda", "/dev/fuse")
			for line := range strings.Lines(out) {
				if strings.HasSuffix(line, " rw\n") || strings.HasSuffix(line, " ro\n") && !strings.HasPrefix(line, "/proc/sys/") {
					t.Errorf("it reaches %s", line)
				}
			}
			for pid := range strings.FieldsSeq(w.ok("run", "--command=sh", name, "--", "-c", "cd /proc; echo [0-9]*")) {
				if n, err := strconv.Atoi(pid); err != nil || n > 100 {
					t.Errorf("it sees process %s", pid)
				}
			}
		})
	})
}

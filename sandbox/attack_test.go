package sandbox

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// The tests of this file are attacks that other sandboxes have fallen to.

func TestNoWayToTheTerminal(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		// Field 6 is the session: of this process, not 0, which stands for one outside.
		session := strings.Fields(w.sh("cat /proc/self/stat"))[5]
		if session == "0" {
			t.Error("the program is in the caller's session")
		}
	})
}

func TestSystemCalls(t *testing.T) {
	if hostNumbers == nil {
		t.Skip("no table of system calls for this architecture")
	}
	everyUser(t, func(t *testing.T, w *world) {
		w.withProbe()
		var calls, want []string
		add := func(name string, errno unix.Errno, args ...uint64) {
			text := fmt.Sprint(hostNumbers(name))
			for _, a := range args {
				text += fmt.Sprintf(",%#x", a)
			}
			calls, want = append(calls, text), append(want, fmt.Sprintf("%s: %d", name, errno))
		}
		for _, c := range slices.Concat(deniedCalls, develCalls) {
			if hostNumbers(c.name) >= 0 {
				add(c.name, unix.EPERM)
			}
		}
		for _, c := range absentCalls {
			add(c.name, unix.ENOSYS)
		}
		const terminal = unix.TIOCSTI
		add("ioctl", unix.EPERM, 0, terminal, 1)
		add("ioctl", unix.EPERM, 0, 1<<32|terminal, 1)
		add("ioctl", unix.EPERM, 0, unix.TIOCLINUX, 1)
		add("ioctl", unix.EBADF, 99, unix.TCGETS, 1)
		add("clone", unix.EPERM, unix.CLONE_NEWUSER)
		add("clone", unix.EPERM, unix.CLONE_NEWNS|uint64(unix.SIGCHLD))
		add("clone", unix.EPERM, 1<<40|unix.CLONE_NEWUSER)
		add("personality", unix.EPERM, 8)
		add("personality", 0, 0)
		for _, family := range []uint64{unix.AF_VSOCK, unix.AF_ALG, unix.AF_PACKET, unix.AF_BLUETOOTH, 1 << 31} {
			add("socket", unix.EAFNOSUPPORT, family, unix.SOCK_DGRAM, 0)
		}
		// What a program may do fails only as it would elsewhere.
		add("read", unix.EBADF, 99, 1, 1)
		add("uname", unix.EFAULT, 1)
		numbers := strings.Fields(w.run(append([]string{"call", "1000"}, calls...)...).Out)
		if numbers[0] != "38" {
			t.Errorf("system call 1000: errno %s, want ENOSYS", numbers[0])
		}
		var got []string
		for i, n := range numbers[1:] {
			name, _, _ := strings.Cut(want[i], ":")
			got = append(got, name+": "+n)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestForeignABIs(t *testing.T) {
	if hostNumbers == nil || hostNumbers("uselib") < 0 {
		t.Skip("needs an x86_64 machine")
	}
	everyUser(t, func(t *testing.T, w *world) {
		w.withProbe()
		for _, args := range [][]string{
			{"int80", "20"},          // getpid of i386
			{"call", "0x40000027"},   // getpid of x32
			{"call", "0x40000000,0"}, // read of x32
		} {
			if o := w.run(args...); o.Code != 128+int(unix.SIGSYS) {
				t.Errorf("%q: code %d, want a death by SIGSYS\n%s", args, o.Code, o.Out)
			}
		}
	})
}

func TestDevelOpensWhatItSays(t *testing.T) {
	if hostNumbers == nil {
		t.Skip("no table of system calls for this architecture")
	}
	everyUser(t, func(t *testing.T, w *world) {
		w.withProbe()
		w.metadata = "[Context]\nfeatures=devel;\n"
		out := w.run("call", fmt.Sprint(hostNumbers("personality"), ",8"), fmt.Sprint(hostNumbers("ptrace"), ",0"), fmt.Sprint(hostNumbers("mount"))).Out
		if out != "0\n0\n1\n" {
			t.Errorf("personality, ptrace, mount: %q", out)
		}
	})
}

func TestNoNetwork(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip("needs a network: ", err)
	}
	defer tcp.Close()
	abstract, err := net.Listen("unix", "@larch-sandbox-test-"+strconv.Itoa(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	everyUser(t, func(t *testing.T, w *world) {
		w.withProbe()
		for _, c := range []struct {
			network, address string
			shared           string
		}{
			{"tcp", tcp.Addr().String(), "connected\n"},
			{"unix", abstract.Addr().String(), "connected\n"},
			{"udp", "192.0.2.1:53", "connected\n"}, // sends nothing
		} {
			w.metadata = ""
			if o := w.run("connect", c.network, c.address); o.Code != 1 {
				t.Errorf("%s %s without the permission: %s", c.network, c.address, o.Out)
			}
			w.metadata = "[Context]\nshared=network;\n"
			if o := w.run("connect", c.network, c.address); c.network != "udp" && o.Out != c.shared {
				t.Errorf("%s %s with the permission: %s", c.network, c.address, o.Out)
			}
		}
		w.attempt.App.Command = "sh"
		if out := w.sh("ls /etc/resolv.conf /etc/hosts 2>&1 | wc -l"); out != "2\n" {
			t.Errorf("settings of the network: %q", out)
		}
	})
}

func TestCommandsAreNoOptions(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		args := []string{"--bind", "/", "/mnt", "--", "$(id)", "", "-c", "a b", "line\nbreak", "--args", "0"}
		for _, name := range []string{"--bind", "--", "-c", "a b", "$(id)", ";id", "--args"} {
			w.write("files/bin/"+name, "#!/bin/sh\nprintf '[%s]' \"$0\" \"$@\"\n", 0o755)
			w.attempt.App.Command = name
			o := w.run(args...)
			want := "[/app/bin/" + name + "][" + strings.Join(args, "][") + "]"
			if o.Err != "" || o.Out != want {
				t.Errorf("command %q: error %q\n got %q\nwant %q", name, o.Err, o.Out, want)
			}
		}
		for _, name := range []string{"absent", "--absent", "/app/absent", "bin/absent", "$(id)x", "a\x00b"} {
			w.attempt.App.Command = name
			if o := w.run(); len(o.Kinds) != 1 {
				t.Errorf("command %q: error %q, output %q", name, o.Err, o.Out)
			}
		}
		w.attempt.App.Command = ""
		w.run().expect(t, "ErrNoCommand", "names none")
	})
}

func TestEnvironmentIsClean(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		w.attempt.Environ = append(w.attempt.Environ, "LD_PRELOAD=/evil.so", "LD_LIBRARY_PATH=/evil", "DBUS_SESSION_BUS_ADDRESS=unix:path=/x",
			"XDG_RUNTIME_DIR=/tmp", "SSH_AUTH_SOCK=/x", "AWS_SECRET_ACCESS_KEY=s", "BASH_FUNC_x%%=() { id; }", "DISPLAY=:7", "http_proxy=http://u:p@x",
			"LC_TIME=C", "LC_ALL=\x1b[2J", "TERM=dumb", "USER=../x", "XDG_DATA_HOME=/evil", "PYTHONPATH=/evil")
		w.metadata = "[Context]\nunset-environment=TERM;\n[Environment]\nOWN=a=b;c\nHOME=/evil\nLD_PRELOAD=\ncontainer=none\n"
		w.attempt.App.ExtraEnv = map[string]string{"MINE": "1"}
		data := w.home + "/.var/app/org.example.Probe"
		want := []string{
			"HOME=" + w.home, "LANG=C", "LARCH_APP=/app", "LARCH_ID=org.example.Probe", "LC_TIME=C", "LD_PRELOAD=", "LOGNAME=user", "MINE=1",
			"OWN=a=b;c", "PATH=/app/bin:/usr/bin", "PWD=" + w.home, "SHELL=/bin/sh", "USER=user",
			"XDG_CACHE_HOME=" + data + "/cache", "XDG_CONFIG_DIRS=/app/etc/xdg:/etc/xdg", "XDG_CONFIG_HOME=" + data + "/config",
			"XDG_DATA_DIRS=/app/share:/usr/share", "XDG_DATA_HOME=" + data + "/data", "XDG_RUNTIME_DIR=/run/user/" + strconv.Itoa(w.uid),
			"XDG_STATE_HOME=" + data + "/.local/state", "container=larch",
		}
		got := strings.Split(strings.TrimSpace(w.sh("env")), "\n")
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		for _, name := range []string{"A=B", "A B", "", "1A", "BASH_FUNC_x%%"} {
			w.attempt.App.ExtraEnv = map[string]string{name: "1"}
			w.run("-c", "").expect(t, "ErrPolicy", "variable")
		}
	})
}

func TestNoLeakedFiles(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		secret, err := os.Open("/etc/passwd")
		if err != nil {
			t.Fatal(err)
		}
		defer secret.Close()
		root, err := os.Open("/")
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		w.extra = []*os.File{secret, root, secret}
		w.mkdir("home/Documents")
		w.metadata = "[Context]\nfilesystems=xdg-documents:ro;\npersistent=.x;\n"
		for _, process := range []string{"self", "1"} {
			for _, file := range strings.Fields(w.sh("for f in /proc/" + process + "/fd/*; do readlink $f || true; done")) {
				if strings.HasPrefix(file, "/") && file != "/dev/null" && !strings.HasPrefix(file, "/proc/") {
					t.Errorf("process %s has %s open", process, file)
				}
			}
		}
		if out := w.sh("ls /proc/self/fd | tr '\\n' ' '"); out != "0 1 2 3 " { // 3 is the listing itself
			t.Errorf("open files: %q", out)
		}
	})
}

func TestNoPrivileges(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		got := w.sh("grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status; cat /proc/self/uid_map | wc -l; id -u; grep -v nosuid /proc/self/mountinfo | wc -l; chroot / 2>/dev/null || echo no")
		want := ""
		for _, set := range []string{"Inh", "Prm", "Eff", "Bnd", "Amb"} {
			want += "Cap" + set + ":\t0000000000000000\n"
		}
		want += fmt.Sprintf("NoNewPrivs:\t1\nSeccomp:\t2\n1\n%d\n0\nno\n", w.uid)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestProcAndSys(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		script := "cat /proc/kcore; for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/1/exe /proc/self/exe /dev/x /x /usr/x /app/x /etc/x; do (echo >>$f) && echo wrote $f; done 2>/dev/null; echo done"
		if out := w.run("-c", script).Out; strings.Contains(out, "wrote") || !strings.Contains(out, "done") {
			t.Errorf("writable: %s", out)
		}
		others := w.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
		if strings.Contains(others, "sandbox.test") || strings.Contains(others, filepath.Base(self())) {
			t.Errorf("sees processes outside: %s", others)
		}
		if _, err := os.Stat("/sys/kernel"); err == nil {
			if out := w.run("-c", "ls /sys").Out; !strings.Contains(out, "No such file") {
				t.Errorf("/sys: %s", out)
			}
		}
	})
}

func TestEverythingEndsWithTheCaller(t *testing.T) {
	for _, end := range []string{"cancelled", "killed", "ended by itself"} {
		t.Run(end, func(t *testing.T) {
			everyUser(t, func(t *testing.T, w *world) {
				read, write, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer read.Close()
				w.attempt.KillAtEOF = true
				script := "setsid sh -c 'trap \"\" HUP TERM; echo up; exec sleep 1000' & wait"
				if end == "ended by itself" {
					script = "mkfifo f; setsid sh -c 'echo up; echo >f; exec sleep 1000' & read x <f"
				}
				cmd := w.command("-c", script)
				cmd.Stdout, cmd.Stderr = write, write
				stdin, err := cmd.StdinPipe()
				if err == nil {
					err = cmd.Start()
				}
				write.Close()
				if err != nil {
					t.Fatal(err)
				}
				buffer := make([]byte, 3)
				if n, err := read.Read(buffer); err != nil || string(buffer[:n]) != "up\n" {
					t.Fatalf("%q, %v", buffer[:n], err)
				}
				switch end {
				case "cancelled":
					stdin.Close()
				case "killed":
					cmd.Process.Kill()
				}
				// Every process of the sandbox has the pipe: at its end none is left.
				if n, err := read.Read(buffer); n != 0 || err == nil {
					t.Errorf("more output: %q, %v", buffer[:n], err)
				}
				stdin.Close()
				cmd.Wait()
				if end == "cancelled" {
					if o := w.outcome(""); !strings.Contains(o.Err, context.Canceled.Error()) {
						t.Errorf("error %q", o.Err)
					}
				}
			})
		})
	}
}

func TestExitCodes(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "exit 1": 1, "kill -9 $$": 137} {
			if o := w.run("-c", script); o.Err != "" || o.Code != want {
				t.Errorf("%s: code %d, error %q", script, o.Code, o.Err)
			}
		}
	})
}

func TestBubblewrapMissingOrUnusable(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		real, _ := exec.LookPath("bwrap")
		program, err := os.ReadFile(real)
		if err != nil {
			t.Fatal(err)
		}
		w.attempt.Bwrap = w.write("bin/bwrap", string(program), 0o755)
		os.Chmod(w.attempt.Bwrap, 0o755|os.ModeSetuid)
		w.run().expect(t, "ErrUnusable", "setuid")
		w.attempt.Bwrap = w.write("bin/old", "#!/bin/sh\necho '    --args FD    Parse'\n", 0o755)
		w.run().expect(t, "ErrUnusable", "too old")
		w.attempt.Bwrap = w.write("bin/broken", "#!/bin/sh\nexit 1\n", 0o755)
		w.run().expect(t, "ErrUnusable", "asking")
		w.attempt.Bwrap = ""
		w.attempt.Environ = []string{"HOME=" + w.home, "PATH=bin:" + w.dir}
		w.run("-c", "echo ran").expect(t, "ErrNoBubblewrap", "install the package bubblewrap")
	})
}

func TestNamespacesSwitchedOff(t *testing.T) {
	needBubblewrap(t)
	if os.Getuid() != 0 {
		t.Skip("needs root, to switch them off inside a namespace")
	}
	w := newWorld(t, 0)
	inner := w.command("-c", "echo ran")
	cmd := exec.Command("unshare", "--user", "--map-root-user", "sh", "-c", `echo 0 >/proc/sys/user/max_user_namespaces && exec "$0"`, inner.Path)
	cmd.Env = inner.Env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Skipf("needs unshare: %v: %s", err, out)
	}
	o := w.outcome(string(out))
	o.expect(t, "ErrUnusable", "user namespaces are switched off")
	if strings.Contains(o.Out, "ran") {
		t.Error("it ran all the same")
	}
}

func TestRuntimeIsNotReplaced(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		runtime := w.mkdir("runtime/files")
		w.attempt.App.Runtime = runtime
		w.run().expect(t, "ErrRuntime", "the machine's own")
		for _, c := range []struct{ metadata, runtime, want string }{
			{"runtime/org.example.Base/" + w.attempt.App.Ref.Arch + "/1", "", "not installed"},
			{"runtime/org.example.Base/pdp11/1", runtime, "another architecture"},
			{"runtime/org.example.Base/" + w.attempt.App.Ref.Arch + "/1", runtime + "/gone", "no such file"},
		} {
			w.attempt.App.Runtime, w.runtime = c.runtime, c.metadata
			w.run().expect(t, "ErrRuntime", c.want)
		}
	})
}

func TestUnconfined(t *testing.T) {
	everyUser(t, func(t *testing.T, w *world) {
		w.write("files/bin/tell", "#!/bin/sh\necho $LARCH_APP $PATH \"$SECRET\" \"$OWN\" \"$@\"; ls /proc/self/fd | wc -l\n", 0o755)
		w.attempt.Unconfined = true
		w.attempt.Environ = []string{"HOME=" + w.home, "PATH=/usr/bin:/bin", "SECRET=1"}
		w.metadata = "[Environment]\nOWN=yes\n"
		extra, err := os.Open("/")
		if err != nil {
			t.Fatal(err)
		}
		defer extra.Close()
		w.extra = []*os.File{extra}
		for _, command := range []string{"tell", "bin/tell", "/app/bin/tell"} {
			w.attempt.App.Command = command
			o := w.run("--bind", "a b")
			want := w.files + " " + w.files + "/bin:/usr/bin:/bin  yes --bind a b\n4\n"
			if o.Out != want || o.Err != "" {
				t.Errorf("%s: error %q\n got %q\nwant %q", command, o.Err, o.Out, want)
			}
		}
		w.attempt.App.Command = "../../tell"
		w.run().expect(t, "ErrNoCommand", "tell")
	})
}

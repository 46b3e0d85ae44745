package local

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestMachinesThatCannot(t *testing.T) {
	attack(t, "K-24 no bubblewrap", "a program that ran without its sandbox because that could not be made", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			name := w.installed("Probe", "")
			real, err := exec.LookPath("bwrap")
			if err != nil {
				t.Fatal("these tests need the package bubblewrap")
			}
			program, err := os.ReadFile(real)
			w.must(err)
			setuid := w.write("setuid/bwrap", string(program))
			w.must(os.Chmod(setuid, 0o755|os.ModeSetuid))
			old := w.write("old/bwrap", "#!/bin/sh\necho '    --args FD    Parse'\n")
			broken := w.write("broken/bwrap", "#!/bin/sh\necho broken >&2\nexit 1\n")
			stub := w.write("stub/bwrap", "#!/bin/sh\nfor o in bind-fd json-status-fd perms cap-drop; do echo \"  --$o X\"; done\n")
			for _, path := range []string{old, broken, stub} {
				w.must(os.Chmod(path, 0o755))
			}
			w.mkdir("home/bin")
			for _, c := range []struct{ path, want string }{
				{"/nowhere", "install the package bubblewrap"},
				{filepath.Dir(setuid), "is setuid"},
				{filepath.Dir(old), "too old"},
				{filepath.Dir(broken), "asking"},
				{filepath.Dir(stub), ""}, // it says yes to all, and runs nothing
				{".:bin:", "install the package bubblewrap"},
			} {
				cmd := w.command("run", name, "--", "args", "it ran")
				cmd.Dir = filepath.Dir(stub) // where one is that PATH=. would find
				cmd.Env = append(w.env, "PATH="+c.path)
				r := w.finish(cmd)
				if strings.Contains(r.out, "it ran") || c.want != "" && (r.code != 1 || !strings.Contains(r.err, c.want)) {
					t.Errorf("PATH=%s: code %d, want %q\n%s%s", c.path, r.code, c.want, r.out, r.err)
				}
			}
			if r := w.larch("run", "--no-sandbox", name, "--", "args", "it ran"); !strings.Contains(r.out, "it ran") {
				t.Errorf("control, asked for in so many words: %+v", r)
			}
		})
	})
	attack(t, "K-24 no user namespaces", "the same, where the administrator has switched them off", func(t *testing.T) {
		asRoot(t)
		w := newWorld(t, 0)
		name := w.installed("Probe", "")
		cmd := exec.Command("unshare", "--user", "--map-root-user", "sh", "-c", `echo 0 >/proc/sys/user/max_user_namespaces && exec "$0" "$@"`,
			w.kit.larch, "run", name, "--", "args", "it ran")
		cmd.Env = w.env
		r := w.finish(cmd)
		w.refused(r, 1, "user namespaces are switched off")
		if strings.Contains(r.out, "it ran") {
			t.Error("it ran all the same")
		}
	})
}

package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// world is one machine on which larch runs: its disk is mounted at disk, which may be
// empty for one that has none of its own.
type world struct {
	*fixture
	program string // larch if it is empty
	dir     string // what is outside the disk, and survives
	disk    string
	keys    string // if not on the disk
	code    string // of the fingerprint, once known
	boots   int    // how often it has started again after a power cut
}

// client is the installation, repo the repository, source what the client's remote is.
func (w *world) client() string { return filepath.Join(w.disk, "client") }
func (w *world) repo() string   { return filepath.Join(w.disk, "repo") }
func (w *world) source() string { return filepath.Join(w.dir, "source") }

func (w *world) keyFolder() string {
	if w.keys != "" {
		return w.keys
	}
	return filepath.Join(w.disk, "keys")
}

// publishes says up to which version the client's remote has releases from now on.
func (w *world) publishes(version int) error {
	os.Remove(w.source())
	return os.Symlink(w.fixture.repo(version), w.source())
}

// command is the program with arguments, in this world.
func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.Command(cmp.Or(w.program, w.larch), args...)
	cmd.Dir = w.dir
	if w.disk == "" {
		cmd.Dir = "/"
	}
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8",
		"HOME=" + filepath.Join(w.dir, "home"),
		"XDG_CONFIG_HOME=" + filepath.Join(w.dir, "config"),
		"XDG_DATA_HOME=" + filepath.Join(w.dir, "data"),
		"LARCH_KEYS=" + w.keyFolder(),
		"LARCH_ROOT=" + w.client(),
		"OSTREE_BOOTID=" + fmt.Sprint(w.boots), // it continues what was interrupted only in the same one
	}
	return cmd
}

// run runs the program, and gives its standard output and exit code.
func (w *world) run(args ...string) (out string, code int, err error) {
	cmd := w.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	hung := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	err = cmd.Run()
	hung.Stop()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", filepath.Base(cmd.Path), strings.Join(args, " "), err, lastLine(stderr.String()+stdout.String()))
	}
	return stdout.String(), cmd.ProcessState.ExitCode(), err
}

// must is run for what does not fail.
func (w *world) must(args ...string) (string, error) {
	out, _, err := w.run(args...)
	return out, err
}

// fingerprint is a repository's root key's.
func (w *world) fingerprint(repo string) (string, error) {
	out, err := w.must("key", "list", repo)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == "root" {
			return fields[0], nil
		}
	}
	return "", fmt.Errorf("%s: no root key: %s", repo, out)
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}

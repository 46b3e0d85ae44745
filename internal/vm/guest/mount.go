package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// The archive's own folders, made by this process.
const (
	shared = "/host" // the host's /
	memory = "/cow"  // what is changed
	root   = "/new"  // both, one over the other
)

// mountAt makes a folder and mounts on it.
func mountAt(source, dir, kind string, flags uintptr, options string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, dir, kind, flags, options); err != nil {
		return fmt.Errorf("mounting %s (%s) at %s: %w", source, kind, dir, err)
	}
	return nil
}

func bind(from, to string) error { return mountAt(from, to, "", unix.MS_BIND, "") }

// mountKernel mounts what the kernel shows of itself.
func mountKernel() error {
	for _, m := range []struct{ kind, dir string }{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}} {
		if err := mountAt(m.kind, m.dir, m.kind, 0, ""); err != nil {
			return err
		}
	}
	return nil
}

// switchRoot makes the host's tree, with memory over it, this process's root. The
// new root is moved onto the old one: after a mere chroot(2) the kernel would not
// make user namespaces.
func switchRoot(job Job) error {
	if err := overlayHost(); err != nil {
		return err
	}
	for _, dir := range job.Writable {
		if err := bind(shared+dir, root+dir); err != nil {
			return err
		}
	}
	for _, dir := range []string{"/dev", "/proc", "/sys"} {
		if err := mountAt(dir, root+dir, "", unix.MS_MOVE, ""); err != nil {
			return err
		}
	}
	if err := mountMemory(); err != nil {
		return err
	}
	if err := carryOver(); err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("moving the new root onto the old: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return os.Chdir("/")
}

func overlayHost() error {
	if err := mountAt(ShareTag, shared, "virtiofs", 0, ""); err != nil {
		return err
	}
	if err := mountAt("tmpfs", memory, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	for _, dir := range []string{"up", "work"} {
		if err := os.Mkdir(filepath.Join(memory, dir), 0o755); err != nil {
			return err
		}
	}
	return mountAt("overlay", root, "overlay", 0, "lowerdir="+shared+",upperdir="+memory+"/up,workdir="+memory+"/work")
}

// mountMemory mounts, in the new root, what is never shared with the host.
func mountMemory() error {
	for _, m := range []struct{ kind, dir, options string }{
		{"tmpfs", "/run", "mode=755"},
		{"tmpfs", "/dev/shm", "mode=1777"},
		{"devpts", "/dev/pts", "mode=620,ptmxmode=666"},
		{"cgroup2", "/sys/fs/cgroup", ""},
	} {
		if err := mountAt(m.kind, root+m.dir, m.kind, 0, m.options); err != nil {
			return err
		}
	}
	return nil
}

// carryOver gives the new root this program, to be called as modprobe, and its job.
func carryOver() error {
	if err := os.MkdirAll(root+runDir, 0o755); err != nil {
		return err
	}
	for from, to := range map[string]string{"/" + InitFile: modprobeFile, "/" + JobFile: runDir + "/" + JobFile} {
		if err := os.WriteFile(root+to, nil, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(from, root+to, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("binding %s to %s: %w", from, to, err)
		}
	}
	return nil
}

// unmountAll unmounts whatever lets itself be, the newest first.
func unmountAll() {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		fmt.Fprintf(os.Stderr, "guest: %v\n", err)
		return
	}
	for _, dir := range mountPoints(string(table)) {
		if err := unix.Unmount(dir, 0); err != nil && strings.HasPrefix(dir, "/run/") {
			fmt.Fprintf(os.Stderr, "guest: unmounting %s: %v\n", dir, err)
		}
	}
}

// mountPoints lists those of a table like /proc/self/mountinfo, newest first,
// without the root and what the kernel shows of itself.
func mountPoints(table string) (dirs []string) {
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		dir := unescape.Replace(fields[4])
		if dir != "/" && !slices.Contains([]string{"dev", "proc", "sys"}, strings.Split(dir, "/")[1]) {
			dirs = append(dirs, dir)
		}
	}
	slices.Reverse(dirs)
	return dirs
}

// unescape undoes what the kernel does to names in its tables (proc(5)).
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

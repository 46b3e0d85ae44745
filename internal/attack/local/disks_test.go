package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	fusefs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// disk mounts a file system of a kind, in a file, as root.
func disk(t *testing.T, kind string) string {
	t.Helper()
	dir := t.TempDir()
	image, at := filepath.Join(dir, "image"), filepath.Join(dir, "at")
	err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 320<<20), os.Mkdir(at, 0o755), os.Chmod(dir, 0o755))
	if err != nil {
		t.Fatal(err)
	}
	switch kind {
	case "tmpfs":
		err = unix.Mount("tmpfs", at, "tmpfs", 0, "mode=755,size=256m")
	case "overlay":
		for _, name := range []string{"lower", "upper", "work"} {
			err = errors.Join(err, os.Mkdir(filepath.Join(dir, name), 0o755))
		}
		// Its own layers must not be on an overlay, as the temporary folder may be.
		err = errors.Join(err, unix.Mount("overlay", at, "overlay", 0, fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dir)))
	default:
		needs(t, kind)
		quiet := map[string]string{"ext4": "-q", "xfs": "-q", "btrfs": "-q"}[kind]
		for _, args := range [][]string{{"mkfs." + kind, quiet, image}, {"mount", "-t", kind, "-o", "loop", image, at}} {
			if out, runErr := exec.Command(args[0], args[1:]...).CombinedOutput(); runErr != nil {
				err = errors.Join(err, fmt.Errorf("%q: %w\n%s", args, runErr, out))
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, 0); err != nil {
			t.Error(err)
			unix.Unmount(at, unix.MNT_DETACH)
		}
	})
	return at
}

// needs skips a test where the kernel or the machine has no such file system.
func needs(t *testing.T, kind string) {
	t.Helper()
	if _, err := exec.LookPath("mkfs." + kind); err != nil {
		t.Skipf("needs mkfs.%s", kind)
	}
	_ = exec.Command("modprobe", kind).Run()
	if known, err := os.ReadFile("/proc/filesystems"); err != nil || !strings.Contains(string(known), "\t"+kind+"\n") {
		t.Skipf("this kernel has no %s: %v", kind, err)
	}
}

// moveTo has the installation below another folder.
func (w *world) moveTo(dir string) {
	w.t.Helper()
	w.root = filepath.Join(dir, "machine")
	w.env = append(w.env, "LARCH_ROOT="+w.root)
}

// life is all that an installation goes through.
func (w *world) life(name string) {
	w.t.Helper()
	w.trust()
	w.ok("install", name+"@1", "--yes", "--backend", "hardlink")
	w.lives(name, "1")
	w.ok("update", "--yes")
	w.lives(name, "2")
	w.ok("undo")
	w.lives(name, "1")
	w.ok("update", "--yes")
	w.lives(name, "2")
	w.clean()
	w.ok("gc")
	w.ok("uninstall", name, "--yes")
	w.ok("gc")
	w.clean()
}

// lives wants a version that runs.
func (w *world) lives(name, version string) {
	w.t.Helper()
	if out := w.probe(name, "cat", "/app/share/version"); out != version {
		w.t.Errorf("it is version %q, want %q", out, version)
	}
}

// twoVersions is an application with two releases.
func (w *world) twoVersions() string {
	w.t.Helper()
	w.kit.app(w.t, "Two", "", "1", nil)
	return w.kit.app(w.t, "Two", "", "2", content{"files/share/more": strings.Repeat("more ", 5000)})
}

func TestDisks(t *testing.T) {
	asRoot(t)
	for _, kind := range []string{"ext4", "xfs", "btrfs", "tmpfs", "overlay"} {
		attack(t, "I-13 on "+kind, "a file system on which something is different", func(t *testing.T) {
			w := newWorld(t, 0)
			w.moveTo(disk(t, kind))
			w.life(w.twoVersions())
		})
	}
	attack(t, "I-13 a file system without links", "on FAT nothing of this can work, and that should be said before 100 MB were fetched", func(t *testing.T) {
		w := newWorld(t, 0)
		w.moveTo(poor(t, true))
		r := w.larch("remote", "add", "example", w.kit.repo, "--root-key", w.kit.fingerprint)
		w.refused(r, 6, "no symlinks or hard links")
	})
	attack(t, "I-12 no unnamed files, no attributes", "a way of writing that only some file systems have", func(t *testing.T) {
		w := newWorld(t, 0)
		w.moveTo(poor(t, false))
		w.life(w.twoVersions())
	})
	attack(t, "I-12 too many links", "ext4 gives a file 65,000 names, and the same content may be in as many places", func(t *testing.T) {
		w := newWorld(t, 0)
		w.moveTo(disk(t, "ext4"))
		name := w.installed("Probe", "")
		object := must(filepath.Glob(w.root + "/objects/*/*.x"))(t)[0]
		aside := filepath.Join(filepath.Dir(w.root), "aside")
		w.must(os.Mkdir(aside, 0o755))
		var err error
		for n := 0; err == nil; n++ {
			err = os.Link(object, filepath.Join(aside, fmt.Sprint(n)))
		}
		if !errors.Is(err, unix.EMLINK) {
			t.Fatal(err)
		}
		second := w.kit.app(t, "Links", "", "1", content{"files/share/more": "more"})
		w.ok("install", second, "--yes")
		w.lives(second, "1")
		w.lives(name, "1")
		w.clean()
	})
	for kind, backend := range map[string]string{"ext4": "hardlink", "btrfs": "btrfs"} {
		attack(t, "I-09 one content under 10,000 names on "+kind, "what is counted for each name fills a disk that has room for all of it", func(t *testing.T) {
			w := newWorld(t, 0)
			files := content{}
			for n := range 10_000 {
				files[fmt.Sprintf("files/share/%02d/%04d", n%100, n)] = strings.Repeat("the same ", 1000)
			}
			name := w.kit.app(t, "Same", "", "1", files)
			at := disk(t, kind)
			fill(t, at, 48<<20)
			w.moveTo(at)
			w.trust().ok("install", name, "--yes", "--backend", backend)
			w.lives(name, "1")
			w.ok("verify")
			w.clean()
		})
	}
	attack(t, "I-12 another file system inside", "a folder of the store on another disk, between which there are no links", func(t *testing.T) {
		w := newWorld(t, 0)
		name := w.twoVersions()
		w.trust().ok("install", name+"@1", "--yes", "--backend", "hardlink")
		for _, folder := range []string{"deployments", "generations", "tmp"} {
			at := filepath.Join(w.root, folder)
			w.must(unix.Mount("tmpfs", at, "tmpfs", 0, "mode=755"))
			r := w.larch("install", name, "--yes")
			if r.code < 0 || r.code > 8 {
				t.Errorf("%s elsewhere: %+v", folder, r)
			}
			w.must(unix.Unmount(at, unix.MNT_DETACH))
			w.ok("install", name+"@1", "--yes")
			w.lives(name, "1")
			w.clean()
		}
	})
	attack(t, "I-12 a long path", "paths of more than 4,095 bytes, where names were joined", func(t *testing.T) {
		w := newWorld(t, 0)
		dir := w.dir
		for len(dir) < 3000 {
			dir = filepath.Join(dir, strings.Repeat("a", 200))
		}
		w.must(os.MkdirAll(dir, 0o755))
		w.moveTo(dir)
		w.life(w.twoVersions())
	})
	attack(t, "I-12 little memory", "an allocation that fails in the middle of a change", func(t *testing.T) {
		w := newWorld(t, 0)
		name := w.twoVersions()
		w.trust().ok("install", name+"@1", "--yes")
		for _, kib := range []int{150_000, 300_000, 600_000} {
			cmd := w.command("update", "--yes")
			cmd.Args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -v %d; exec "$@"`, kib), "sh", cmd.Path}, "update", "--yes")
			cmd.Path = "/bin/sh"
			_ = cmd.Run() // Go ends a process that gets no memory
			w.ok("install", name+"@1", "--yes")
			w.lives(name, "1")
			w.clean()
		}
	})
	attack(t, "I-11 read-only", "what cannot be changed serves to list, to verify and to run", func(t *testing.T) {
		for what, mount := range map[string]func(w *world) error{
			"a bind mount": func(w *world) error {
				return errors.Join(unix.Mount(w.root, w.root, "", unix.MS_BIND, ""), unix.Mount("", w.root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
			},
			"a layer of an overlay": func(w *world) error {
				return unix.Mount("overlay", w.root, "overlay", unix.MS_RDONLY, "lowerdir="+w.root+":"+w.mkdir("empty"))
			},
		} {
			w := newWorld(t, 0)
			name := w.twoVersions()
			w.trust().ok("install", name+"@1", "--yes", "--backend", "hardlink")
			before := snapshot(t, w.root)
			w.must(mount(w))
			w.ok("list")
			w.ok("history")
			w.ok("verify")
			w.lives(name, "1")
			for _, args := range [][]string{{"update", "--yes"}, {"uninstall", name, "--yes"}, {"undo"}, {"gc"}, {"remote", "remove", "example"}, {"verify", "--repair"}} {
				if r := w.larch(args...); r.code != 6 || !strings.Contains(r.err, "read-only") {
					t.Errorf("%s: %q: code %d %s", what, args, r.code, r.err)
				}
			}
			w.must(unix.Unmount(w.root, unix.MNT_DETACH))
			if strings.Join(before, "\n") != strings.Join(snapshot(t, w.root), "\n") {
				t.Errorf("%s: something has changed", what)
			}
			w.ok("update", "--yes")
			w.lives(name, "2")
		}
	})
	attack(t, "I-11 immutable", "a folder of it that nobody may change, not even root", func(t *testing.T) {
		w := newWorld(t, 0)
		w.moveTo(disk(t, "ext4"))
		name := w.twoVersions()
		w.trust().ok("install", name+"@1", "--yes", "--backend", "hardlink")
		for _, folder := range []string{"releases", "objects", "deployments", "generations", "."} {
			at := filepath.Join(w.root, folder)
			must(exec.Command("chattr", "+i", at).CombinedOutput())(t)
			r := w.larch("update", "--yes")
			must(exec.Command("chattr", "-i", at).CombinedOutput())(t)
			if r.code == 0 || r.code > 8 {
				t.Errorf("%s: %+v", folder, r)
			}
			w.lives(name, "1")
			w.clean()
		}
		w.ok("update", "--yes")
		w.lives(name, "2")
		w.clean()
	})
}

// fill leaves that many bytes of a file system.
func fill(t *testing.T, at string, leave uint64) {
	t.Helper()
	var st unix.Statfs_t
	f, err := os.Create(filepath.Join(at, "filler"))
	if err == nil {
		defer f.Close()
		err = unix.Fstatfs(int(f.Fd()), &st)
	}
	if err == nil {
		err = unix.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail*uint64(st.Bsize)-leave))
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// poor mounts a file system that has no unnamed files and no attributes, and
// perhaps no links, as FAT.
func poor(t *testing.T, links bool) string {
	t.Helper()
	dir := t.TempDir()
	below, at := filepath.Join(dir, "below"), filepath.Join(dir, "at")
	if err := errors.Join(os.Mkdir(below, 0o755), os.Mkdir(at, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", below, "tmpfs", 0, "mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(below, unix.MNT_DETACH) })
	data := &fusefs.LoopbackRoot{Path: below, NewNode: func(data *fusefs.LoopbackRoot, _ *fusefs.Inode, _ string, _ *syscall.Stat_t) fusefs.InodeEmbedder {
		return &node{LoopbackNode: fusefs.LoopbackNode{RootData: data}, noLinks: links}
	}}
	root := &node{LoopbackNode: fusefs.LoopbackNode{RootData: data}, noLinks: links}
	data.RootNode = root
	server, err := fusefs.Mount(at, root, &fusefs.Options{MountOptions: fuse.MountOptions{DirectMount: true, AllowOther: true, FsName: "poor"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Error(err)
			unix.Unmount(at, unix.MNT_DETACH)
		}
	})
	return at
}

// node is a file of it.
type node struct {
	fusefs.LoopbackNode
	noLinks bool
}

func (n *node) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if n.noLinks {
		return nil, syscall.EPERM
	}
	return n.LoopbackNode.Symlink(ctx, target, name, out)
}

func (n *node) Link(ctx context.Context, target fusefs.InodeEmbedder, name string, out *fuse.EntryOut) (*fusefs.Inode, syscall.Errno) {
	if n.noLinks {
		return nil, syscall.EPERM
	}
	return n.LoopbackNode.Link(ctx, target, name, out)
}

func (n *node) Tmpfile(context.Context, uint32, uint32, *fuse.EntryOut) (*fusefs.Inode, fusefs.FileHandle, uint32, syscall.Errno) {
	return nil, nil, 0, syscall.ENOSYS
}

func (n *node) Getxattr(context.Context, string, []byte) (uint32, syscall.Errno) {
	return 0, syscall.ENOTSUP
}

func (n *node) Setxattr(context.Context, string, []byte, uint32) syscall.Errno {
	return syscall.ENOTSUP
}

func (n *node) Listxattr(context.Context, []byte) (uint32, syscall.Errno) { return 0, syscall.ENOTSUP }

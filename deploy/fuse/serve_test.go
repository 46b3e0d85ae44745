package fuse_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/internal/pagecache"
	"github.com/larch-project/larch/tree"
)

// equal files of two deployments are one inode, whose pages are in memory once: what is
// read through one is resident through the other, and not in the store's object, unless
// that is what is read
func TestPagesAreShared(t *testing.T) {
	m := needsServer(t)
	shared, own := random(1, 4<<20), random(2, 8000)
	m.put(t, shared, own)
	one := m.open(t, backend, specOf(t, "one", shared))
	two := m.open(t, backend, specOf(t, "two", own, shared))
	a, b := filepath.Join(one.Path, "0"), filepath.Join(two.Path, "1")
	if _, err := os.ReadFile(a); err != nil {
		t.Fatal(err)
	}
	if pages, all := residentPages(t, b); pages != all {
		t.Errorf("%d of %d pages are resident through the other deployment", pages, all)
	}
	if pages, all := residentPages(t, m.object(shared)); pages > all/4 && !m.backs(t, shared) {
		t.Errorf("%d of %d pages are in memory twice", pages, all)
	}
	first, err := os.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := os.Stat(b); err != nil || !os.SameFile(first, second) {
		t.Errorf("two inodes, error %v", err)
	}
}

// residentPages asks how much of a file is in memory.
func residentPages(t *testing.T, name string) (resident, all int) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if resident, all, err = pagecache.Resident(f); err != nil {
		t.Fatal(err)
	}
	return resident, all
}

// a deployment that a deployment of the same files follows keeps its inodes open, and
// the other shows the files still
func TestRemovedWhileAnotherHasTheFile(t *testing.T) {
	m := needsServer(t)
	data := random(1, 1<<20)
	m.put(t, data)
	one := m.open(t, backend, specOf(t, "one", data))
	two := m.open(t, backend, specOf(t, "two", data))
	f, err := os.Open(filepath.Join(one.Path, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := backend.Remove(t.Context(), m.site, "one"); !errors.Is(err, deploy.ErrInUse) {
		t.Errorf("removed while in use: error %v", err)
	}
	if err := errors.Join(one.Close(), backend.Remove(t.Context(), m.site, "one")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(one.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("still shown: error %v", err)
	}
	have := make([]byte, len(data))
	if _, err := f.ReadAt(have, 0); err != nil || !bytes.Equal(have, data) {
		t.Errorf("what was open: equal %v, error %v", bytes.Equal(have, data), err)
	}
	if have, err := os.ReadFile(filepath.Join(two.Path, "0")); err != nil || !bytes.Equal(have, data) {
		t.Errorf("the other: equal %v, error %v", bytes.Equal(have, data), err)
	}
}

// with the last deployment the server ends
func TestServerEnds(t *testing.T) {
	m := needsServer(t)
	view := m.open(t, backend, specOf(t, "release", []byte("small")))
	supervisor, child := m.process(t, "serve"), m.process(t, "child")
	if supervisor == 0 || child == 0 {
		t.Fatalf("processes %d and %d", supervisor, child)
	}
	if err := errors.Join(view.Close(), backend.Remove(t.Context(), m.site, "release")); err != nil {
		t.Fatal(err)
	}
	ended(t, child)
	ended(t, supervisor)
}

// the server is a daemon: a session of its own, nothing inherited
func TestServerIsADaemon(t *testing.T) {
	m := needsServer(t)
	m.open(t, backend, specOf(t, "release", []byte("small")))
	pid := m.process(t, "serve")
	if sid, err := unix.Getsid(pid); err != nil || sid != pid {
		t.Errorf("session %d of process %d, error %v", sid, pid, err)
	}
	if dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || dir != "/" {
		t.Errorf("working directory %s, error %v", dir, err)
	}
	for fd := range 3 {
		if file, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); err != nil || file != "/dev/null" {
			t.Errorf("file %d is %s, error %v", fd, file, err)
		}
	}
}

// many processes start the server at the same time: there is one
func TestStartIsRaced(t *testing.T) {
	m := needsServer(t)
	data := random(1, 70_000)
	m.put(t, data)
	if err := backend.Make(t.Context(), m.site, specOf(t, "release", data)); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "open-and-read", m.dir, "release", "0")
			var said bytes.Buffer
			cmd.Stderr = &said
			have, err := cmd.Output()
			if err != nil || !bytes.Equal(have, data) {
				t.Errorf("equal %v, error %v: %s", bytes.Equal(have, data), err, said.String())
			}
		})
	}
	group.Wait()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(table), m.dir+"/fuse/mnt "); n != 1 {
		t.Errorf("%d mounts", n)
	}
}

// where somebody else could put the mount, there is none
func TestMountPointIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"a symlink": func(dir string) error { return os.Symlink(t.TempDir(), filepath.Join(dir, "fuse/mnt")) },
		"a symlink above": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "fuse")), os.Symlink(t.TempDir(), filepath.Join(dir, "fuse")))
		},
		"a file": func(dir string) error { return os.WriteFile(filepath.Join(dir, "fuse/mnt"), nil, 0o644) },
		"another user's": func(dir string) error {
			name := filepath.Join(dir, "fuse/mnt")
			return errors.Join(os.Mkdir(name, 0o777), os.Chown(name, 1234, 1234))
		},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "another user's" && os.Getuid() != 0 {
				t.Skip("needs root")
			}
			m := needsServer(t)
			if err := errors.Join(os.MkdirAll(filepath.Join(m.dir, "fuse"), 0o755), spoil(m.dir)); err != nil {
				t.Fatal(err)
			}
			spec := specOf(t, "release", []byte("small"))
			if err := backend.Make(t.Context(), m.site, spec); err != nil {
				t.Fatal(err)
			}
			if view, err := backend.Open(t.Context(), m.site, "release"); err == nil {
				view.Close()
				t.Errorf("opened at %s", view.Path)
			}
			os.RemoveAll(filepath.Join(m.dir, "fuse"))
		})
	}
}

// whatever would change something is refused
func TestReadOnly(t *testing.T) {
	m := needsServer(t)
	view := m.open(t, backend, specOf(t, "release", []byte("small")))
	in := func(name string) string { return filepath.Join(view.Path, name) }
	for what, err := range map[string]error{
		"create":   os.WriteFile(in("new"), nil, 0o644),
		"mkdir":    os.Mkdir(in("new"), 0o755),
		"remove":   os.Remove(in("0")),
		"rename":   os.Rename(in("0"), in("1")),
		"chmod":    os.Chmod(in("0"), 0o600),
		"setxattr": unix.Setxattr(in("0"), "user.a", []byte("b"), 0),
		"root":     os.Mkdir(filepath.Join(view.Path, "../new"), 0o755),
		"truncate": os.Truncate(in("0"), 0),
	} {
		if !errors.Is(err, unix.EROFS) {
			t.Errorf("%s: error %v", what, err)
		}
	}
}

// a folder with more entries than a request holds is listed whole, and again
func TestLargeFolder(t *testing.T) {
	m := needsServer(t)
	list := []*tree.Entry{{Path: "/", Kind: tree.Directory, Mode: 0o755, Nlink: 1}}
	for i := range 5000 {
		list = append(list, fileEntry(tree.Path(fmt.Sprintf("/some-long-name-of-a-file-%05d", i)), fmt.Appendf(nil, "content %d", i)))
	}
	view := m.open(t, backend, specOfEntries(t, "release", list))
	for range 2 {
		names, err := os.ReadDir(view.Path)
		if err != nil || len(names) != 5000 || names[4999].Name() != "some-long-name-of-a-file-04999" {
			t.Errorf("%d names, error %v", len(names), err)
		}
	}
	if _, err := os.Stat(filepath.Join(view.Path, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: error %v", err)
	}
	above, err := os.ReadDir(filepath.Dir(view.Path))
	if err != nil || len(above) != 1 || above[0].Name() != "release" {
		t.Errorf("the root lists %v, error %v", above, err)
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(view.Path, &st); err != nil || st.Namelen != tree.MaxName {
		t.Errorf("statfs: names of %d bytes, error %v", st.Namelen, err)
	}
}

// what is read from front to back, ahead of who reads, is right to its last byte, and in
// memory once
func TestReadFromFrontToBack(t *testing.T) {
	m := needsServer(t)
	data := random(1, 5<<20+123)
	m.put(t, data)
	name := filepath.Join(m.open(t, backend, specOf(t, "release", data)).Path, "0")
	if m.backs(t, data) {
		t.Skip("the kernel reads the object itself")
	}
	drop(t, m.object(data))
	for range 3 {
		have, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(have, data) {
			t.Errorf("equal %v, error %v", bytes.Equal(have, data), err)
		}
		if pages, all := residentPages(t, m.object(data)); pages > all/4 {
			t.Errorf("%d of %d pages of the object are in memory", pages, all)
		}
		drop(t, name)
	}
}

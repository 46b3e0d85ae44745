package btrfs_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/btrfs"
	"github.com/larch-project/larch/internal/btrfs/btrfstest"
)

func open(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func describe(t *testing.T, f *os.File) btrfs.Info {
	t.Helper()
	i, err := btrfs.Describe(f)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// a subvolume's life: made, filled, marked, told apart when it was changed, deleted
func TestSubvolumes(t *testing.T) {
	dir := btrfstest.New(t, 128)
	top := open(t, dir)
	must(t, btrfs.Create(top, "a"))
	a := open(t, filepath.Join(dir, "a"))
	if !btrfs.IsSubvolume(a) {
		t.Error("a subvolume is not known as one")
	}
	file := filepath.Join(dir, "a/file")
	must(t, os.WriteFile(file, []byte("text"), 0o600), os.Mkdir(filepath.Join(dir, "a/folder"), 0o700))
	if btrfs.IsSubvolume(open(t, filepath.Join(dir, "a/folder"))) {
		t.Error("a folder is taken for a subvolume")
	}
	must(t, btrfs.SetReadOnly(a, true), unix.Syncfs(int(top.Fd())))
	must(t, os.WriteFile(filepath.Join(dir, "after"), nil, 0o600))
	made, err := btrfs.Generation(open(t, filepath.Join(dir, "after")))
	must(t, err)
	before := describe(t, a)
	if before.Changed > made {
		t.Errorf("changed in transaction %d, and a later file was made in %d", before.Changed, made)
	}
	if !before.ReadOnly || before.ID < 256 || before.UUID == [16]byte{} {
		t.Errorf("described as %+v", before)
	}
	if err := os.WriteFile(file, []byte("more"), 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("written to a read-only subvolume: error %v", err)
	}
	must(t, unix.Syncfs(int(top.Fd())), btrfs.Snapshot(top, "b", a), unix.Syncfs(int(top.Fd())))
	if now := describe(t, a); now.Changed != before.Changed {
		t.Errorf("a snapshot and a commit moved the last change from %d to %d", before.Changed, now.Changed)
	}
	b := describe(t, open(t, filepath.Join(dir, "b")))
	if b.ReadOnly || b.Parent != before.UUID || b.UUID == before.UUID {
		t.Errorf("the snapshot is described as %+v", b)
	}
	must(t, btrfs.SetReadOnly(a, false), os.Chmod(file, 0o644), btrfs.SetReadOnly(a, true), unix.Syncfs(int(top.Fd())))
	if now := describe(t, a); now.Changed <= made {
		t.Error("a change in between does not show")
	}
	must(t, btrfs.Destroy(top, "a"), btrfs.Destroy(top, "b"), os.Remove(filepath.Join(dir, "after")))
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, error %v", left, err)
	}
}

func TestErrors(t *testing.T) {
	dir := btrfstest.New(t, 128)
	top, other := open(t, dir), open(t, "/proc")
	must(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700), btrfs.Create(top, "a"))
	for name, c := range map[string]struct {
		have error
		want unix.Errno
	}{
		"no name":                     {btrfs.Create(top, ""), unix.EINVAL},
		"a long name":                 {btrfs.Create(top, string(bytes.Repeat([]byte("n"), 256))), unix.EINVAL},
		"a name that is taken":        {btrfs.Create(top, "folder"), unix.EEXIST},
		"no btrfs":                    {btrfs.Create(other, "a"), unix.ENOTTY},
		"a snapshot of nothing":       {btrfs.Snapshot(top, "b", open(t, filepath.Join(dir, "folder"))), unix.EINVAL},
		"a snapshot of no btrfs":      {btrfs.Snapshot(top, "b", other), unix.EXDEV},
		"deleting what is not there":  {btrfs.Destroy(top, "none"), unix.ENOENT},
		"deleting a folder":           {btrfs.Destroy(top, "folder"), unix.EINVAL},
		"marking a folder":            {btrfs.SetReadOnly(open(t, filepath.Join(dir, "folder")), true), unix.EINVAL},
		"smaller than what is in use": {btrfs.Resize(top, 1<<20), unix.EINVAL},
	} {
		if !errors.Is(c.have, c.want) {
			t.Errorf("%s: error %v, want %v", name, c.have, c.want)
		}
	}
}

func TestSameExtents(t *testing.T) {
	dir := btrfstest.New(t, 128)
	data := make([]byte, 300_000)
	rand.NewChaCha8([32]byte{}).Read(data)
	name := func(n string) string { return filepath.Join(dir, n) }
	clone := func(from, to string) {
		f, err := os.Create(name(to))
		must(t, err, unix.IoctlFileClone(int(f.Fd()), int(open(t, name(from)).Fd())), f.Close())
	}
	must(t, os.WriteFile(name("large"), data, 0o600), os.WriteFile(name("copy"), data, 0o600), os.WriteFile(name("small"), data[:100], 0o600),
		os.WriteFile(name("empty"), nil, 0o600), os.WriteFile(name("holes"), nil, 0o600))
	holes, err := os.OpenFile(name("holes"), os.O_WRONLY, 0)
	must(t, err)
	for i := range int64(200) { // more extents than are asked for at once
		_, err := holes.WriteAt(data[i*1000:][:1000], i<<14)
		must(t, err)
	}
	must(t, holes.Close())
	for _, n := range []string{"large", "small", "empty", "holes"} {
		clone(n, n+" clone")
	}
	clone("large", "changed")
	changed, err := os.OpenFile(name("changed"), os.O_WRONLY, 0)
	must(t, err)
	_, err = changed.WriteAt([]byte{data[200_000] ^ 1}, 200_000)
	must(t, err, changed.Close())
	clone("holes", "changed holes")
	last, err := os.OpenFile(name("changed holes"), os.O_WRONLY, 0)
	must(t, err)
	_, err = last.WriteAt([]byte("x"), 199<<14)
	must(t, err, last.Close())
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"large", "large clone", true},
		{"holes", "holes clone", true},
		{"large", "copy", false},
		{"large", "changed", false},
		{"holes", "changed holes", false},
		{"small", "small clone", false}, // it has no block
		{"empty", "empty clone", false},
	} {
		if have := btrfs.SameExtents(open(t, name(c.a)), open(t, name(c.b))); have != c.want {
			t.Errorf("%s and %s are the same: %v", c.a, c.b, have)
		}
	}
	if btrfs.SameExtents(open(t, "/proc/self/stat"), open(t, "/proc/self/stat")) {
		t.Error("files without extents are the same")
	}
}

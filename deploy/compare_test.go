package deploy

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/tree"
)

// exampleFolder makes a folder with something of each kind, and the text of its tree.
func exampleFolder(t *testing.T) (dir string, text []byte) {
	t.Helper()
	dir = t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	old := time.Unix(1_000_000, 0)
	if err := errors.Join(
		os.MkdirAll(in("d/sub/deep"), 0o755),
		os.WriteFile(in("d/sub/deep/file"), []byte(strings.Repeat("content", 30)), 0o755),
		os.WriteFile(in("d/file"), []byte(strings.Repeat("content", 3000)), 0o644),
		os.Link(in("d/file"), in("d/link")),
		os.WriteFile(in("inline"), []byte("inline"), 0o644),
		os.WriteFile(in("empty"), nil, 0o644),
		os.Symlink("inline", in("symlink")),
		unix.Setxattr(in("inline"), "user.name", []byte("value"), 0),
		os.Chtimes(in("d/file"), old, old),
		os.Chtimes(in("d"), old, old),
	); err != nil {
		t.Fatal(err)
	}
	rules := tree.OSRules()
	rules.KeepTimes = true
	var b bytes.Buffer
	if _, err := tree.Scan(t.Context(), dir, rules, &b); err != nil {
		t.Fatal(err)
	}
	return dir, b.Bytes()
}

func compare(ctx context.Context, t *testing.T, dir string, text []byte, known Known) (all []Difference, err error) {
	t.Helper()
	root, err := beneath.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for d, err := range Compare(ctx, root, tree.Decode(bytes.NewReader(text)), known) {
		if err != nil {
			return all, err
		}
		all = append(all, d)
	}
	return all, nil
}

// flip changes a bit of a file and keeps its time.
func flip(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 1
	return errors.Join(os.WriteFile(name, data, 0), os.Chtimes(name, info.ModTime(), info.ModTime()))
}

// keep changes something in a folder and keeps the folder's time.
func keep(name string, change func() error) error {
	info, err := os.Stat(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(change(), os.Chtimes(filepath.Dir(name), info.ModTime(), info.ModTime()))
}

// what can be done to a folder, and what Compare finds then
var changes = map[string]struct {
	change func(in func(string) string) error
	want   []Difference
}{
	"nothing":       {func(in func(string) string) error { return nil }, nil},
	"write bit off": {func(in func(string) string) error { return os.Chmod(in("d/file"), 0o444) }, nil},
	"a bit": {func(in func(string) string) error { return flip(in("d/sub/deep/file")) },
		[]Difference{{"/d/sub/deep/file", "has other content"}}},
	"a bit of a file with two names": {func(in func(string) string) error { return flip(in("d/file")) },
		[]Difference{{"/d/file", "has other content"}, {"/d/link", "has other content"}}},
	"a bit of an inline file": {func(in func(string) string) error { return flip(in("inline")) },
		[]Difference{{"/inline", "has other content"}}},
	"size": {func(in func(string) string) error {
		info, err := os.Stat(in("empty"))
		return errors.Join(err, os.WriteFile(in("empty"), []byte("x"), 0), os.Chtimes(in("empty"), info.ModTime(), info.ModTime()))
	}, []Difference{{"/empty", "has 1 bytes instead of 0"}}},
	"mode": {func(in func(string) string) error { return os.Chmod(in("inline"), 0o755) },
		[]Difference{{"/inline", "has mode 0555 instead of 0444"}}},
	"mode of a folder": {func(in func(string) string) error { return os.Chmod(in("d/sub"), 0o700) },
		[]Difference{{"/d/sub", "has mode 0700 instead of 0755"}}},
	"time": {func(in func(string) string) error { return os.Chtimes(in("d/file"), time.Unix(5, 0), time.Unix(5, 7)) },
		[]Difference{{"/d/file", "has the time 5.000000007 instead of 1000000.000000000"}, {"/d/link", "has the time 5.000000007 instead of 1000000.000000000"}}},
	"missing": {func(in func(string) string) error {
		return keep(in("d/link"), func() error { return os.Remove(in("d/link")) })
	}, []Difference{{"/d/link", "is missing"}}},
	"missing folder": {func(in func(string) string) error {
		return keep(in("d/sub"), func() error { return os.RemoveAll(in("d/sub")) })
	}, []Difference{{"/d/sub", "is missing"}}},
	"too many": {func(in func(string) string) error {
		return keep(in("d/x"), func() error {
			return errors.Join(os.WriteFile(in("d/a"), nil, 0o644), os.MkdirAll(in("d/h/i/j"), 0o755), os.WriteFile(in("d/z"), nil, 0o644))
		})
	}, []Difference{{"/d/a", "is not in the tree"}, {"/d/h", "is not in the tree"}, {"/d/z", "is not in the tree"}}},
	"folder for a file": {func(in func(string) string) error {
		return keep(in("inline"), func() error { return errors.Join(os.Remove(in("inline")), os.Mkdir(in("inline"), 0o755)) })
	}, []Difference{{"/inline", "is no regular file"}}},
	"symlink for a folder": {func(in func(string) string) error {
		return keep(in("d/sub"), func() error { return errors.Join(os.RemoveAll(in("d/sub")), os.Symlink("/etc", in("d/sub"))) })
	}, []Difference{{"/d/sub", "is no directory"}}},
	"fifo for a file": {func(in func(string) string) error {
		return keep(in("empty"), func() error { return errors.Join(os.Remove(in("empty")), unix.Mkfifo(in("empty"), 0o644)) })
	}, []Difference{{"/empty", "is no regular file"}}},
	"attribute lost": {func(in func(string) string) error { return unix.Removexattr(in("inline"), "user.name") },
		[]Difference{{"/inline", `lacks the attribute "user.name"`}}},
	"attribute changed": {func(in func(string) string) error { return unix.Setxattr(in("inline"), "user.name", []byte("x"), 0) },
		[]Difference{{"/inline", `has another value of the attribute "user.name"`}}},
	"attribute too many": {func(in func(string) string) error { return unix.Setxattr(in("d/sub"), "user.x", []byte("x"), 0) },
		[]Difference{{"/d/sub", `has the attribute "user.x", which is not in the tree`}}},
}

func TestCompare(t *testing.T) {
	for name, c := range changes {
		t.Run(name, func(t *testing.T) {
			dir, text := exampleFolder(t)
			if err := c.change(func(name string) string { return filepath.Join(dir, name) }); err != nil {
				t.Fatal(err)
			}
			have, err := compare(t.Context(), t, dir, text, nil)
			if diff := cmp.Diff(c.want, have); diff != "" || err != nil {
				t.Errorf("error %v, differences (-want +have):\n%s", err, diff)
			}
		})
	}
}

func TestCompareSymlinkText(t *testing.T) {
	dir, text := exampleFolder(t)
	name := filepath.Join(dir, "symlink")
	if err := errors.Join(os.Remove(name), os.Symlink("other", name)); err != nil {
		t.Fatal(err)
	}
	have, err := compare(t.Context(), t, dir, text, nil)
	found := false
	for _, d := range have { // the times differ too
		found = found || d == Difference{"/symlink", `links to "other" instead of "inline"`}
	}
	if err != nil || !found {
		t.Errorf("differences %v, error %v", have, err)
	}
}

func TestCompareStops(t *testing.T) {
	dir, text := exampleFolder(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := compare(ctx, t, dir, text, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: error %v", err)
	}
	if _, err := compare(t.Context(), t, dir, text[:len(text)-1], nil); err == nil {
		t.Error("a tree that breaks off: no error")
	}
	root, err := beneath.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	os.Remove(filepath.Join(dir, "d/link"))
	for range Compare(t.Context(), root, tree.Decode(bytes.NewReader(text)), nil) {
		break // the rest is given up
	}
}

func TestKnownContentIsNotRead(t *testing.T) {
	dir, text := exampleFolder(t)
	var asked atomic.Int32
	known := func(e *tree.Entry, d *beneath.Dir, name string, st *unix.Stat_t) bool {
		asked.Add(1)
		return true
	}
	if err := unix.Removexattr(filepath.Join(dir, "inline"), "user.name"); err != nil {
		t.Fatal(err)
	}
	if have, err := compare(t.Context(), t, dir, text, known); err != nil || len(have) > 0 || asked.Load() == 0 {
		t.Errorf("differences %v, error %v, asked %d times", have, err, asked.Load())
	}
}

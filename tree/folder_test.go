package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
)

// build makes a folder: names that end in / are directories, values that begin
// with -> are symlinks, with = hardlinks, anything else is content.
func build(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range files {
			if !yield(name) {
				return
			}
		}
	})
	for _, name := range names {
		path := filepath.Join(root, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		value := files[name]
		switch target, link := strings.CutPrefix(value, "->"); {
		case strings.HasSuffix(name, "/"):
			must(t, os.MkdirAll(path, 0o755))
		case link:
			must(t, os.Symlink(target, path))
		case strings.HasPrefix(value, "="):
			must(t, os.Link(filepath.Join(root, value[1:]), path))
		default:
			must(t, os.WriteFile(path, []byte(value), 0o644))
		}
	}
	return root
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, dir string, rules Rules) *FolderSource {
	t.Helper()
	s, err := Folder(dir, rules)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func directory(p Path) *Entry { return &Entry{Path: p, Kind: Directory, Mode: 0o755, Nlink: 1} }

func regular(p Path, content string) *Entry {
	e := &Entry{Path: p, Kind: Regular, Mode: 0o644, Nlink: 1, Size: int64(len(content)), Digest: digest.Of([]byte(content))}
	if e.Size > 0 && e.Size <= InlineMax {
		e.Inline = []byte(content)
	}
	return e
}

func symlink(p Path, target string) *Entry {
	return &Entry{Path: p, Kind: Symlink, Mode: 0o777, Nlink: 1, Size: int64(len(target)), Target: target}
}

func TestFolder(t *testing.T) {
	long := strings.Repeat("long ", 1000)
	dir := build(t, map[string]string{
		"a/b": "in a", "a-b": "between", "a/z/": "", "empty": "", "long": long,
		"link": "->a", "out": "->/etc/passwd", "up": "->../..", "loop": "->loop", "not-utf-8\xff": "x",
		"one": "twice", "two": "=one", "z/three": "=one",
	})
	must(t, os.Chmod(filepath.Join(dir, "a-b"), 0o700))
	must(t, os.Chmod(filepath.Join(dir, "a"), 0o2777|os.ModeSetgid))

	run := regular("/a-b", "between")
	run.Mode = 0o755
	first := regular("/one", "twice")
	first.Nlink = 3
	again := func(p Path) *Entry {
		return &Entry{Path: p, Kind: Hardlink, Mode: 0o644, Nlink: 3, Size: 5, Target: "/one"}
	}
	want := []*Entry{
		directory("/"), directory("/a"), regular("/a/b", "in a"), directory("/a/z"), run, regular("/empty", ""),
		symlink("/link", "a"), regular("/long", long), symlink("/loop", "loop"), regular("/not-utf-8\xff", "x"),
		first, symlink("/out", "/etc/passwd"), again("/two"), symlink("/up", "../.."), directory("/z"), again("/z/three"),
	}
	s := open(t, dir, ApplicationRules())
	have, err := collect(Hash(context.Background(), s, 3))
	must(t, err)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
	var b bytes.Buffer
	info, err := Scan(context.Background(), dir, ApplicationRules(), &b)
	must(t, err)
	if diff := cmp.Diff(infoOf(b.Bytes()), info); diff != "" {
		t.Errorf("Scan describes its text wrongly: %s", diff)
	}
	files, size, err := s.Totals(context.Background())
	if err != nil || files != info.Files || size != info.Bytes {
		t.Errorf("Totals gives %d files, %d bytes, error %v; want %d, %d", files, size, err, info.Files, info.Bytes)
	}
	if have, err := collect(Decode(&b)); err != nil || !cmp.Equal(have, want) {
		t.Errorf("decoding gives error %v, %s", err, cmp.Diff(want, have))
	}
}

// Names outside the folder do not count, and the order of names decides which of
// them is the file.
func TestFolderCountsItsOwnNames(t *testing.T) {
	dir := build(t, map[string]string{"by": "x", "in/a/later": "=by", "in/b": "=by", "in/d": "=by", "out": "=by", "in/single": "y", "out2": "=in/single"})
	have, err := collect(open(t, filepath.Join(dir, "in"), OSRules()).Entries(context.Background()))
	must(t, err)
	kinds := map[Path]string{}
	for _, e := range have {
		kinds[e.Path] = fmt.Sprint(e.Kind, " ", e.Nlink, " ", e.Target)
	}
	want := map[Path]string{
		"/": "directory 1 ", "/a": "directory 1 ", "/a/later": "regular file 3 ", "/b": "hardlink 3 /a/later",
		"/d": "hardlink 3 /a/later", "/single": "regular file 1 ",
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error(diff)
	}
}

func TestFolderNamesTheRule(t *testing.T) {
	deep := strings.Repeat("d/", 257)
	tests := []struct {
		name  string
		files map[string]string
		spoil func(dir string) error
		rules Rules
		path  Path
		rule  string
		shm   bool // needs more attributes than a disk's file system holds
	}{
		{name: "fifo", spoil: func(dir string) error { return unix.Mkfifo(dir+"/sub/pipe", 0o644) }, path: "/sub/pipe", rule: RuleSpecial},
		{name: "socket", spoil: socket, path: "/sub/socket", rule: RuleSpecial},
		{name: "newline", files: map[string]string{"a\nb": "x"}, path: "/a\nb", rule: RuleControl},
		{name: "newline in an OS tree", files: map[string]string{"a\nb": "x"}, rules: OSRules(), path: "/a\nb", rule: RuleControl},
		{name: "setuid", spoil: func(dir string) error { return os.Chmod(dir+"/sub/file", 0o755|os.ModeSetuid) }, path: "/sub/file", rule: RulePrivilege},
		{name: "sticky", spoil: func(dir string) error { return os.Chmod(dir+"/sub/file", 0o644|os.ModeSticky) }, path: "/sub/file", rule: RulePrivilege},
		{name: "world-writable", spoil: func(dir string) error { return os.Chmod(dir+"/sub/file", 0o666) }, path: "/sub/file", rule: RulePrivilege},
		{name: "deep", files: map[string]string{deep: ""}, path: Path("/" + deep[:len(deep)-1]), rule: RuleNames},
		{name: "user.overlay", spoil: xattr("user.overlay.redirect"), path: "/sub/file", rule: RuleOverlay},
		{name: "trusted", spoil: xattr("trusted.overlay.opaque"), rules: OSRules(), path: "/sub/file", rule: RuleOverlay},
		{name: "capability", spoil: xattr("security.capability"), path: "/sub/file", rule: RuleNamespaces},
		{name: "too many xattrs", spoil: func(dir string) error {
			for i := range 16 {
				if err := unix.Lsetxattr(dir+"/sub/file", fmt.Sprint("user.", i), make([]byte, 1100), 0); err != nil {
					return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
				}
			}
			return nil
		}, path: "/sub/file", rule: RuleXattrs, shm: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			files := map[string]string{"sub/file": "content"}
			for name, content := range test.files {
				files[name] = content
			}
			if test.shm {
				t.Setenv("TMPDIR", "/dev/shm")
			}
			dir := build(t, files)
			if test.spoil != nil {
				if err := test.spoil(dir); errors.Is(err, errors.ErrUnsupported) || errors.Is(err, unix.EPERM) {
					t.Skip(err)
				} else if err != nil {
					t.Fatal(err)
				}
			}
			_, err := Scan(context.Background(), dir, test.rules, io.Discard)
			var rule *RuleError
			if !errors.As(err, &rule) || rule.Rule != test.rule || rule.Path != test.path {
				t.Errorf("error %v; want rule %s for %q", err, test.rule, test.path)
			}
		})
	}
}

func socket(dir string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	here, err := os.Open(dir) // addresses are short
	if err != nil {
		return err
	}
	defer here.Close()
	return unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/sub/socket", here.Fd())})
}

// xattr sets one; where the file system has none, the test is skipped.
func xattr(name string) func(dir string) error {
	value := []byte("value")
	if name == "security.capability" {
		value = []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	}
	return func(dir string) error { return unix.Lsetxattr(dir+"/sub/file", name, value, 0) }
}

func TestFolderKeepsXattrs(t *testing.T) {
	dir := build(t, map[string]string{"sub/file": "content"})
	large := bytes.Repeat([]byte{'v'}, 2000)
	for name, value := range map[string][]byte{"user.b": nil, "user.a": []byte("x=\x00"), "user.large": large} {
		if err := unix.Lsetxattr(dir+"/sub/file", name, value, 0); err != nil {
			t.Skip("no xattrs here:", err)
		}
	}
	must(t, unix.Lsetxattr(dir+"/sub", "user.on-dir", []byte("1"), 0))
	if unix.Lsetxattr(dir+"/sub/file", "security.selinux", []byte("label"), 0) != nil {
		t.Log("no labels here")
	}
	all, err := collect(open(t, dir, ApplicationRules()).Entries(context.Background()))
	must(t, err)
	if diff := cmp.Diff([]Xattr{{"user.on-dir", []byte("1")}}, all[1].Xattrs); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Xattr{{"user.a", []byte("x=\x00")}, {"user.b", nil}, {"user.large", large}}, all[2].Xattrs); diff != "" {
		t.Error(diff)
	}
}

func TestOSFolderKeepsOwnersModesAndTimes(t *testing.T) {
	dir := build(t, map[string]string{"su": "program", "old": "x"})
	su, old := filepath.Join(dir, "su"), filepath.Join(dir, "old")
	if os.Chown(su, 123, 456) != nil {
		t.Skip("only root gives files away")
	}
	must(t, os.Chmod(su, 0o751|os.ModeSetuid))
	stamp := func(path string, sec, nsec int64) {
		ts := []unix.Timespec{{}, unix.NsecToTimespec(sec*1e9 + nsec)}
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, ts, 0))
	}
	stamp(su, 1700000000, 5)
	stamp(old, -5, 7)
	for _, keep := range []bool{false, true} {
		rules := OSRules()
		rules.KeepTimes = keep
		all, err := collect(open(t, dir, rules).Entries(context.Background()))
		must(t, err)
		want := &Entry{Path: "/su", Kind: Regular, Mode: 0o4751, UID: 123, GID: 456, Size: 7, Nlink: 1}
		if keep {
			want.Mtime = Time{1700000000, 5}
		}
		if diff := cmp.Diff(want, all[2]); diff != "" {
			t.Error(diff)
		}
		if all[1].Mtime != (Time{}) {
			t.Errorf("a time before 1970 became %v", all[1].Mtime)
		}
	}
}

// What happens between the description of a file and its reading, or meanwhile,
// is found.
func TestFolderFindsChanges(t *testing.T) {
	longAgo := []unix.Timespec{{Sec: 1}, {Sec: 1}}
	changes := map[string]func(file string) error{
		"appended": func(file string) error {
			f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("more")
			return errors.Join(err, f.Close())
		},
		"truncated": func(file string) error { return os.Truncate(file, 3) },
		"same size, other time": func(file string) error {
			return unix.UtimesNanoAt(unix.AT_FDCWD, file, longAgo, 0)
		},
		"replaced": func(file string) error {
			return errors.Join(os.WriteFile(file+".new", []byte("CONTENT"), 0o644), os.Rename(file+".new", file))
		},
		"removed": os.Remove,
	}
	before := map[string]func(file string) error{
		"a fifo":      func(file string) error { return errors.Join(os.Remove(file), unix.Mkfifo(file, 0o644)) },
		"a symlink":   func(file string) error { return errors.Join(os.Remove(file), os.Symlink("other", file)) },
		"a directory": func(file string) error { return errors.Join(os.Remove(file), os.Mkdir(file, 0o755)) },
	}
	for name, change := range changes {
		before[name] = change
		t.Run("while it is read: "+name, func(t *testing.T) { changeMeanwhile(t, change) })
	}
	for name, change := range before {
		t.Run("before it is read: "+name, func(t *testing.T) {
			dir := build(t, map[string]string{"file": "content", "other": "x"})
			s := open(t, dir, ApplicationRules())
			for e, err := range s.Entries(context.Background()) {
				must(t, err)
				if e.Path != "/file" {
					continue
				}
				must(t, change(dir+"/file"))
				_, err := s.Open(context.Background(), e)
				expectChanged(t, err, "/file")
				return
			}
		})
	}
}

func changeMeanwhile(t *testing.T, change func(file string) error) {
	dir := build(t, map[string]string{"file": "content"})
	s := open(t, dir, ApplicationRules())
	for _, toEnd := range []bool{true, false} {
		must(t, os.WriteFile(dir+"/file", []byte("content"), 0o644))
		content, err := s.Open(context.Background(), &Entry{Path: "/file", Kind: Regular})
		must(t, err)
		_, err = io.ReadFull(content, make([]byte, 4))
		must(t, err)
		must(t, change(dir+"/file"))
		if toEnd {
			_, err = io.Copy(io.Discard, content)
			expectChanged(t, err, "/file")
			must(t, content.Close())
		} else {
			expectChanged(t, content.Close(), "/file")
		}
	}
}

func expectChanged(t *testing.T, err error, p Path) {
	t.Helper()
	var changed *ChangedError
	if !errors.As(err, &changed) || changed.Path != p {
		t.Errorf("error %v; want that %q changed", err, p)
	}
}

// A directory in which names come or go while it is read is named.
func TestFolderFindsChangedDirectories(t *testing.T) {
	files := map[string]string{"z/last": "x"}
	for i := range manyNames() {
		files[fmt.Sprintf("a/%04d", i)] = "x"
	}
	last := fmt.Sprintf("/a/%04d", manyNames()-1)
	tests := map[string]struct {
		change func(dir string) error
		path   Path
	}{
		"file vanishes":      {func(dir string) error { return os.Remove(dir + last) }, Path(last)},
		"directory vanishes": {func(dir string) error { return os.RemoveAll(dir + "/z") }, "/z"},
		"directory is swapped for a symlink": {func(dir string) error {
			return errors.Join(os.RemoveAll(dir+"/z"), os.Symlink("/etc", dir+"/z"))
		}, "/z"},
		"file appears": {func(dir string) error { return os.WriteFile(dir+"/a/new", nil, 0o644) }, "/a"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := build(t, files)
			var err error
			for e, entryErr := range open(t, dir, ApplicationRules()).Entries(context.Background()) {
				if err = entryErr; err == nil && e.Path == "/a/0000" {
					must(t, test.change(dir))
				}
			}
			expectChanged(t, err, test.path)
		})
	}
}

// manyNames is more than are read ahead.
func manyNames() int { return placesAtOnce * (3*min(runtime.GOMAXPROCS(0), maxWalkers) + 2) }

func TestFolderFindsLostNames(t *testing.T) {
	dir := build(t, map[string]string{"a": "x", "b": "=a"})
	s := open(t, dir, ApplicationRules())
	_, _, err := s.Totals(context.Background())
	must(t, err)
	must(t, os.Remove(dir+"/b"))
	_, err = collect(s.Entries(context.Background()))
	expectChanged(t, err, "/a")
}

func TestFolderOpen(t *testing.T) {
	dir := build(t, map[string]string{"file": "content", "dir/": "", "link": "->file", "deep/down/file": "more"})
	must(t, unix.Mkfifo(dir+"/fifo", 0o644))
	s := open(t, dir, ApplicationRules())
	read := func(p Path) (string, error) {
		content, err := s.Open(context.Background(), &Entry{Path: p})
		if err != nil {
			return "", err
		}
		data, err := io.ReadAll(content)
		return string(data), errors.Join(err, content.Close())
	}
	if have, err := read("/deep/down/file"); have != "more" || err != nil {
		t.Errorf("content %q, error %v", have, err)
	}
	if _, err := read("/metadata"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: error %v", err)
	}
	for _, p := range []Path{"/", "/dir", "/link", "/fifo", "", "file", "/../file", "/dir/../file", "/link/x"} {
		if have, err := read(p); err == nil {
			t.Errorf("opening %q gave %q", p, have)
		}
	}
}

func TestFolderStopsWhenNobodyReads(t *testing.T) {
	files := map[string]string{}
	for i := range 2 * manyNames() {
		files[fmt.Sprintf("%04d/%04d", i/10, i)] = "x"
	}
	s := open(t, build(t, files), ApplicationRules())
	before := handles(t)
	for range s.Entries(context.Background()) {
		break
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var err error
	for _, err = range s.Entries(ctx) {
		cancel()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if after := handles(t); after != before {
		t.Errorf("%d files are open; before there were %d", after, before)
	}
}

// handles counts the open files of this process.
func handles(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(open)
}

func TestFolderMustBeOne(t *testing.T) {
	dir := build(t, map[string]string{"file": "x"})
	for path, want := range map[string]error{"/missing": fs.ErrNotExist, "/file": unix.ENOTDIR} {
		if _, err := Folder(dir+path, ApplicationRules()); !errors.Is(err, want) {
			t.Errorf("%s: error %v", path, err)
		}
	}
}

package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/digest"
)

func TestEncoderRefusesWhatDecodeWould(t *testing.T) {
	alter := func(e *Entry, change func(*Entry)) *Entry { change(e); return e }
	long := regular("/a", strings.Repeat("x", 100))
	tests := []struct {
		name    string
		entries []*Entry
		rule    string
	}{
		{"nothing", nil, RuleLines},
		{"no root", []*Entry{directory("/a")}, RuleOrder},
		{"out of order", []*Entry{directory("/"), directory("/b"), directory("/a")}, RuleOrder},
		{"twice", []*Entry{directory("/"), directory("/a"), directory("/a")}, RuleOrder},
		{"below a file", []*Entry{directory("/"), regular("/a", ""), directory("/a/b")}, RuleOrder},
		{"kind 0", []*Entry{directory("/"), {Path: "/a", Mode: 0o644, Nlink: 1}}, RuleKinds},
		{"kind 5", []*Entry{directory("/"), {Path: "/a", Kind: 5, Nlink: 1}}, RuleKinds},
		{"type bits in the mode", []*Entry{alter(directory("/"), func(e *Entry) { e.Mode = 0o40755 })}, RuleNumbers},
		{"time", []*Entry{alter(directory("/"), func(e *Entry) { e.Mtime.Nsec = 1e9 })}, RuleNumbers},
		{"owner", []*Entry{alter(directory("/"), func(e *Entry) { e.UID = 1<<32 - 1 })}, RuleNumbers},
		{"negative size", []*Entry{directory("/"), alter(regular("/a", ""), func(e *Entry) { e.Size = -1 })}, RuleNumbers},
		{"size of a directory", []*Entry{alter(directory("/"), func(e *Entry) { e.Size = 4096 })}, RuleDirectory},
		{"digest of a directory", []*Entry{alter(directory("/"), func(e *Entry) { e.Digest = long.Digest })}, RuleKinds},
		{"content that was not read", []*Entry{directory("/"), alter(regular("/a", "x"), func(e *Entry) { e.Inline = nil })}, RuleRegular},
		{"digest that was not computed", []*Entry{directory("/"), {Path: "/a", Kind: Regular, Mode: 0o644, Nlink: 1, Size: 65}}, RuleRegular},
		{"inline and by digest", []*Entry{directory("/"), alter(long, func(e *Entry) { e.Inline = []byte("x") })}, RuleRegular},
		{"target of a file", []*Entry{directory("/"), alter(regular("/a", ""), func(e *Entry) { e.Target = "x" })}, RuleRegular},
		{"symlink mode", []*Entry{directory("/"), alter(symlink("/a", "b"), func(e *Entry) { e.Mode = 0o755 })}, RuleSymlink},
		{"name missing", []*Entry{directory("/"), alter(regular("/a", ""), func(e *Entry) { e.Nlink = 2 })}, RuleHardlink},
		{"xattr twice", []*Entry{alter(directory("/"), func(e *Entry) { e.Xattrs = []Xattr{{"user.a", nil}, {"user.a", nil}} })}, RuleXattrs},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			enc := NewEncoder(io.Discard)
			var err error
			for _, e := range test.entries {
				err = errors.Join(err, enc.Write(e))
			}
			err = errors.Join(err, enc.Close())
			var rule *RuleError
			if !errors.As(err, &rule) || rule.Rule != test.rule {
				t.Errorf("error %v; want rule %s", err, test.rule)
			}
			if enc.Info() != (Info{}) {
				t.Errorf("a text that is of no use is described: %v", enc.Info())
			}
		})
	}
}

func TestEncoderReportsTheWriter(t *testing.T) {
	full := errors.New("disk full")
	enc := NewEncoder(writerFunc(func([]byte) (int, error) { return 0, full }))
	var err error
	for _, e := range entries(2000) {
		if err = enc.Write(e); err != nil {
			break
		}
	}
	if !errors.Is(err, full) || !errors.Is(enc.Close(), full) {
		t.Errorf("errors %v, %v", err, enc.Close())
	}
}

type writerFunc func([]byte) (int, error)

func (w writerFunc) Write(p []byte) (int, error) { return w(p) }

func TestVerified(t *testing.T) {
	whole := text(t, sample())
	right := infoOf(whole)
	tests := map[string]struct {
		change func(*Info)
		want   error
	}{
		"right":             {func(*Info) {}, nil},
		"other digest":      {func(i *Info) { i.Digest[0]++ }, digest.ErrMismatch},
		"larger":            {func(i *Info) { i.Size++ }, digest.ErrMismatch},
		"smaller":           {func(i *Info) { i.Size-- }, digest.ErrMismatch},
		"more entries":      {func(i *Info) { i.Entries++ }, ErrFormat},
		"fewer entries":     {func(i *Info) { i.Entries-- }, ErrFormat},
		"more files":        {func(i *Info) { i.Files++ }, ErrFormat},
		"fewer bytes":       {func(i *Info) { i.Bytes-- }, ErrFormat},
		"nothing is wanted": {func(i *Info) { *i = Info{} }, digest.ErrMismatch},
	}
	for name, test := range tests {
		info := right
		test.change(&info)
		if _, err := collect(Verified(bytes.NewReader(whole), info)); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v; want %v", name, err, test.want)
		}
	}
}

// The order of paths is that of walking a tree.
func TestCompare(t *testing.T) {
	want := []Path{"/", "/A", "/a", "/a/\x01", "/a/b", "/a/b/c", "/a/b.c", "/a/bb", "/a\x01", "/a-b", "/a.b", "/a.b/c", "/aa", "/b", "/\xff"}
	have := slices.Clone(want)
	seed := rand.Uint64()
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(have), func(i, j int) { have[i], have[j] = have[j], have[i] })
	slices.SortFunc(have, Path.Compare)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("seed %d: %s", seed, diff)
	}
	if Path("/a/b").Compare("/a/b") != 0 {
		t.Error("a path is not equal to itself")
	}
}

func TestPath(t *testing.T) {
	tests := []struct {
		path, parent Path
		base         string
	}{{"/", "/", ""}, {"/a", "/", "a"}, {"/a/b", "/a", "b"}, {"/a/b/c d", "/a/b", "c d"}}
	for _, test := range tests {
		if test.path.Parent() != test.parent || test.path.Base() != test.base {
			t.Errorf("%q: parent %q, base %q", test.path, test.path.Parent(), test.path.Base())
		}
		if test.base != "" && test.parent.Join(test.base) != test.path {
			t.Errorf("%q joined with %q is %q", test.parent, test.base, test.parent.Join(test.base))
		}
		if test.path.Within(test.path) || test.base != "" && !test.path.Within(test.parent) || !Path("/a/b/c d/e").Within(test.path) {
			t.Errorf("%q: wrong idea of what is within what", test.path)
		}
	}
	if Path("/ab").Within("/a") || Path("/").Within("/a") {
		t.Error("a longer name is not within a shorter one")
	}
}

func TestFold(t *testing.T) {
	mime := Xattr{"user.mime_type", []byte("text/plain")}
	tests := []struct {
		name  string
		rules Rules
		entry Entry
		want  Entry
	}{
		{"file", Rules{}, Entry{Kind: Regular, Mode: 0o640, UID: 5, GID: 6, Mtime: Time{7, 8}}, Entry{Kind: Regular, Mode: 0o644}},
		{"program", Rules{}, Entry{Kind: Regular, Mode: 0o510}, Entry{Kind: Regular, Mode: 0o755}},
		{"unreadable", Rules{}, Entry{Kind: Regular}, Entry{Kind: Regular, Mode: 0o644}},
		{"group-writable", Rules{}, Entry{Kind: Regular, Mode: 0o664}, Entry{Kind: Regular, Mode: 0o644}},
		{"setuid stays, to be refused", Rules{}, Entry{Kind: Regular, Mode: 0o4755}, Entry{Kind: Regular, Mode: 0o4755}},
		{"directory", Rules{}, Entry{Kind: Directory, Mode: 0o3777}, Entry{Kind: Directory, Mode: 0o755}},
		{"symlink", Rules{}, Entry{Kind: Symlink, Mode: 0o777, UID: 1}, Entry{Kind: Symlink, Mode: 0o777}},
		{"times are kept", Rules{KeepTimes: true}, Entry{Kind: Directory, Mode: 0o755, Mtime: Time{7, 8}}, Entry{Kind: Directory, Mode: 0o755, Mtime: Time{7, 8}}},
		{"too late a time", Rules{KeepTimes: true}, Entry{Kind: Directory, Mode: 0o755, Mtime: Time{1 << 40, 8}}, Entry{Kind: Directory, Mode: 0o755, Mtime: Time{Sec: MaxTime}}},
		{"OS", OSRules(), Entry{Kind: Regular, Mode: 0o4751, UID: 5, GID: 6, Mtime: Time{7, 8}}, Entry{Kind: Regular, Mode: 0o4751, UID: 5, GID: 6}},
		{
			"labels", OSRules(),
			Entry{Kind: Directory, Xattrs: []Xattr{{"btrfs.compression", []byte("zstd")}, {"security.selinux", nil}, mime}},
			Entry{Kind: Directory, Xattrs: []Xattr{mime}},
		},
		{"only labels", OSRules(), Entry{Kind: Directory, Xattrs: []Xattr{{"security.selinux", nil}}}, Entry{Kind: Directory}},
	}
	for _, test := range tests {
		have := test.entry
		test.rules.Fold(&have)
		if diff := cmp.Diff(test.want, have); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

func TestRuleErrorSaysEverything(t *testing.T) {
	err := &RuleError{Line: 3, Path: "/a\nb", Rule: RuleControl, Problem: "a control byte in the name", Fix: "rename it"}
	want := `line 3 of the tree: "/a\nb": a control byte in the name (rule R1 of spec/2-tree.md); rename it`
	if err.Error() != want || errors.Is(err, ErrFormat) {
		t.Errorf("have %s", err)
	}
	long := &RuleError{Path: Path(strings.Repeat("/a", 1000)), Rule: RuleNames, Problem: "x"}
	if len(long.Error()) > 500 || !errors.Is(long, ErrFormat) {
		t.Errorf("%d bytes: %v", len(long.Error()), long)
	}
}

func sequenceOf(all ...*Entry) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func TestDiff(t *testing.T) {
	run := regular("/a/run", "x")
	run.Mode = 0o755
	tagged := regular("/a/run", "x")
	tagged.Xattrs = []Xattr{{"user.a", nil}}
	same := regular("/same", "x")
	same.Xattrs = []Xattr{{"user.a", []byte("b")}}
	old := []*Entry{directory("/"), directory("/a"), regular("/a/gone", "x"), regular("/a/run", "x"), same, symlink("/to", "a")}
	tests := map[string]struct {
		new  []*Entry
		want []string
	}{
		"the same":     {old, nil},
		"nothing":      {nil, []string{"-/", "-/a", "-/a/gone", "-/a/run", "-/same", "-/to"}},
		"mode, target": {[]*Entry{old[0], old[1], old[2], run, old[4], symlink("/to", "b")}, []string{"~/a/run", "~/to"}},
		"xattr, added": {[]*Entry{old[0], old[1], regular("/a/added", ""), old[2], tagged, directory("/a-b"), old[4], old[5]}, []string{"+/a/added", "~/a/run", "+/a-b"}},
		"content":      {[]*Entry{old[0], old[1], regular("/a/gone", "y"), old[3], old[4], old[5]}, []string{"~/a/gone"}},
		"kind":         {[]*Entry{old[0], regular("/a", "x"), old[4], old[5]}, []string{"~/a", "-/a/gone", "-/a/run"}},
	}
	for name, test := range tests {
		var have []string
		for c, err := range Diff(sequenceOf(old...), sequenceOf(test.new...)) {
			must(t, err)
			sign := "~"
			if c.Old == nil {
				sign = "+"
			} else if c.New == nil {
				sign = "-"
			}
			have = append(have, sign+string(c.Path()))
		}
		if diff := cmp.Diff(test.want, have); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestDiffReportsBothSides(t *testing.T) {
	broken := errors.New("broken")
	failing := func(yield func(*Entry, error) bool) {
		if yield(directory("/"), nil) {
			yield(nil, broken)
		}
	}
	for _, sides := range [][2]iter.Seq2[*Entry, error]{{failing, sequenceOf(directory("/"))}, {sequenceOf(directory("/"), directory("/a")), failing}} {
		var last error
		for _, err := range Diff(sides[0], sides[1]) {
			last = err
		}
		if !errors.Is(last, broken) {
			t.Errorf("error %v", last)
		}
	}
	for range Diff(sequenceOf(directory("/")), sequenceOf()) {
		break // the goroutines of both sides end
	}
}

// contents is a Source in memory; what it declares may be wrong.
type contents struct {
	entries []*Entry
	data    map[Path]string
}

func (c contents) Entries(context.Context) iter.Seq2[*Entry, error] { return sequenceOf(c.entries...) }

func (c contents) Open(_ context.Context, e *Entry) (io.ReadCloser, error) {
	data, found := c.data[e.Path]
	if !found {
		return nil, fs.ErrNotExist
	}
	if data == "broken" {
		return io.NopCloser(iotest.ErrReader(io.ErrClosedPipe)), nil
	}
	return io.NopCloser(strings.NewReader(data)), nil
}

func (c contents) Totals(context.Context) (files, bytes int64, err error) { return 0, 0, nil }

func TestHash(t *testing.T) {
	long := strings.Repeat("0123456789", 50000)
	data := map[Path]string{"/0": "", "/1": "x", "/64": long[:64], "/65": long[:65], "/long": long}
	source := contents{entries: []*Entry{directory("/")}, data: data}
	want := []*Entry{directory("/")}
	for _, p := range slices.Sorted(maps.Keys(data)) {
		e := regular(p, data[p])
		want = append(want, e)
		source.entries = append(source.entries, &Entry{Path: p, Kind: Regular, Mode: 0o644, Nlink: 1, Size: e.Size})
	}
	have, err := collect(Hash(context.Background(), source, 4))
	must(t, err)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
	for declared, actual := range map[int64]string{0: "x", 1: "", 5: "xxxxxx", 64: long[:65], 65: long[:64], 300000: long[:299999]} {
		e := &Entry{Path: "/a", Kind: Regular, Size: declared}
		_, err := collect(Hash(context.Background(), contents{[]*Entry{e}, map[Path]string{"/a": actual}}, 1))
		expectChanged(t, err, "/a")
	}
	for _, size := range []int64{3, 100} {
		e := &Entry{Path: "/a", Kind: Regular, Size: size}
		_, err = collect(Hash(context.Background(), contents{[]*Entry{e}, map[Path]string{"/a": "broken"}}, 1))
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("error %v", err)
		}
	}
}

// A tree of 400,000 files goes through in a few MiB, and so does one that says
// that most of its files have names which never come.
func TestMemoryIsBounded(t *testing.T) {
	const files, limit = 400_000, 64 << 20
	for name, nlink := range map[string]uint32{"files": 1, "hardlinks": 2} {
		r, w := io.Pipe()
		go func() { w.CloseWithError(writeMany(w, files, nlink)) }()
		var peak uint64
		var last error
		n := 0
		for _, err := range Decode(r) {
			last = err
			if n++; n%50_000 == 0 {
				peak = max(peak, live())
			}
		}
		r.Close()
		if nlink == 1 && (last != nil || n != files+1) {
			t.Errorf("%s: %d entries, error %v", name, n, last)
		}
		if rule := (*RuleError)(nil); nlink > 1 && (!errors.As(last, &rule) || rule.Rule != RuleTotals) {
			t.Errorf("%s: error %v; want rule %s", name, last, RuleTotals)
		}
		if peak > limit {
			t.Errorf("%s: %d MiB are in use", name, peak>>20)
		}
	}
}

func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// writeMany writes the lines of many empty files by hand: an Encoder has the
// limits that are to be tested.
func writeMany(w io.Writer, files int, nlink uint32) error {
	buffer := bytes.NewBufferString("/ 0 40755 1 0 0 0 0.0 - - -\n")
	for i := range files {
		fmt.Fprintf(buffer, "/a-name-of-some-length-%08d 0 100644 %d 0 0 0 0.0 - - -\n", i, nlink)
		if buffer.Len() > 60000 {
			if _, err := buffer.WriteTo(w); err != nil {
				return err
			}
		}
	}
	_, err := buffer.WriteTo(w)
	return err
}

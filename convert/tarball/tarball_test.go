package tarball

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/tree"
)

// member is a name in an archive that a test makes.
type member struct {
	tar.Header
	content string
}

func file(name, content string) member {
	return member{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o640, Uid: 1000, Gid: 1000, ModTime: time.Unix(1700000000, 0)}, content}
}

func folder(name string) member {
	return member{tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o700}, ""}
}

func alias(kind byte, name, target string) member {
	return member{tar.Header{Typeflag: kind, Name: name, Linkname: target, Mode: 0o777}, ""}
}

func archive(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		m.Size = int64(len(m.content))
		must(t, w.WriteHeader(&m.Header))
		_, err := io.WriteString(w, m.content)
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func save(t testing.TB, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "archive")
	must(t, os.WriteFile(name, data, 0o644))
	return name
}

// load opens an archive, reads it all, and has it encoded as a tree.
func load(name string, rules tree.Rules) (all []*tree.Entry, err error) {
	s, err := Open(name, rules)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	enc := tree.NewEncoder(io.Discard)
	for e, err := range tree.Hash(context.Background(), s, 2) {
		if err == nil {
			err = enc.Write(e)
		}
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	if err := enc.Close(); err != nil {
		return all, err
	}
	files, size, err := s.Totals(context.Background())
	if info := enc.Info(); err != nil || files != info.Files || size != info.Bytes {
		return all, fmt.Errorf("totals are %d files, %d bytes, error %v; the tree has %d, %d", files, size, err, info.Files, info.Bytes)
	}
	return all, nil
}

func directory(p tree.Path) *tree.Entry {
	return &tree.Entry{Path: p, Kind: tree.Directory, Mode: 0o755, Nlink: 1}
}

func regular(p tree.Path, content string) *tree.Entry {
	e := &tree.Entry{Path: p, Kind: tree.Regular, Mode: 0o644, Nlink: 1, Size: int64(len(content)), Digest: digest.Of([]byte(content))}
	if e.Size > 0 && e.Size <= tree.InlineMax {
		e.Inline = []byte(content)
	}
	return e
}

func symlink(p tree.Path, target string) *tree.Entry {
	return &tree.Entry{Path: p, Kind: tree.Symlink, Mode: 0o777, Nlink: 1, Size: int64(len(target)), Target: target}
}

func linked(e *tree.Entry, n uint32) *tree.Entry { e.Nlink = n; return e }

func hardlink(p, target tree.Path, size int64, n uint32) *tree.Entry {
	return &tree.Entry{Path: p, Kind: tree.Hardlink, Mode: 0o644, Nlink: n, Size: size, Target: string(target)}
}

func TestArchives(t *testing.T) {
	long := strings.Repeat("0123456789", 1000)
	tagged := file("a", "x")
	tagged.PAXRecords = map[string]string{paxXattr + "user.b": "2\x01=", paxXattr + "user.a": "", paxXattr + "security.selinux": "label"}
	wantTagged := regular("/a", "x")
	wantTagged.Xattrs = []tree.Xattr{{Name: "user.a"}, {Name: "user.b", Value: []byte("2\x01=")}}
	deep := strings.Repeat("d/", 120) + "file"
	wantDeep := []*tree.Entry{directory("/")}
	for i := 2; i <= 240; i += 2 {
		wantDeep = append(wantDeep, directory(tree.Path("/"+deep[:i-1])))
	}
	global := member{tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "abc"}}, ""}
	tests := []struct {
		name    string
		members []member
		want    []*tree.Entry
	}{
		{"empty", nil, []*tree.Entry{directory("/")}},
		{"the way tar -C makes it", []member{folder("./"), folder("./b/"), file("./b/x", "x"), file("./a", "a")},
			[]*tree.Entry{directory("/"), regular("/a", "a"), directory("/b"), regular("/b/x", "x")}},
		{"any order, parents missing", []member{file("z", "z"), file("b/c/d", "d"), file("b-", long), alias(tar.TypeSymlink, "b/a", "../z")},
			[]*tree.Entry{directory("/"), directory("/b"), symlink("/b/a", "../z"), directory("/b/c"), regular("/b/c/d", "d"), regular("/b-", long), regular("/z", "z")}},
		{"git archive's global header", []member{global, file("a", "a")}, []*tree.Entry{directory("/"), regular("/a", "a")}},
		{"directory again", []member{folder("a"), file("a/b", "b"), folder("a")}, []*tree.Entry{directory("/"), directory("/a"), regular("/a/b", "b")}},
		{"hardlinks, the first name later in the archive",
			[]member{file("m", "twice"), alias(tar.TypeLink, "z", "m"), alias(tar.TypeLink, "a", "./z"), file("other", "twice")},
			[]*tree.Entry{directory("/"), linked(regular("/a", "twice"), 3), hardlink("/m", "/a", 5, 3), regular("/other", "twice"), hardlink("/z", "/a", 5, 3)}},
		{"hardlink to a symlink", []member{alias(tar.TypeSymlink, "s", "x"), alias(tar.TypeLink, "t", "s")},
			[]*tree.Entry{directory("/"), symlink("/s", "x"), symlink("/t", "x")}},
		{"xattrs", []member{tagged}, []*tree.Entry{directory("/"), wantTagged}},
		{"long names", []member{file(deep, "x"), file("n"+strings.Repeat("0", 200), "y")},
			append(wantDeep, regular(tree.Path("/"+deep), "x"), regular(tree.Path("/n"+strings.Repeat("0", 200)), "y"))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data := archive(t, test.members...)
			for form, compress := range forms {
				have, err := load(save(t, compress(t, data)), tree.ApplicationRules())
				must(t, err)
				if diff := cmp.Diff(test.want, have); diff != "" {
					t.Errorf("%s: %s", form, diff)
				}
			}
		})
	}
}

// forms are the ways in which an archive may be stored.
var forms = map[string]func(t testing.TB, data []byte) []byte{
	"tar":     func(_ testing.TB, data []byte) []byte { return data },
	"tar.gz":  gzipped,
	"tar.zst": zstandard,
}

func gzipped(t testing.TB, data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	must(t, errors.Join(err, w.Close()))
	return b.Bytes()
}

func zstandard(t testing.TB, data []byte) []byte {
	w, err := zstd.NewWriter(nil)
	must(t, err)
	return w.EncodeAll(data, nil)
}

func TestRefused(t *testing.T) {
	privileged := file("su", "x")
	privileged.Mode = 0o4755
	owner := file("a", "x")
	asIs := uint32(math.MaxUint32)
	owner.Uid = int(asIs) // where an int has 32 bits: -1
	negative := file("a", "x")
	negative.Uid, negative.Format = -1, tar.FormatGNU
	acl := file("a", "x")
	acl.PAXRecords = map[string]string{paxACL + "access": "user::rw-"}
	tests := []struct {
		name    string
		rules   tree.Rules
		members []member
		rule    string
	}{
		{"..", tree.Rules{}, []member{file("../x", "x")}, tree.RuleNames},
		{".. inside", tree.Rules{}, []member{file("a/../../x", "x")}, tree.RuleNames},
		{"absolute", tree.Rules{}, []member{file("/etc/passwd", "x")}, tree.RuleNames},
		{"dot and absolute", tree.Rules{}, []member{file(".//etc/passwd", "x")}, tree.RuleNames},
		{"the machine's root", tree.Rules{}, []member{folder("/")}, tree.RuleNames},
		{"empty name inside", tree.Rules{}, []member{file("a//b", "x")}, tree.RuleNames},
		{"long name", tree.Rules{}, []member{file(strings.Repeat("n", 256), "x")}, tree.RuleNames},
		{"deep", tree.Rules{}, []member{file(strings.Repeat("d/", 256)+"x", "x")}, tree.RuleNames},
		{"newline", tree.Rules{}, []member{file("a\nb", "x")}, tree.RuleControl},
		{"twice", tree.Rules{}, []member{file("a", "x"), file("a", "y")}, tree.RuleOrder},
		{"twice, spelt otherwise", tree.Rules{}, []member{file("a", "x"), file("./a", "x")}, tree.RuleOrder},
		{"symlink, then a file through it", tree.Rules{}, []member{alias(tar.TypeSymlink, "d", "/etc"), file("d/passwd", "x")}, tree.RuleOrder},
		{"directory and symlink", tree.Rules{}, []member{folder("d"), alias(tar.TypeSymlink, "d", "/etc")}, tree.RuleOrder},
		{"below a file", tree.Rules{}, []member{file("a/b/c", "x"), file("a", "x")}, tree.RuleOrder},
		{"root is a symlink", tree.Rules{}, []member{alias(tar.TypeSymlink, ".", "/etc")}, tree.RuleOrder},
		{"fifo", tree.OSRules(), []member{alias(tar.TypeFifo, "a", "")}, tree.RuleSpecial},
		{"device", tree.OSRules(), []member{alias(tar.TypeChar, "a", "")}, tree.RuleSpecial},
		{"setuid", tree.Rules{}, []member{privileged}, tree.RulePrivilege},
		{"owner -1", tree.OSRules(), []member{negative}, tree.RuleNumbers},
		{"owner 2^32-1", tree.OSRules(), []member{owner}, tree.RuleNumbers},
		{"access list", tree.OSRules(), []member{acl}, tree.RuleNamespaces},
		{"empty symlink", tree.Rules{}, []member{alias(tar.TypeSymlink, "a", "")}, tree.RuleSymlink},
		{"hardlink out", tree.Rules{}, []member{alias(tar.TypeLink, "a", "/etc/passwd")}, tree.RuleNames},
		{"hardlink to nothing", tree.Rules{}, []member{alias(tar.TypeLink, "a", "b")}, tree.RuleHardlink},
		{"hardlink to itself", tree.Rules{}, []member{alias(tar.TypeLink, "a", "a")}, tree.RuleHardlink},
		{"hardlink forward", tree.Rules{}, []member{alias(tar.TypeLink, "a", "b"), file("b", "x")}, tree.RuleHardlink},
		{"hardlinks in a circle", tree.Rules{}, []member{alias(tar.TypeLink, "a", "b"), alias(tar.TypeLink, "b", "a")}, tree.RuleHardlink},
		{"hardlink to a directory", tree.Rules{}, []member{folder("a"), alias(tar.TypeLink, "b", "a")}, tree.RuleHardlink},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := Open(save(t, archive(t, test.members...)), test.rules)
			var rule *tree.RuleError
			if !errors.As(err, &rule) || rule.Rule != test.rule {
				t.Errorf("error %v; want rule %s", err, test.rule)
			}
			if err == nil {
				must(t, s.Close())
			}
		})
	}
}

func TestNoArchive(t *testing.T) {
	data := archive(t, file("a", strings.Repeat("x", 2000)))
	zst := zstandard(t, data)
	sparse := bytes.Clone(data)
	copy(sparse[156:], "S")
	tests := map[string]struct {
		data []byte
		want error
	}{
		"empty":                     {nil, io.ErrUnexpectedEOF},
		"garbage":                   {bytes.Repeat([]byte("garbage "), 200), ErrFormat},
		"cut in the content":        {data[:1500], io.ErrUnexpectedEOF},
		"cut in a header":           {data[:300], io.ErrUnexpectedEOF},
		"cut before the end mark":   {data[:512+2048], io.ErrUnexpectedEOF},
		"gzip, cut":                 {gzipped(t, data)[:60], io.ErrUnexpectedEOF},
		"gzip, garbage behind":      {append(gzipped(t, data), "garbage behind the end"...), ErrFormat},
		"gzip, header alone":        {[]byte("\x1f\x8b"), ErrFormat},
		"zstd, cut":                 {zst[:len(zst)-8], io.ErrUnexpectedEOF},
		"zstd, garbage behind":      {append(bytes.Clone(zst), "garbage"...), ErrFormat},
		"xz":                        {[]byte("\xfd7zXZ\x00\x00\x04"), ErrFormat},
		"bzip2":                     {[]byte("BZh91AY&SY"), ErrFormat},
		"zip":                       {[]byte("PK\x03\x04...."), ErrFormat},
		"gzip of no archive":        {gzipped(t, bytes.Repeat([]byte("x"), 3000)), ErrFormat},
		"header with a bad sum":     {append([]byte("b"), data[1:]...), ErrFormat},
		"GNU sparse, bad sum at it": {sparse, ErrFormat},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Open(save(t, test.data), tree.OSRules()); !errors.Is(err, test.want) {
				t.Errorf("error %v; want %v", err, test.want)
			}
		})
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	must(t, unix.Mkfifo(fifo, 0o644))
	if _, err := Open(fifo, tree.Rules{}); !errors.Is(err, ErrFormat) {
		t.Errorf("a fifo: error %v", err)
	}
	if _, err := Open(fifo+"-missing", tree.Rules{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: error %v", err)
	}
}

// Names are in the order of their paths, and find their way back.
func TestName(t *testing.T) {
	paths := []tree.Path{"/", "/A", "/a", "/a/b", "/a/b/c", "/a/b/c/d", "/a/b.c", "/a/bb/c", "/a-b", "/a-b/c", "/a.b", "/aa/b", "/b"}
	for _, p := range paths {
		if nameOf(p).path() != p || nameOf(p) != nameOf(tree.Path(strings.Clone(string(p)))) {
			t.Errorf("%q becomes %q", p, nameOf(p).path())
		}
		for _, q := range paths {
			if have, want := nameOf(p).compare(nameOf(q)), p.Compare(q); (have < 0) != (want < 0) || (have > 0) != (want > 0) {
				t.Errorf("%q and %q compare as %d; want %d", p, q, have, want)
			}
		}
	}
}

// A file that declares 8 EiB, or holes, costs nothing but an error.
func TestSparse(t *testing.T) {
	data := archive(t, file("a", "x"))
	pax := func(records string) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		must(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "PaxHeaders/x", Size: int64(len(records)), Mode: 0o644}))
		_, err := io.WriteString(w, records)
		must(t, errors.Join(err, w.Flush()))
		raw := b.Bytes()
		raw[156] = tar.TypeXHeader
		sum(raw[:512])
		return append(raw, data...)
	}
	for records, want := range map[string]error{
		"28 size=9223372036854775807\n": io.ErrUnexpectedEOF,
		"22 GNU.sparse.major=0\n22 GNU.sparse.minor=1\n26 GNU.sparse.numblocks=1\n23 GNU.sparse.map=0,1\n32 GNU.sparse.size=1099511627776\n": ErrFormat,
	} {
		if _, err := Open(save(t, pax(records)), tree.Rules{}); !errors.Is(err, want) {
			t.Errorf("%s: error %v; want %v", records, err, want)
		}
	}
}

// sum sets the checksum of a header.
func sum(header []byte) {
	copy(header[148:156], "        ")
	n := 0
	for _, c := range header {
		n += int(c)
	}
	copy(header[148:156], fmt.Sprintf("%06o\x00 ", n))
}

func TestOpenContent(t *testing.T) {
	name := save(t, archive(t, file("a", "content"), folder("d"), alias(tar.TypeSymlink, "s", "a")))
	s, err := Open(name, tree.Rules{})
	must(t, err)
	defer s.Close()
	for p, want := range map[tree.Path]error{"/missing": fs.ErrNotExist, "/d": errNotFile, "/s": errNotFile, "/": fs.ErrNotExist, "": fs.ErrNotExist} {
		if _, err := s.Open(context.Background(), &tree.Entry{Path: p}); !errors.Is(err, want) {
			t.Errorf("%q: error %v; want %v", p, err, want)
		}
	}
	content, err := s.Open(context.Background(), &tree.Entry{Path: "/a"})
	must(t, err)
	must(t, os.Truncate(name, 700))
	var changed *tree.ChangedError
	if err := content.Close(); !errors.As(err, &changed) || changed.Path != "/a" {
		t.Errorf("the archive was cut while it was read: error %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, err := range s.Entries(ctx) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
}

// A flipped byte anywhere gives an error or some tree, never a panic; in a
// compressed archive, whose content has a checksum, an error or the same tree.
func TestEveryFlippedByte(t *testing.T) {
	data := archive(t, folder("d"), file("d/a", "content"), alias(tar.TypeLink, "b", "d/a"), alias(tar.TypeSymlink, "c", "b"))
	want, err := load(save(t, data), tree.ApplicationRules())
	must(t, err)
	for form, compress := range forms {
		whole := compress(t, data)
		step := 1 + len(whole)/1500
		for i := 0; i < len(whole); i += step {
			bad := bytes.Clone(whole)
			bad[i] ^= 0xff
			have, err := load(save(t, bad), tree.ApplicationRules())
			if err == nil && form != "tar" && !cmp.Equal(have, want) {
				t.Errorf("%s: byte %d was flipped and nobody saw it", form, i)
			}
		}
	}
}

func FuzzOpen(f *testing.F) {
	tagged := file("a", "x")
	tagged.PAXRecords = map[string]string{paxXattr + "user.a": "b"}
	f.Add(archive(f, folder("./"), file("./d/a", "content"), alias(tar.TypeLink, "b", "d/a"), alias(tar.TypeSymlink, "c", "b")))
	f.Add(archive(f, tagged, file(strings.Repeat("long/", 40)+"name", "y")))
	f.Add(gzipped(f, archive(f, file("a", "b"))))
	f.Add(zstandard(f, archive(f, file("a", "b"))))
	name := filepath.Join(f.TempDir(), "archive")
	f.Fuzz(func(t *testing.T, data []byte) {
		must(t, os.WriteFile(name, data, 0o644))
		s, err := Open(name, tree.ApplicationRules())
		if err != nil {
			return
		}
		must(t, s.Close())
		if _, err := load(name, tree.ApplicationRules()); err != nil {
			t.Errorf("Open accepts what makes no tree: %v", err)
		}
	})
}

package btrfssend

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/tree"
)

var (
	here  = UUID{1, 2, 3}
	other = UUID{9}
)

// commandsOf makes a stream of a subvolume.
func commandsOf(version uint32, make func(e *encoder)) []byte {
	var out bytes.Buffer
	e := newEncoder(&out, version)
	e.begin(cmdSubvol).text(attrPath, "sub").uuid(attrUUID, here).number(attrCtransid, 1).end()
	make(e)
	e.begin(cmdEnd).end()
	return out.Bytes()
}

// u32 adds a number of 4 bytes.
func (e *encoder) u32(a attribute, v uint32) *encoder {
	e.header(a, 4)
	e.buf = binary.LittleEndian.AppendUint32(e.buf, v)
	return e
}

func (e *encoder) file(p tree.Path, content string) {
	e.make(cmdMkfile, p).end()
	e.writeData(p, 0, []byte(content))
}

func (e *encoder) dir(p tree.Path) { e.make(cmdMkdir, p).end() }

func (e *encoder) clone(p tree.Path, at uint64, from tree.Path, offset, length uint64, u UUID) {
	e.begin(cmdClone).number(attrFileOffset, at).number(attrCloneLen, length).path(attrPath, p).uuid(attrCloneUUID, u).
		number(attrCloneCtransid, 1).path(attrClonePath, from).number(attrCloneOffset, offset).end()
}

// hostile are streams that must be refused, each for its own reason.
func hostile() map[string]struct {
	make func(e *encoder)
	want string
} {
	type c = struct {
		make func(e *encoder)
		want string
	}
	file := func(do func(e *encoder)) func(e *encoder) {
		return func(e *encoder) { e.file("/f", "0123456789"); do(e) }
	}
	tall := func(e *encoder) { e.dir("/a"); e.dir("/a/b"); e.file("/a/b/c", "x") }
	return map[string]c{
		"path climbs out":        {func(e *encoder) { e.make(cmdMkfile, "../x").end() }, `the name ".."`},
		"path climbs out inside": {func(e *encoder) { e.dir("/a"); e.make(cmdMkfile, "a/../../x").end() }, `the name ".."`},
		"path with a dot":        {func(e *encoder) { e.make(cmdMkfile, "./x").end() }, `the name "."`},
		"path with nothing":      {func(e *encoder) { e.make(cmdMkfile, "a//x").end() }, `the name ""`},
		"path ends with a slash": {func(e *encoder) { e.make(cmdMkdir, "a/").end() }, `the name ""`},
		"absolute path":          {func(e *encoder) { e.make(cmdMkfile, "//etc/passwd").end() }, "absolute"},
		"NUL in a path":          {func(e *encoder) { e.make(cmdMkfile, "a\x00b").end() }, "NUL"},
		"name too long":          {func(e *encoder) { e.make(cmdMkfile, tree.Path(strings.Repeat("n", 256))).end() }, "has the name"},
		"path too long":          {func(e *encoder) { e.make(cmdMkfile, tree.Path(strings.Repeat("n/", 2100)+"x")).end() }, "4201 bytes"},
		"path too deep":          {func(e *encoder) { e.make(cmdMkfile, tree.Path(strings.Repeat("n/", 256)+"x")).end() }, "257 names"},
		"too many subvolumes":    {func(e *encoder) { fill(e, func(int) { snapshot(e, here) }) }, "more than 512 subvolumes"},
		"clone path climbs out":  {file(func(e *encoder) { e.clone("/f", 0, "../../etc/shadow", 0, 1, here) }), `the name ".."`},
		"link target climbs out": {func(e *encoder) { e.link("/x", "../y") }, `the name ".."`},
		"rename climbs out":      {file(func(e *encoder) { e.rename("/f", "../f") }), `the name ".."`},
		"through a symlink": {func(e *encoder) {
			e.make(cmdSymlink, "/l").text(attrPathLink, "/etc").end()
			e.make(cmdMkfile, "/l/passwd").end()
		}, "no directory"},
		"through a file":            {file(func(e *encoder) { e.dir("/f/x") }), "no directory"},
		"no such folder":            {func(e *encoder) { e.dir("/a/b") }, "there is no"},
		"made twice":                {file(func(e *encoder) { e.make(cmdMkfile, "/f").end() }), "already"},
		"the subvolume made":        {func(e *encoder) { e.make(cmdMkdir, "/").end() }, "named anew"},
		"the subvolume removed":     {func(e *encoder) { e.begin(cmdRmdir).path(attrPath, "/").end() }, "named anew"},
		"the subvolume renamed":     {func(e *encoder) { e.rename("/", "/x") }, "cannot be renamed"},
		"write to a directory":      {func(e *encoder) { e.dir("/a"); e.writeData("/a", 0, []byte("x")) }, "no regular file"},
		"write to the subvolume":    {func(e *encoder) { e.writeData("/", 0, []byte("x")) }, "no regular file"},
		"write to nothing":          {func(e *encoder) { e.writeData("/none", 0, []byte("x")) }, "there is no"},
		"write at 2^63":             {file(func(e *encoder) { e.writeData("/f", math.MinInt64, []byte("x")) }), "at most"},
		"write wraps":               {file(func(e *encoder) { e.writeData("/f", -1, []byte("xx")) }), "at most"},
		"truncate to 2^63":          {file(func(e *encoder) { e.truncate("/f", math.MinInt64) }), "at most"},
		"truncate a directory":      {func(e *encoder) { e.truncate("/", 0) }, "no regular file"},
		"clone beyond the end":      {file(func(e *encoder) { e.clone("/f", 0, "/f", 5, 6, here) }), "which has 10"},
		"clone wraps":               {file(func(e *encoder) { e.clone("/f", 0, "/f", math.MaxUint64, 2, here) }), "at most"},
		"clone of 2^63":             {file(func(e *encoder) { e.clone("/f", 0, "/f", 0, 1<<63, here) }), "at most"},
		"clone of nothing":          {file(func(e *encoder) { e.clone("/f", 0, "/f", 0, 0, here) }), "0 bytes at 0"},
		"clone to 2^63":             {file(func(e *encoder) { e.clone("/f", 1<<63, "/f", 0, 1, here) }), "at most"},
		"clone of a directory":      {file(func(e *encoder) { e.clone("/f", 0, "/", 0, 1, here) }), "no regular file"},
		"clone of the unknown":      {file(func(e *encoder) { e.clone("/f", 0, "/f", 0, 1, other) }), "another subvolume"},
		"rename over a full folder": {func(e *encoder) { tall(e); e.dir("/d"); e.rename("/d", "/a") }, "not empty"},
		"rename over its folder":    {func(e *encoder) { tall(e); e.rename("/a/b", "/a") }, "not empty"},
		"rename into itself":        {func(e *encoder) { tall(e); e.rename("/a", "/a/b/a") }, "into itself"},
		"rename to itself":          {func(e *encoder) { tall(e); e.rename("/a", "/a") }, "into itself"},
		"rename a file to a folder": {file(func(e *encoder) { e.dir("/d"); e.rename("/f", "/d") }), "in the way"},
		"rename a folder to a file": {file(func(e *encoder) { e.dir("/d"); e.rename("/d", "/f") }), "in the way"},
		"rename nothing":            {func(e *encoder) { e.rename("/x", "/y") }, "there is no"},
		"rmdir of a full folder":    {func(e *encoder) { tall(e); e.begin(cmdRmdir).path(attrPath, "/a").end() }, "not empty"},
		"rmdir of a file":           {file(func(e *encoder) { e.begin(cmdRmdir).path(attrPath, "/f").end() }), "no directory"},
		"unlink of a folder":        {func(e *encoder) { tall(e); e.begin(cmdUnlink).path(attrPath, "/a").end() }, "is a directory"},
		"hardlink to a folder":      {func(e *encoder) { tall(e); e.link("/x", "/a") }, "hardlink to the directory"},
		"hardlink over a file":      {file(func(e *encoder) { e.link("/f", "/f") }), "already"},
		"mode of a symlink":         {func(e *encoder) { e.make(cmdSymlink, "/l").text(attrPathLink, "x").end(); e.chmod("/l", 0o777) }, "mode"},
		"mode with a type":          {file(func(e *encoder) { e.chmod("/f", 0o100644) }), "mode"},
		"owner -1":                  {file(func(e *encoder) { e.chown("/f", math.MaxUint32, 0) }), "owner"},
		"nanoseconds":               {file(func(e *encoder) { e.utimes("/f", tree.Time{Nsec: 1e9}) }), "nanoseconds"},
		"xattr that is not there":   {file(func(e *encoder) { e.begin(cmdRemoveXattr).path(attrPath, "/f").text(attrXattrName, "user.x").end() }), "no xattr"},
		"xattr without a name":      {file(func(e *encoder) { e.setXattr("/f", tree.Xattr{}) }), "the xattr"},
		"xattr with NUL":            {file(func(e *encoder) { e.setXattr("/f", tree.Xattr{Name: "user.\x00"}) }), "the xattr"},
		"too many xattrs":           {file(manyXattrs), "131072 bytes of xattrs"},
		"no contents": {file(func(e *encoder) {
			e.begin(cmdUpdateExtent).path(attrPath, "/f").number(attrFileOffset, 0).number(attrSize, 1).end()
		}), "without contents"},
		"snapshot of the unknown":    {func(e *encoder) { snapshot(e, other) }, "another subvolume"},
		"too many pieces":            {tooManyPieces, "pieces"},
		"unknown command":            {func(e *encoder) { e.begin(99).end() }, "no command of version 1 has the number 99"},
		"no command":                 {func(e *encoder) { e.begin(0).end() }, "no command of version 1"},
		"command of a later version": {file(func(e *encoder) { e.begin(cmdFileattr).path(attrPath, "/f").number(attrFileattr, 0).end() }), "no command of version 1 has the number 24"},
		"unknown attribute":          {file(func(e *encoder) { e.begin(cmdUnlink).path(attrPath, "/f").text(99, "").end() }), "no attribute of version 1 has the number 99"},
		"attribute of a later version": {file(func(e *encoder) { e.begin(cmdUnlink).path(attrPath, "/f").number(attrFileattr, 1).end() }),
			"no attribute of version 1 has the number 26"},
		"attribute that does not belong": {file(func(e *encoder) { e.begin(cmdUnlink).path(attrPath, "/f").number(attrMode, 1).end() }), "does not belong"},
		"attribute twice":                {file(func(e *encoder) { e.begin(cmdUnlink).path(attrPath, "/f").path(attrPath, "/f").end() }), "twice"},
		"attribute missing":              {func(e *encoder) { e.begin(cmdMkfile).path(attrPath, "/f").end() }, "attribute 3 is missing"},
		"attribute too short":            {file(func(e *encoder) { e.begin(cmdTruncate).path(attrPath, "/f").u32(attrSize, 1).end() }), "4 bytes instead of 8"},
		"attribute cut off":              {file(func(e *encoder) { e.begin(cmdUnlink).path(attrPath, "/f"); e.buf = append(e.buf, 15, 0, 9); e.end() }), "cut off"},
		"attribute longer than its command": {file(func(e *encoder) {
			e.begin(cmdUnlink).path(attrPath, "/f")
			e.buf = append(e.buf, 15, 0, 9, 0, 'x')
			e.end()
		}),
			"has 9 bytes, and 1 are left"},
		"a byte too many": {file(func(e *encoder) { e.begin(cmdUnlink).path(attrPath, "/f"); e.buf = append(e.buf, 1); e.end() }), "1 bytes are left"},
		"subvolume without a name": {func(e *encoder) {
			e.begin(cmdSubvol).text(attrPath, "").uuid(attrUUID, other).number(attrCtransid, 1).end()
		}, "without a name"},
	}
}

func snapshot(e *encoder, of UUID) {
	e.begin(cmdSnapshot).text(attrPath, "snap").uuid(attrUUID, other).number(attrCtransid, 1).
		uuid(attrCloneUUID, of).number(attrCloneCtransid, 1).end()
}

func manyXattrs(e *encoder) {
	for i := range 5 {
		e.setXattr("/f", tree.Xattr{Name: "user." + string(rune('a'+i)), Value: make([]byte, 30000)})
	}
}

// tooManyPieces doubles the number of pieces of a file by each command.
func tooManyPieces(e *encoder) {
	e.file("/f", "x")
	e.writeData("/f", 2, []byte("y"))
	for size := uint64(4); size < 1<<22; size *= 2 {
		e.clone("/f", size, "/f", 0, size-1, here)
	}
}

// refused opens streams that cannot be read, and checks that nothing of them is left.
func refused(t *testing.T, want string, streams ...[]byte) error {
	t.Helper()
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	_, err := open(t, OpenOptions{Rules: rules()}, streams...)
	if err == nil {
		t.Fatal("it was read")
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("%v\ndoes not say %q", err, want)
	}
	left, readErr := os.ReadDir(temp)
	if readErr != nil || len(left) > 0 {
		t.Errorf("%d files left, %v", len(left), readErr)
	}
	return err
}

// messages compares all that is said of streams, to the letter, with a file of testdata.
type messages map[string]string

func (m messages) compare(t *testing.T, name string) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if capturing() {
		save(t, name, m)
	}
	want := messages{}
	load(t, name, &want)
	maps.DeleteFunc(want, func(name, _ string) bool { _, tried := m[name]; return !tried })
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("other messages than in %s (- file, + here):\n%s", name, diff)
	}
}

func TestHostile(t *testing.T) {
	said := messages{}
	defer func() { said.compare(t, "hostile.json") }()
	for name, c := range hostile() {
		t.Run(name, func(t *testing.T) {
			err := refused(t, c.want, commandsOf(1, c.make))
			said[name] = err.Error()
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrParent) {
				t.Errorf("%v is of no kind", err)
			}
		})
	}
}

// TestHostileVersion2 has what only later versions can say.
func TestHostileVersion2(t *testing.T) {
	said := messages{}
	defer func() { said.compare(t, "hostile2.json") }()
	encoded := func(whole, offset, length uint64, kind, encryption uint32, data string) func(e *encoder) {
		return func(e *encoder) {
			e.file("/f", "x")
			e.begin(cmdEncodedWrite).path(attrPath, "/f").number(attrFileOffset, 0).number(attrUnencodedFileLen, length).
				number(attrUnencodedLen, whole).number(attrUnencodedOffset, offset).u32(attrCompression, kind).
				u32(attrEncryption, encryption).data([]byte(data)).end()
		}
	}
	fallocate := func(mode uint32, offset, length uint64) func(e *encoder) {
		return func(e *encoder) {
			e.file("/f", "x")
			e.begin(cmdFallocate).path(attrPath, "/f").u32(attrFallocateMode, mode).number(attrFileOffset, offset).number(attrSize, length).end()
		}
	}
	for name, c := range map[string]struct {
		make func(e *encoder)
		want string
	}{
		"a bomb":                 {encoded(1<<30, 0, 1<<30, packedZstd, 0, ""), "of an extent of 1073741824"},
		"part beyond the extent": {encoded(4096, 4000, 97, packedZlib, 0, ""), "97 bytes at 4000"},
		"part that wraps":        {encoded(4096, 4096, math.MaxUint64, packedZlib, 0, ""), "of an extent of 4096"},
		"encrypted":              {encoded(4096, 0, 4096, 0, 1, ""), "encrypted"},
		"unknown compression":    {encoded(4096, 0, 4096, 8, 0, ""), "compression 8"},
		"longer than the extent": {encoded(2, 0, 2, 0, 0, "xyz"), "compression 0"},
		"no zlib":                {encoded(4096, 0, 4096, packedZlib, 0, "nonsense"), "compressed contents"},
		"no zstd":                {encoded(4096, 0, 4096, packedZstd, 0, "nonsense"), "compressed contents"},
		"no lzo":                 {encoded(4096, 0, 4096, packedLzo4K, 0, "nonsense"), "lzo"},
		"empty zlib":             {encoded(4096, 0, 4096, packedZlib, 0, ""), "compressed contents"},
		"empty zstd":             {encoded(4096, 0, 4096, packedZstd, 0, ""), "compressed contents"},
		"empty lzo":              {encoded(4096, 0, 4096, packedLzo4K, 0, ""), "lzo"},
		"collapse":               {fallocate(8, 0, 4096), "fallocate with mode 0x8"},
		"fallocate of 2^63":      {fallocate(0, 1<<63, 1), "at most"},
		"fallocate wraps":        {fallocate(0, math.MaxUint64, 2), "at most"},
		"verity of version 3":    {func(e *encoder) { e.begin(cmdEnableVerity).end() }, "no command of version 2 has the number 26"},
	} {
		t.Run(name, func(t *testing.T) {
			err := refused(t, c.want, commandsOf(2, c.make))
			if said[name] = err.Error(); !errors.Is(err, ErrFormat) {
				t.Errorf("%v is of no kind", err)
			}
		})
	}
}

// TestFraming has streams that are wrong as a whole.
func TestFraming(t *testing.T) {
	said := messages{}
	defer func() { said.compare(t, "framing.json") }()
	good := commandsOf(1, func(e *encoder) { e.file("/f", "content") })
	header := func(version uint32) []byte { return binary.LittleEndian.AppendUint32([]byte(magic), version) }
	end := good[len(good)-commandHeader:]
	long := append(header(1), 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0)
	long2 := append(header(2), 0xff, 0xff, 0xff, 0x7f, 1, 0, 0, 0, 0, 0)
	for name, c := range map[string]struct {
		stream []byte
		want   string
		is     error
	}{
		"nothing":             {nil, "cut off", io.ErrUnexpectedEOF},
		"another file":        {[]byte("\x7fELF, or anything else that is long enough"), "does not begin as one", ErrFormat},
		"a short file":        {[]byte("btrfs-x"), "does not begin as one", ErrFormat},
		"version 0":           {header(0), "version 0", ErrFormat},
		"version 4":           {header(4), "version 4", ErrFormat},
		"only a header":       {header(1), "command at byte 17", io.ErrUnexpectedEOF},
		"no subvolume":        {append(header(1), end...), "has no subvolume", ErrFormat},
		"no end":              {good[:len(good)-commandHeader], "command at byte", io.ErrUnexpectedEOF},
		"data after the end":  {append(bytes.Clone(good), "more than a header has"...), "does not begin as one", ErrFormat},
		"a bit after the end": {append(bytes.Clone(good), 0), "does not begin as one", ErrFormat},
		"command too long":    {long, "at most 65526 may be", ErrFormat},
		"command too long 2":  {long2, "at most 262134 may be", ErrFormat},
	} {
		t.Run(name, func(t *testing.T) {
			err := refused(t, c.want, c.stream)
			if said[name] = err.Error(); !errors.Is(err, c.is) {
				t.Errorf("%v is not %v", err, c.is)
			}
		})
	}
	var out bytes.Buffer
	e := newEncoder(&out, 1)
	e.file("/f", "written too early")
	refused(t, "no subvolume was begun", out.Bytes())
}

// whole are streams of both versions with commands of all kinds.
func whole() map[uint32][]byte {
	return map[uint32][]byte{
		1: commandsOf(1, everything),
		2: commandsOf(2, func(e *encoder) {
			everything(e)
			snapshot(e, here)
			e.begin(cmdEncodedWrite).path(attrPath, "/g").number(attrFileOffset, 0).number(attrUnencodedFileLen, 4).
				number(attrUnencodedLen, 4).number(attrUnencodedOffset, 0).data([]byte("text")).end()
			e.begin(cmdFallocate).path(attrPath, "/g").u32(attrFallocateMode, keepSize).number(attrFileOffset, 0).number(attrSize, 9).end()
		}),
	}
}

// TestEveryCut and TestEveryFlip damage streams at each of their bytes.
func TestEveryCut(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for version, good := range whole() {
		read(t, good)
		for n := range len(good) {
			_, err := open(t, OpenOptions{Rules: rules()}, good[:n])
			if !errors.Is(err, io.ErrUnexpectedEOF) || n < streamHeader && !strings.Contains(err.Error(), fmt.Sprintf("the stream is cut off at byte %d: ", n)) ||
				n >= streamHeader && !strings.Contains(err.Error(), "the command at byte ") {
				t.Fatalf("version %d, %d of %d bytes: %v", version, n, len(good), err)
			}
		}
	}
}

func TestEveryFlip(t *testing.T) {
	for version, good := range whole() {
		for n := range len(good) {
			bad := bytes.Clone(good)
			bad[n] ^= 0x10
			_, err := open(t, OpenOptions{Rules: rules()}, bad)
			if !errors.Is(err, ErrFormat) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("version %d, byte %d of %d was changed: error %v", version, n, len(good), err)
			}
			length := errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "may be")
			if n >= streamHeader && !length && !strings.Contains(err.Error(), "its CRC is ") {
				t.Fatalf("version %d, byte %d of %d was changed, and no checksum found it: %v", version, n, len(good), err)
			}
		}
	}
}

// everything uses commands of all kinds.
func everything(e *encoder) {
	e.dir("/d")
	e.file("/d/f", "0123456789")
	e.make(cmdSymlink, "/d/l").text(attrPathLink, "f").end()
	e.link("/g", "/d/f")
	e.clone("/g", 4096, "/d/f", 3, 5, here)
	e.rename("/d", "/e")
	e.setXattr("/g", tree.Xattr{Name: "user.x", Value: []byte("value")})
	e.chown("/g", 1, 2)
	e.chmod("/g", 0o640)
	e.utimes("/g", tree.Time{Sec: 5, Nsec: 6})
	e.truncate("/g", 5000)
	e.begin(cmdUnlink).path(attrPath, "/e/l").end()
}

// TestMemory refuses what would take more than a limit, however it is said.
func TestMemory(t *testing.T) {
	for name, commands := range map[string]func(e *encoder){
		"files": func(e *encoder) { fill(e, func(i int) { e.make(cmdMkfile, number2(i)).end() }) },
		"links": func(e *encoder) { e.file("/f", "x"); fill(e, func(i int) { e.link(number2(i), "/f") }) },
		"xattrs": func(e *encoder) {
			fill(e, func(i int) { e.dir(number2(i)); e.setXattr(number2(i), tree.Xattr{Name: "user.x"}) })
		},
		"pieces": func(e *encoder) {
			e.file("/f", "x")
			fill(e, func(i int) { e.writeData("/f", int64(i)*2, []byte{'x'}) })
		},
		"snapshots": func(e *encoder) { // each with its own copy of a folder
			for i := range 300 {
				e.make(cmdMkfile, number2(i)).end()
			}
			for i := range 20 {
				snapshot(e, here)
				e.dir(number2(1000 + i))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			spool, err := newSpool()
			must(t, err)
			defer spool.close()
			r := &receiver{spool: spool, byUUID: map[UUID]*volume{}, limit: 100_000}
			err = r.read(t.Context(), bytes.NewReader(commandsOf(1, commands)))
			if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "of memory") {
				t.Error(err)
			}
		})
	}
}

func fill(e *encoder, do func(i int)) {
	for i := range 5000 {
		do(i)
	}
}

func number2(i int) tree.Path {
	return tree.Path("/" + strings.Repeat("n", i%200) + string(rune('a'+i/200)))
}

package btrfssend

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/larch-project/larch/tree"
)

// TestExtents compares pieces of files with plain bytes.
func TestExtents(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		var plain [2][]byte
		stream := commandsOf(2, func(e *encoder) {
			e.make(cmdMkfile, "/0").end()
			e.make(cmdMkfile, "/1").end()
			for range 60 {
				step(r, e, &plain)
			}
		})
		s := read(t, stream)
		for i, want := range plain {
			name := tree.Path(fmt.Sprint("/", i))
			content, err := s.Open(t.Context(), &tree.Entry{Path: name})
			must(t, err)
			have, err := io.ReadAll(iotestReader{content, r})
			must(t, err)
			if !bytes.Equal(have, want) {
				t.Fatalf("seed %d: %s has %d bytes and should have %d, or others", seed, name, len(have), len(want))
			}
			pieces := s.find(name).pieces
			for i := 1; i < len(pieces); i++ {
				if pieces[i].at < pieces[i-1].end() || pieces[i].length <= 0 {
					t.Fatalf("seed %d: pieces %v", seed, pieces)
				}
			}
		}
	}
}

// iotestReader reads pieces of random sizes.
type iotestReader struct {
	io.Reader
	r *rand.Rand
}

func (r iotestReader) Read(p []byte) (int, error) {
	return r.Reader.Read(p[:min(len(p), 1+r.r.IntN(100))])
}

// step does the same to a stream and to plain bytes.
func step(r *rand.Rand, e *encoder, plain *[2][]byte) {
	i := r.IntN(2)
	name := tree.Path(fmt.Sprint("/", i))
	grow := func(to int) {
		if n := to - len(plain[i]); n > 0 {
			plain[i] = append(plain[i], make([]byte, n)...)
		}
	}
	at, length := r.IntN(300), 1+r.IntN(100)
	switch r.IntN(6) {
	case 0, 1:
		data := []byte(noise(r.IntN(50), length))
		if r.IntN(4) == 0 {
			clear(data)
		}
		e.writeData(name, int64(at), data)
		grow(at + length)
		copy(plain[i][at:], data)
	case 2, 3:
		j, from := r.IntN(2), r.IntN(300)
		if length = min(length, len(plain[j])-from); length <= 0 {
			return
		}
		e.clone(name, uint64(at), tree.Path(fmt.Sprint("/", j)), uint64(from), uint64(length), here)
		data := bytes.Clone(plain[j][from : from+length])
		grow(at + length)
		copy(plain[i][at:], data)
	case 4:
		e.truncate(name, int64(at))
		grow(at)
		plain[i] = plain[i][:at]
	case 5:
		mode := []uint32{0, keepSize, punchHole | keepSize, zeroRange, zeroRange | keepSize}[r.IntN(5)]
		e.begin(cmdFallocate).path(attrPath, name).u32(attrFallocateMode, mode).number(attrFileOffset, uint64(at)).number(attrSize, uint64(length)).end()
		if mode&keepSize == 0 {
			grow(at + length)
		}
		if mode > keepSize && at < len(plain[i]) {
			clear(plain[i][at:min(at+length, len(plain[i]))])
		}
	}
}

// lines gives path, kind, mode, size and target of all entries.
func lines(t *testing.T, s tree.Source) (out []string) {
	t.Helper()
	for e, err := range s.Entries(t.Context()) {
		must(t, err)
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %o %d %s", e.Path, e.Kind, e.Mode, e.Size, e.Target)))
	}
	return out
}

// TestApply has what the kernel could send and rarely does.
func TestApply(t *testing.T) {
	for name, c := range map[string]struct {
		version uint32
		make    func(e *encoder)
		want    string
	}{
		"rename over a file": {1, func(e *encoder) { e.file("/a", "a"); e.file("/b", "bb"); e.rename("/b", "/a") },
			"/ directory 755 0, /a regular file 600 2"},
		"rename over an empty folder": {1, func(e *encoder) { e.dir("/a"); e.dir("/b"); e.dir("/b/c"); e.rename("/b", "/a") },
			"/ directory 755 0, /a directory 700 0, /a/c directory 700 0"},
		"rename over another name of the file": {1, func(e *encoder) { e.file("/a", "a"); e.link("/b", "/a"); e.rename("/a", "/b") },
			"/ directory 755 0, /a regular file 600 1, /b hardlink 600 1 /a"},
		"symlink with two names": {1, func(e *encoder) {
			e.make(cmdSymlink, "/a").text(attrPathLink, "x").end()
			e.link("/b", "/a")
		}, "/ directory 755 0, /a symlink 777 1 x, /b symlink 777 1 x"},
		"flags and fs-verity": {3, func(e *encoder) {
			e.file("/a", "a")
			e.begin(cmdFileattr).path(attrPath, "/a").number(attrFileattr, 16).end()
			e.begin(cmdEnableVerity).path(attrPath, "/a")
			e.header(attrVerityAlgorithm, 1)
			e.buf = append(e.buf, 1)
			e.u32(attrVerityBlockSize, 4096).text(attrVeritySalt, "").text(attrVeritySignature, "").end()
		}, "/ directory 755 0, /a regular file 600 1"},
		"time of birth": {2, func(e *encoder) {
			e.begin(cmdUtimes).path(attrPath, "/").time(attrAtime, tree.Time{}).time(attrMtime, tree.Time{}).time(attrCtime, tree.Time{}).time(attrOtime, tree.Time{}).end()
		}, "/ directory 755 0"},
		"snapshots leave what they are of": {1, func(e *encoder) {
			e.dir("/d")
			e.file("/d/f", "one")
			snapshot(e, here)
			e.writeData("/d/f", 0, []byte("three"))
			e.chmod("/d", 0o500)
			e.clone("/d/f", 5, "/d/f", 0, 3, here) // of the old one
		}, "/ directory 755 0, /d directory 500 0, /d/f regular file 600 8"},
		"file and its name go, another comes": {1, func(e *encoder) {
			e.file("/a", "a")
			e.begin(cmdUnlink).path(attrPath, "/a").end()
			e.dir("/a")
		}, "/ directory 755 0, /a directory 700 0"},
	} {
		t.Run(name, func(t *testing.T) {
			s := read(t, commandsOf(c.version, c.make))
			if have := strings.Join(lines(t, s), ", "); have != c.want {
				t.Errorf("has    %s\nshould %s", have, c.want)
			}
		})
	}
}

// TestEarlierState finds the state of a subvolume that later ones were made of.
func TestEarlierState(t *testing.T) {
	stream := commandsOf(1, func(e *encoder) {
		e.dir("/d")
		e.file("/d/f", "one")
		snapshot(e, here)
		e.writeData("/d/f", 0, []byte("three"))
		e.begin(cmdUnlink).path(attrPath, "/d/f").end()
	})
	s, err := open(t, OpenOptions{rules(), "sub"}, stream)
	must(t, err)
	content, err := s.Open(t.Context(), &tree.Entry{Path: "/d/f"})
	must(t, err)
	if have, err := io.ReadAll(content); err != nil || string(have) != "one" {
		t.Errorf("%q, %v", have, err)
	}
	if last := lines(t, read(t, stream)); len(last) != 2 {
		t.Errorf("%q", last)
	}
}

// TestRefusedByTheTree has what streams can say and trees cannot.
func TestRefusedByTheTree(t *testing.T) {
	for name, c := range map[string]struct {
		make func(e *encoder)
		rule string
	}{
		"fifo":             {func(e *encoder) { e.make(cmdMkfifo, "/p").end() }, tree.RuleSpecial},
		"socket":           {func(e *encoder) { e.make(cmdMksock, "/p").end() }, tree.RuleSpecial},
		"device":           {func(e *encoder) { e.make(cmdMknod, "/p").number(attrMode, 0o20600).number(attrRdev, 1).end() }, tree.RuleSpecial},
		"control byte":     {func(e *encoder) { e.dir("/a\nb") }, tree.RuleControl},
		"empty symlink":    {func(e *encoder) { e.make(cmdSymlink, "/l").text(attrPathLink, "").end() }, tree.RuleSymlink},
		"NUL in a symlink": {func(e *encoder) { e.make(cmdSymlink, "/l").text(attrPathLink, "a\x00b").end() }, tree.RuleSymlink},
		"mark of overlayfs": {func(e *encoder) {
			e.dir("/d")
			e.setXattr("/d", tree.Xattr{Name: "trusted.overlay.opaque", Value: []byte("y")})
		},
			tree.RuleOverlay},
		"too deep": {deep, tree.RuleNames},
	} {
		t.Run(name, func(t *testing.T) {
			isRule(t, refused(t, "", commandsOf(1, c.make)), c.rule)
		})
	}
	holes := commandsOf(1, func(e *encoder) { e.file("/f", "x"); e.truncate("/f", 1<<41) })
	refused(t, "of which the streams bring only 1", holes)
}

// deep builds a path that no path can name, by moving folders into each other.
func deep(e *encoder) {
	e.dir("/a")
	e.dir("/b")
	for range 300 {
		e.rename("/a", "/b/a")
		e.rename("/b", "/a")
		e.dir("/b")
	}
}

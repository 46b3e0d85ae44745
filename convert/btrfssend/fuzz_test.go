package btrfssend

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/larch-project/larch/tree"
)

// mend gives each command the checksum that it should have, so that what is behind
// the checksums is tried, too.
func mend(stream []byte) []byte {
	out := bytes.Clone(stream)
	table := crc32.MakeTable(crc32.Castagnoli)
	for rest := out[min(len(out), streamHeader):]; len(rest) >= commandHeader; {
		end := commandHeader + int(min(binary.LittleEndian.Uint32(rest), 1<<20))
		if end > len(rest) {
			break
		}
		clear(rest[6:commandHeader])
		binary.LittleEndian.PutUint32(rest[6:], checksum(table, 0, rest[:end]))
		rest = rest[end:]
	}
	return out
}

// FuzzOpen applies anything. What is accepted is written again, and gives the same
// tree.
func FuzzOpen(f *testing.F) {
	f.Add(commandsOf(1, everything))
	f.Add(commandsOf(2, func(e *encoder) { everything(e); snapshot(e, here); e.writeData("/g", 1, []byte("more")) }))
	for _, c := range hostile() {
		f.Add(commandsOf(1, c.make))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		s, err := open(t, OpenOptions{Rules: rules()}, mend(stream))
		if err != nil {
			var rule *tree.RuleError
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrParent) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, &rule) {
				t.Fatalf("of no kind: %v", err)
			}
			return
		}
		if s.bytes > 1<<20 {
			return
		}
		first := fix(t, s)
		again := read(t, writeStream(t, first))
		sameTree(t, "written again", textOf(t, again), first.text)
	})
}

func writeStream(t testing.TB, f *fixed) []byte { return stream(t, f.subvolume("x"), nil, Options{}) }

// FuzzCommands applies commands that have the right form: three bytes each say what
// to do to which of a few names. Halfway a snapshot is taken. The changes between
// the two subvolumes, written and read again, lead from one to the other.
func FuzzCommands(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x01\x00\x00\x07\x00\x04\x07\x01\x02\x00\x05\x05\x01\x09\x06\x01\x02\x03\x07\x00"))
	f.Add([]byte("\x01\x00\x00\x01\x05\x00\x00\x06\x03\x02\x06\x01\x02\x00\x01\x07\x01\x00\x02\x01\x05\x08\x05\x07"))
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 300 {
			return
		}
		stream := commandsOf(1, func(e *encoder) {
			for i := 0; i+3 <= len(program); i += 3 {
				if i == len(program)/6*3 {
					snapshot(e, here)
				}
				e.do(program[i], fuzzPath(program[i+1]), fuzzPath(program[i+2]), program[i+2])
			}
		})
		last, err := open(t, OpenOptions{Rules: rules()}, stream)
		if err != nil {
			return
		}
		first, err := open(t, OpenOptions{rules(), "sub"}, stream)
		must(t, err)
		before, after := fix(t, first), fix(t, last)
		a, b := before.subvolume("a"), after.subvolume("b")
		var full, changes bytes.Buffer
		must(t, Write(t.Context(), &full, a, nil, Options{}), Write(t.Context(), &changes, b, &a, Options{}))
		sameTree(t, "changes", textOf(t, read(t, full.Bytes(), changes.Bytes())), after.text)
	})
}

// fuzzPath is one of some paths of one to three names.
func fuzzPath(n byte) tree.Path {
	p := tree.Path("/").Join(string('a' + rune(n%3)))
	for n /= 3; n%4 > 0 && len(p) < 6; n /= 4 {
		p = p.Join(string('a' + rune(n%4-1)))
	}
	return p
}

// do writes a command.
func (e *encoder) do(command byte, p, q tree.Path, n byte) {
	switch command % 12 {
	case 0:
		e.make(cmdMkfile, p).end()
	case 1:
		e.dir(p)
	case 2:
		e.rename(p, q)
	case 3:
		e.link(p, q)
	case 4:
		e.writeData(p, int64(n)*40, []byte(noise(int(n%4), 5000)))
	case 5:
		e.begin(cmdUnlink).path(attrPath, p).end()
	case 6:
		e.begin(cmdRmdir).path(attrPath, p).end()
	case 7:
		e.clone(p, uint64(n)*10, q, uint64(n)/2, uint64(n)*3+1, here)
	case 8:
		e.truncate(p, int64(n)*50)
	case 9:
		e.make(cmdSymlink, p).text(attrPathLink, string(q)).end()
	case 10:
		e.chmod(p, uint32(n)|0o400)
	case 11:
		e.setXattr(p, tree.Xattr{Name: "user." + string('a'+rune(n%3)), Value: []byte{n}})
	}
}

// FuzzUnpack decompresses anything as anything.
func FuzzUnpack(f *testing.F) {
	seeds, err := filepath.Glob("testdata/packed/*")
	if err != nil || len(seeds) < 3 {
		f.Fatal(len(seeds), err)
	}
	for _, name := range seeds {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for kind := range byte(packedLzo64K + 1) {
			f.Add(kind, data)
		}
	}
	u := &unpacker{}
	f.Fuzz(func(t *testing.T, kind byte, packed []byte) {
		m := &message{}
		m.values[attrCompression] = []byte{kind, 0, 0, 0}
		m.values[attrUnencodedLen] = binary.LittleEndian.AppendUint64(nil, maxUnencoded)
		m.values[attrUnencodedFileLen] = m.values[attrUnencodedLen]
		m.values[attrData] = packed
		data, err := u.unpack(m)
		if err == nil && len(data) != maxUnencoded || err != nil && !errors.Is(err, ErrFormat) {
			t.Fatal(len(data), err)
		}
	})
}

// TestPacked decompresses what btrfs has compressed: the same text by each kind.
func TestPacked(t *testing.T) {
	want := packedText()
	for kind, name := range map[uint32]string{packedZlib: "zlib", packedZstd: "zstd", packedLzo4K: "lzo"} {
		packed, err := os.ReadFile(filepath.Join("testdata/packed", name))
		must(t, err)
		m := &message{}
		m.values[attrCompression] = binary.LittleEndian.AppendUint32(nil, kind)
		m.values[attrUnencodedLen] = binary.LittleEndian.AppendUint64(nil, uint64(len(want)))
		m.values[attrUnencodedFileLen] = m.values[attrUnencodedLen]
		m.values[attrData] = packed
		u := &unpacker{}
		have, err := u.unpack(m)
		if err != nil || string(have) != want {
			t.Errorf("%s: %v", name, err)
		}
		for n := range len(packed) / 2 { // whatever is cut off is noticed
			m.values[attrData] = packed[:n]
			if have, err := u.unpack(m); err == nil {
				t.Fatalf("%s: %d bytes gave %d", name, n, len(have))
			}
		}
		u.close()
	}
}

// packedText is the content of testdata/packed: text that repeats near and far, and
// some that does not.
func packedText() string {
	var b bytes.Buffer
	for i := 0; b.Len() < 60<<10; i++ { // 60 KiB
		b.WriteString(noise(i%7, 500+i*17))
		b.Write(bytes.Repeat([]byte{'a' + byte(i%20)}, i*31))
	}
	return string(b.Bytes()[:60<<10])
}

// TestCapture writes testdata/packed anew, where LARCH_CAPTURE is set.
func TestCapture(t *testing.T) {
	if !capturing() {
		return
	}
	for _, kind := range []string{"zlib", "lzo", "zstd"} {
		d := newDisk(t, "compress-force="+kind)
		d.run("btrfs", "subvolume", "create", d.path("work"))
		write(t, d.path("work"), "f", packedText())
		d.run("btrfs", "subvolume", "snapshot", "-r", d.path("work"), d.path("a"))
		dec := newDecoder(bytes.NewReader(d.send("--compressed-data", d.path("a"))))
		must(t, dec.start())
		for {
			m, err := dec.next()
			must(t, err)
			if m.cmd == cmdEncodedWrite {
				must(t, os.WriteFile(filepath.Join("testdata/packed", kind), m.values[attrData], 0o644))
				break
			}
		}
	}
}

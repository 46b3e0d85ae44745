package erofs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// seen is what a reader finds under a name.
type seen struct {
	mode       uint16
	nlink      uint32
	uid, gid   uint32
	size       uint64
	sec        int64
	nsec, rdev uint32
	nid        uint64
	data       string // of what stands in the image
	xattrs     map[string]string
}

// reader reads an image by the rules of the format alone.
type reader struct {
	data  []byte
	super []byte
	found map[string]seen
}

// readImage walks an image: names must be in order, all places inside.
func readImage(data []byte) (found map[string]seen, err error) {
	defer func() {
		if r := recover(); r != nil { // out of bounds
			err = fmt.Errorf("%v", r)
		}
	}()
	r := &reader{data: data, super: data[superOffset:][:superSize], found: map[string]seen{}}
	if binary.LittleEndian.Uint32(r.super) != erofsMagic || len(data) != int(binary.LittleEndian.Uint32(r.super[36:]))*blockSize {
		return nil, fmt.Errorf("not a whole image")
	}
	root := uint64(binary.LittleEndian.Uint16(r.super[14:]))
	return r.found, r.walk("/", root, root, 0)
}

func (r *reader) walk(path string, nid, parent uint64, depth int) error {
	if depth > 300 {
		return fmt.Errorf("too deep")
	}
	s := r.inode(nid)
	r.found[path] = s
	if s.mode&typeBits != typeDir {
		return nil
	}
	last := ""
	for block := s.data; len(block) > 0; block = block[min(blockSize, len(block)):] {
		b := []byte(block[:min(blockSize, len(block))])
		count := int(binary.LittleEndian.Uint16(b[8:])) / entrySize
		for k := range count {
			e := b[k*entrySize:]
			from, to := int(binary.LittleEndian.Uint16(e[8:])), len(b)
			if k+1 < count {
				to = int(binary.LittleEndian.Uint16(e[entrySize+8:]))
			}
			name, _, _ := strings.Cut(string(b[from:to]), "\x00")
			child := binary.LittleEndian.Uint64(e)
			if name <= last {
				return fmt.Errorf("%s: %q after %q", path, name, last)
			}
			last = name
			if want := map[string]uint64{".": nid, "..": parent}; name == "." || name == ".." {
				if child != want[name] {
					return fmt.Errorf("%s: %s leads to %d", path, name, child)
				}
				continue
			}
			if kind := fileTypes[uint16(r.inode(child).mode&typeBits)]; kind != e[10] {
				return fmt.Errorf("%s: %q has type %d, its inode %d", path, name, e[10], kind)
			}
			if err := r.walk(filepath.Join(path, name), child, nid, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reader) inode(nid uint64) (s seen) {
	le := binary.LittleEndian
	b := r.data[nid*slotSize:]
	format := le.Uint16(b)
	s.nid, s.mode = nid, le.Uint16(b[4:])
	head := 32
	if format&1 == 0 {
		s.nlink, s.size, s.uid, s.gid = uint32(le.Uint16(b[6:])), uint64(le.Uint32(b[8:])), uint32(le.Uint16(b[24:])), uint32(le.Uint16(b[26:]))
		s.sec, s.nsec = int64(le.Uint64(r.super[24:])), le.Uint32(r.super[32:])
	} else {
		head = 64
		s.size, s.uid, s.gid, s.nlink = le.Uint64(b[8:]), le.Uint32(b[24:]), le.Uint32(b[28:]), le.Uint32(b[44:])
		s.sec, s.nsec = int64(le.Uint64(b[32:])), le.Uint32(b[40:])
	}
	if n := int(le.Uint16(b[2:])); n > 0 {
		size := (n-1)*4 + xattrHeader
		s.xattrs = r.xattrs(b[head:][:size])
		head += size
	}
	u := le.Uint32(b[16:])
	switch layout := format >> 1; {
	case s.mode&typeBits == typeChar || s.mode&typeBits == typeBlock:
		s.rdev = u
	case layout == layoutPlain && s.size > 0:
		s.data = string(r.data[int(u)*blockSize:][:s.size])
	case layout == layoutInline:
		full := s.size / blockSize * blockSize
		s.data = string(r.data[int(u)*blockSize:][:full]) + string(b[head:][:s.size-full])
	}
	return s
}

func (r *reader) xattrs(b []byte) map[string]string {
	all := map[string]string{}
	shared := int(b[4])
	base := int(binary.LittleEndian.Uint32(r.super[44:])) * blockSize
	for k := range shared {
		at := base + int(binary.LittleEndian.Uint32(b[xattrHeader+4*k:]))*4
		r.xattr(r.data[at:], all)
	}
	for b = b[xattrHeader+4*shared:]; len(b) > 0; {
		b = b[r.xattr(b, all):]
	}
	return all
}

func (r *reader) xattr(b []byte, all map[string]string) int {
	name, size := int(b[0]), int(binary.LittleEndian.Uint16(b[2:]))
	prefix := ""
	for _, p := range prefixes {
		if p.index == b[1] {
			prefix = p.text
		}
	}
	all[prefix+string(b[4:][:name])] = string(b[4+name:][:size])
	return align(4+name+size, 4)
}

// randomTree gives entries of every kind, parents first.
func randomTree(r *rand.Rand) (nodes []Node) {
	nodes = []Node{{Path: "/", Mode: typeDir | 0o755, Nlink: 1}}
	dirs, files := []string{""}, []string{}
	for k := range 50 + r.IntN(400) {
		path := dirs[r.IntN(len(dirs))] + "/" + strings.Repeat(string("!#+-.0Aaz~"[r.IntN(10)]), r.IntN(40)) + fmt.Sprint(k)
		n := Node{Path: path, Nlink: 1, UID: uint32(r.IntN(70000)), GID: uint32(r.IntN(3)), Sec: int64(r.IntN(3)), Nsec: uint32(r.IntN(2))}
		for k := range r.IntN(4) {
			n.Xattrs = append(n.Xattrs, Xattr{[]string{"user.", "trusted.", "security.", "odd"}[r.IntN(4)] + fmt.Sprint(k), bytes.Repeat([]byte{'v'}, r.IntN(200))})
		}
		switch r.IntN(7) {
		case 0, 1:
			n.Mode = typeDir | 0o700
			dirs = append(dirs, path)
		case 2:
			n.Mode, n.Target = typeLink|0o777, strings.Repeat("t", 1+r.IntN(4095))
		case 3:
			n.Mode, n.Size, n.Object, n.Measured = typeFile|0o644, 1+uint64(r.Int64N(1<<40)), "ab/cd", true
			files = append(files, path)
		case 4:
			n.Mode, n.Content = typeFile|0o755, bytes.Repeat([]byte{byte(k)}, r.IntN(MaxContent))
			n.Size = uint64(len(n.Content))
			files = append(files, path)
		case 5:
			n.Mode, n.Rdev = typeBlock, 1+r.Uint32()>>1
		case 6:
			if len(files) > 0 {
				n = Node{Path: path, Link: files[r.IntN(len(files))]}
			}
		}
		if n.Mode == 0 && n.Link == "" {
			n.Mode = typeFifo
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// what was put in is found in the image, by a reader that shares no code
func TestRandomTreesReadBack(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 60 {
		nodes := randomTree(r)
		data := imageOf(t, nodes)
		found, err := readImage(data)
		if err != nil {
			t.Fatal(err)
		}
		hidden := 256
		for k := range 256 {
			if slices.ContainsFunc(nodes, func(n Node) bool { return n.Path == fmt.Sprintf("/%02x", k) }) {
				hidden--
			}
		}
		if len(found) != len(nodes)+hidden {
			t.Fatalf("%d names, want %d and %d that hide contents", len(found), len(nodes), hidden)
		}
		for _, n := range nodes {
			compareNode(t, n, found)
		}
		if t.Failed() {
			return
		}
	}
}

func imageOf(t *testing.T, nodes []Node) []byte {
	t.Helper()
	b := NewBuilder()
	for k := range nodes {
		if err := b.Add(&nodes[k]); err != nil {
			t.Fatal(err)
		}
	}
	img, err := b.Finish(Larch)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := img.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func compareNode(t *testing.T, n Node, found map[string]seen) {
	t.Helper()
	have, ok := found[n.Path]
	if !ok {
		t.Errorf("%q is missing", n.Path)
		return
	}
	if n.Link != "" {
		if found[n.Link].nid != have.nid {
			t.Errorf("%q is not %q", n.Path, n.Link)
		}
		return
	}
	if uint32(have.mode) != n.Mode || have.uid != n.UID || have.gid != n.GID || have.sec != n.Sec || have.nsec != n.Nsec || have.rdev != n.Rdev {
		t.Errorf("%q: %+v, want %+v", n.Path, have, n)
	}
	switch n.Mode & typeBits {
	case typeLink:
		if have.data != n.Target {
			t.Errorf("%q leads to %d bytes", n.Path, len(have.data))
		}
	case typeFile:
		if have.size != n.Size || n.Content != nil && have.data != string(n.Content) {
			t.Errorf("%q has %d bytes, %d inside", n.Path, have.size, len(have.data))
		}
		if elsewhere := n.Content == nil; elsewhere != (have.xattrs[redirect] == "/ab/cd") || elsewhere != (len(have.xattrs[metacopy]) == 36) {
			t.Errorf("%q: attributes %q", n.Path, have.xattrs)
		}
	}
	for _, x := range n.Xattrs {
		if value, ok := have.xattrs[x.Name]; !ok || value != string(x.Value) {
			t.Errorf("%q: attribute %q is %q", n.Path, x.Name, value)
		}
	}
}

// the kernel and erofs-utils read what was put in
func TestOthersReadIt(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	nodes := slices.DeleteFunc(randomTree(r), func(n Node) bool { return n.Mode&typeBits == typeBlock })
	name := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(name, imageOf(t, nodes), 0o644); err != nil {
		t.Fatal(err)
	}
	if fsck, err := exec.LookPath("fsck.erofs"); err != nil {
		t.Log("no fsck.erofs: install erofs-utils")
	} else if out, err := exec.Command(fsck, name).CombinedOutput(); err != nil {
		t.Errorf("fsck.erofs: %v: %s", err, out)
	}
	if os.Getuid() != 0 {
		t.Skip("only root can mount images")
	}
	at := t.TempDir()
	if err := unix.Mount(name, at, "erofs", unix.MS_RDONLY, "noacl"); err != nil {
		t.Logf("this kernel mounts no EROFS image from a file on this file system: %v", err)
		return
	}
	defer unix.Unmount(at, unix.MNT_DETACH)
	for _, n := range nodes {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(at, n.Path), &st); err != nil {
			t.Errorf("%q: %v", n.Path, err)
		} else if n.Link == "" && (st.Mode != n.Mode || st.Uid != n.UID || int64(st.Mtim.Sec) != n.Sec) {
			t.Errorf("%q: mode %o, user %d, time %d", n.Path, st.Mode, st.Uid, st.Mtim.Sec)
		}
		if n.Content != nil {
			if data, err := os.ReadFile(filepath.Join(at, n.Path)); err != nil || !bytes.Equal(data, n.Content) {
				t.Errorf("%q: %d bytes, error %v", n.Path, len(data), err)
			}
		}
	}
}

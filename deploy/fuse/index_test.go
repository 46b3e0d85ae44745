package fuse

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/tree"
)

// sample is a tree with something of each kind.
func sample() []*tree.Entry {
	large := bytes.Repeat([]byte("large"), 5000)
	return []*tree.Entry{
		{Path: "/", Kind: tree.Directory, Mode: 0o755, Nlink: 1},
		{Path: "/bin", Kind: tree.Directory, Mode: 0o755, Nlink: 1, Mtime: tree.Time{Sec: 5, Nsec: 6}},
		{Path: "/bin/a", Kind: tree.Regular, Mode: 0o755, Nlink: 2, Size: int64(len(large)), Digest: digest.Of(large), UID: 7, GID: 8},
		{Path: "/bin/b", Kind: tree.Hardlink, Mode: 0o755, Nlink: 2, Size: int64(len(large)), UID: 7, GID: 8, Target: "/bin/a"},
		{Path: "/empty", Kind: tree.Regular, Mode: 0o644, Nlink: 1},
		{Path: "/inline", Kind: tree.Regular, Mode: 0o644, Nlink: 1, Size: 2, Inline: []byte("in"), Xattrs: []tree.Xattr{{Name: "user.a", Value: []byte("1")}, {Name: "user.b"}}},
		{Path: "/link", Kind: tree.Symlink, Mode: 0o777, Nlink: 1, Size: 5, Target: "bin/a"},
		{Path: "/z", Kind: tree.Directory, Mode: 0o700, Nlink: 1},
		{Path: "/z/last", Kind: tree.Regular, Mode: 0o644, Nlink: 1, Size: 4000, Digest: digest.Of(large[:4000])},
	}
}

func entriesOf(list []*tree.Entry) iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// locate is where a store has contents.
func locate(e *tree.Entry) (string, error) {
	name := "objects/" + shard(e.Digest)
	if e.Executable() {
		name += ".x"
	}
	return name, nil
}

func sampleIndex(t testing.TB) []byte {
	t.Helper()
	data, _, err := buildIndex(digest.Of([]byte("text")), entriesOf(sample()), locate)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// listing says what an index holds, in words.
func listing(x *index, at tree.Path, i uint32) (lines []string) {
	r := x.record(i)
	line := string(at) + " " + r.kind().String()
	if r.kind() == tree.Symlink {
		line += " to " + string(x.text(r))
	}
	if r.kind() == tree.Regular {
		line += " of " + x.identity(r).Short()
		if !r.inline() {
			line += " in " + x.path(x.content(r.a()))[:7]
		}
	}
	for name, value := range eachXattr(x.xattrs(r)) {
		line += " " + name + "=" + string(value)
	}
	if x.pathOf(i) != at {
		line += " misplaced"
	}
	lines = append(lines, line)
	if r.kind() == tree.Directory {
		for c := r.a(); c < r.a()+r.b(); c++ {
			name := x.name(x.record(c))
			if found, ok := x.child(r, name); !ok || found != c {
				lines = append(lines, "not found: "+name)
			}
			lines = append(lines, listing(x, at.Join(name), c)...)
		}
	}
	return lines
}

func TestIndexHoldsTheTree(t *testing.T) {
	x, err := parseIndex(sampleIndex(t))
	if err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte("large"), 5000)
	want := []string{
		"/ directory", "/bin directory",
		"/bin/a regular file of " + digest.Of(large).Short() + " in objects",
		"/bin/b regular file of " + digest.Of(large).Short() + " in objects",
		"/empty regular file of " + digest.Of(nil).Short(),
		"/inline regular file of " + digest.Of([]byte("in")).Short() + " user.a=1 user.b=",
		"/link symlink to bin/a", "/z directory",
		"/z/last regular file of " + digest.Of(large[:4000]).Short() + " in objects",
	}
	if d := cmp.Diff(want, listing(x, "/", 0)); d != "" {
		t.Errorf("-want +have:\n%s", d)
	}
	bin, _ := x.child(x.record(0), "bin")
	a, _ := x.child(x.record(bin), "a")
	b, _ := x.child(x.record(bin), "b")
	if x.record(a).file() != x.record(b).file() {
		t.Error("two names of a file are two inodes")
	}
	if name, want := x.path(x.content(x.record(a).a())), "objects/"+shard(digest.Of(large))+".x"; name != want {
		t.Errorf("content at %s instead of %s", name, want)
	}
	if _, ok := x.child(x.record(0), "bi"); ok {
		t.Error("found what is not there")
	}
	if again := sampleIndex(t); !bytes.Equal(again, x.data) {
		t.Error("the same tree gives another index")
	}
}

// every byte counts
func TestIndexFlipped(t *testing.T) {
	data := sampleIndex(t)
	for i := range data {
		data[i] ^= 1
		if _, err := parseIndex(data); !errors.Is(err, digest.ErrMismatch) {
			t.Errorf("byte %d: error %v", i, err)
		}
		data[i] ^= 1
	}
	for n := range data {
		if _, err := parseIndex(data[:n]); !errors.Is(err, digest.ErrMismatch) {
			t.Errorf("cut to %d bytes: error %v", n, err)
		}
	}
}

// seal gives data the digest that an index ends with.
func seal(data []byte) []byte {
	sum := digest.Of(data)
	return append(data, sum[:]...)
}

// an index with the right digest and wrong numbers is refused
func TestIndexUnsound(t *testing.T) {
	good := sampleIndex(t)
	body := good[:len(good)-digest.Size]
	at := func(record, offset int) int { return headSize + record*recordSize + offset }
	for name, change := range map[string]func(p []byte){
		"no entries":            func(p []byte) { clear(p[8:12]) },
		"too many entries":      func(p []byte) { binary.LittleEndian.PutUint32(p[8:], 1<<31) },
		"the root is a file":    func(p []byte) { p[at(0, 1)] = 0x81 },
		"no kind":               func(p []byte) { p[at(1, 1)] = 0 },
		"children of another":   func(p []byte) { p[at(0, 40)] = 2 },
		"its own child":         func(p []byte) { p[at(0, 40)] = 0 },
		"too many children":     func(p []byte) { p[at(0, 44)] = 200 },
		"too few children":      func(p []byte) { p[at(0, 44)] = 1 },
		"a name outside":        func(p []byte) { binary.LittleEndian.PutUint32(p[at(1, 32):], 1<<30) },
		"no name":               func(p []byte) { p[at(1, 36)] = 0 },
		"attributes outside":    func(p []byte) { binary.LittleEndian.PutUint32(p[at(3, 52):], 1<<30) },
		"text outside":          func(p []byte) { binary.LittleEndian.PutUint32(p[at(4, 44):], 1<<30) },
		"a content that is not": func(p []byte) { p[at(6, 40)] = 77 },
	} {
		p := bytes.Clone(body)
		change(p)
		if bytes.Equal(p, body) {
			t.Errorf("%s: nothing was changed", name)
		}
		if _, err := parseIndex(seal(p)); !errors.Is(err, digest.ErrMismatch) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// a stranger's index makes nothing panic
func FuzzIndex(f *testing.F) {
	good := sampleIndex(f)
	f.Add(good[:len(good)-digest.Size])
	f.Fuzz(func(t *testing.T, body []byte) {
		x, err := parseIndex(seal(bytes.Clone(body)))
		if err != nil {
			return
		}
		listing(x, "/", 0)
		for i := range x.entries() {
			x.size(x.record(i))
			x.pathOf(i)
		}
		for i := range uint32(len(x.contents) / contentSize) {
			x.path(x.content(i))
		}
	})
}

func TestKey(t *testing.T) {
	k := newKey("name", digest.Of([]byte("index")))
	if parsed, err := parseKey(k.String()); err != nil || parsed != k || k == 0 || k >= 1<<31 {
		t.Errorf("key %v parsed as %v, error %v", k, parsed, err)
	}
	if k == newKey("other", digest.Of([]byte("index"))) || k == newKey("name", digest.Of([]byte("other"))) {
		t.Error("another deployment has the same key")
	}
	for _, text := range []string{"", "x", "80000000", "-1"} {
		if _, err := parseKey(text); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
}

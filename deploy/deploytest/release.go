package deploytest

import (
	"bytes"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/tree"
)

// Release is a tree to deploy, with its contents.
type Release struct {
	entries  []*tree.Entry
	contents [][]byte
}

// NewRelease starts with an empty tree.
func NewRelease() *Release {
	return &Release{entries: []*tree.Entry{{Path: "/", Kind: tree.Directory, Mode: 0o755, Nlink: 1}}}
}

// change adjusts an entry that is being added.
type change func(*tree.Entry)

func mode(m uint32) change         { return func(e *tree.Entry) { e.Mode = m } }
func owner(uid, gid uint32) change { return func(e *tree.Entry) { e.UID, e.GID = uid, gid } }
func at(sec int64, nsec uint32) change {
	return func(e *tree.Entry) { e.Mtime = tree.Time{Sec: sec, Nsec: nsec} }
}
func xattr(name, value string) change {
	return func(e *tree.Entry) { e.Xattrs = append(e.Xattrs, tree.Xattr{Name: name, Value: []byte(value)}) }
}

func (r *Release) add(e *tree.Entry, changes []change) *Release {
	for _, c := range changes {
		c(e)
	}
	r.entries = append(r.entries, e)
	return r
}

// Dir adds a directory.
func (r *Release) Dir(p tree.Path, changes ...change) *Release {
	return r.add(&tree.Entry{Path: p, Kind: tree.Directory, Mode: 0o755, Nlink: 1}, changes)
}

// File adds a regular file.
func (r *Release) File(p tree.Path, content []byte, changes ...change) *Release {
	e := &tree.Entry{Path: p, Kind: tree.Regular, Mode: 0o644, Nlink: 1, Size: int64(len(content)), Digest: digest.Of(content)}
	if len(content) > 0 && len(content) <= tree.InlineMax {
		e.Inline = content
	}
	if len(content) > tree.InlineMax {
		r.contents = append(r.contents, content)
	}
	return r.add(e, changes)
}

// Symlink adds a symlink.
func (r *Release) Symlink(p tree.Path, target string, changes ...change) *Release {
	return r.add(&tree.Entry{Path: p, Kind: tree.Symlink, Mode: 0o777, Nlink: 1, Size: int64(len(target)), Target: target}, changes)
}

// Link adds one more name of a file that was added before.
func (r *Release) Link(p, first tree.Path) *Release {
	i := slices.IndexFunc(r.entries, func(e *tree.Entry) bool { return e.Path == first })
	nlink := r.entries[i].Nlink + 1
	for _, e := range r.entries {
		if e.Path == first || e.Kind == tree.Hardlink && e.Target == string(first) {
			e.Nlink = nlink
		}
	}
	e := *r.entries[i]
	e.Path, e.Kind, e.Target = p, tree.Hardlink, string(first)
	e.Inline, e.Xattrs, e.Digest = nil, nil, digest.Digest{}
	r.entries = append(r.entries, &e)
	return r
}

// spec encodes the tree, stores the contents, and makes it the tree of its name.
func (r *Release) spec(t testing.TB, name string, contents *Contents) deploy.Spec {
	t.Helper()
	for _, data := range r.contents {
		contents.put(t, data)
	}
	slices.SortFunc(r.entries, func(a, b *tree.Entry) int { return a.Path.Compare(b.Path) })
	var text bytes.Buffer
	enc := tree.NewEncoder(&text)
	for _, e := range r.entries {
		if err := enc.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	spec := deploy.Spec{
		Name: name, Info: enc.Info(),
		Tree: func() iter.Seq2[*tree.Entry, error] { return tree.Decode(bytes.NewReader(text.Bytes())) },
	}
	contents.show(spec)
	return spec
}

// content gives n bytes that depend on seed.
func content(seed string, n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32.32s", seed)))).Read(p)
	return p
}

// releases are the trees that every backend has to show as they are.
func releases() map[string]*Release {
	shared := content("shared", 100_000)
	all := map[string]*Release{
		"empty": NewRelease(),
		"sizes": NewRelease().File("/0", nil).File("/1", content("s", 1)).File("/64", content("s", 64)).File("/65", content("s", 65)).
			File("/4096", content("s", 4096)).File("/4097", content("s", 4097)).File("/large", content("s", 3<<20+1)),
		"modes": NewRelease().Dir("/closed", mode(0o700)).File("/closed/run", shared, mode(0o755)).File("/read", shared, mode(0o644)).
			File("/own", shared, mode(0o600)).File("/owngroup", shared, mode(0o750)).File("/small", content("m", 5), mode(0o755)).File("/none", nil, mode(0o755)),
		"symlinks": NewRelease().Symlink("/absolute", "/etc/passwd").Symlink("/dangling", "nowhere").Symlink("/up", "../../../..").
			Symlink("/self", "self").Symlink("/strange", "a b\\\"'$(x)").Symlink("/long", strings.Repeat("x/", 2000)),
		"links": NewRelease().File("/a", shared).File("/own", shared, mode(0o600)).Dir("/d").File("/d/small", content("l", 10)).
			Link("/b", "/a").Link("/d/c", "/a").Link("/small", "/d/small").Link("/z", "/own"),
		"own names": NewRelease().File("/lock", shared).Dir("/tree").File("/tree/lock", nil).Dir("/tmp").File("/tmp/deploy-x", shared).File("/.new-1", shared),
		"names": NewRelease().File(tree.Path("/"+strings.Repeat("n", 255)), shared).File("/ and space", shared).File("/\xff\xfe", shared).
			File("/-rf", shared).File("/*?[a]", shared).File("/\\x", shared),
		"times": NewRelease().Dir("/d", at(1_000_000_000, 5)).File("/d/f", shared, at(1, 999_999_999)).File("/d/inline", content("t", 9), at(2, 0)).
			Symlink("/d/l", "f", at(3, 4)).Dir("/d/e", at(5, 0)),
		"attributes": NewRelease().Dir("/d", xattr("user.dir", "value")).File("/d/f", shared, xattr("user.a", ""), xattr("user.b", "\x00\xff")).
			File("/d/inline", content("x", 3), xattr("user.c", "1")),
		"equal": NewRelease(),
		"deep":  NewRelease(),
		"wide":  NewRelease(),
	}
	for i := range 300 {
		all["equal"].File(tree.Path(fmt.Sprintf("/%03d", i)), shared)
		all["wide"].File(tree.Path(fmt.Sprintf("/%03d", i)), content(fmt.Sprint("wide", i), 65+i))
	}
	deep := tree.Path("/")
	for range 200 {
		deep = deep.Join("deep")
		all["deep"].Dir(deep).File(deep.Join("file"), shared)
	}
	if os.Getuid() == 0 {
		all["owners"] = NewRelease().Dir("/d", owner(1000, 100)).File("/d/f", shared, owner(1000, 1000), mode(0o4755)).
			Symlink("/d/l", "f", owner(7, 7)).File("/d/inline", content("o", 4), owner(0, 5))
	}
	return all
}

// tangled is a small tree with something of each kind.
func tangled() *Release {
	return NewRelease().Dir("/bin", at(5, 0)).File("/bin/program", content("program", 70_000), mode(0o755)).File("/bin/script", content("s", 30), mode(0o755)).
		Dir("/share").File("/share/data", content("data", 5000)).File("/share/own", content("own", 500), mode(0o600)).
		Symlink("/share/link", "data").Link("/share/plus", "/share/own").Link("/bin/program2", "/bin/program")
}

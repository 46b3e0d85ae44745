package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/larch-project/larch/digest"
)

// vector is a file of spec/vectors/tree: keys, an empty line, and a text.
type vector struct {
	name string
	keys map[string]string
	text []byte
}

func vectors(t testing.TB) []vector {
	t.Helper()
	files, err := filepath.Glob("../spec/vectors/tree/*.txt")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d vectors, error %v", len(files), err)
	}
	var out []vector
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		head, text, found := bytes.Cut(data, []byte("\n\n"))
		if !found {
			t.Fatalf("%s has no empty line", file)
		}
		v := vector{strings.TrimSuffix(filepath.Base(file), ".txt"), map[string]string{}, text}
		for line := range strings.SplitSeq(string(head), "\n") {
			key, value, _ := strings.Cut(line, ": ")
			v.keys[key] = value
		}
		out = append(out, v)
	}
	return out
}

// readers are the ways in which a text comes to the package.
var readers = map[string]func(text []byte) iter.Seq2[*Entry, error]{
	"Decode":           func(text []byte) iter.Seq2[*Entry, error] { return Decode(bytes.NewReader(text)) },
	"Decode, bytewise": func(text []byte) iter.Seq2[*Entry, error] { return Decode(iotest.OneByteReader(bytes.NewReader(text))) },
	"Decode, data and end at once": func(text []byte) iter.Seq2[*Entry, error] {
		return Decode(iotest.DataErrReader(bytes.NewReader(text)))
	},
	"Verified": func(text []byte) iter.Seq2[*Entry, error] {
		return Verified(bytes.NewReader(text), infoOf(text))
	},
	"Diff": func(text []byte) iter.Seq2[*Entry, error] {
		return func(yield func(*Entry, error) bool) {
			nothing := func(func(*Entry, error) bool) {}
			for c, err := range Diff(nothing, Decode(bytes.NewReader(text))) {
				if !yield(c.New, err) {
					return
				}
			}
		}
	},
}

// infoOf describes a text as a release would if it were right.
func infoOf(text []byte) Info {
	info := Info{Digest: digest.Of(text), Size: int64(len(text))}
	for e, err := range Decode(bytes.NewReader(text)) {
		if err != nil {
			break
		}
		info.Entries++
		if e.Kind == Regular {
			info.Files++
			info.Bytes += e.Size
		}
	}
	return info
}

func collect(entries iter.Seq2[*Entry, error]) (all []*Entry, err error) {
	for e, err := range entries {
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	return all, nil
}

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.name, func(t *testing.T) {
			for name, read := range readers {
				all, err := collect(read(v.text))
				if v.keys["expect"] != "accept" {
					expectRule(t, name, v, err)
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				if again := text(t, all); !bytes.Equal(again, v.text) {
					t.Errorf("%s: encoding gives other bytes:\n%.2000s", name, again)
				}
				expectRules(t, v, all)
			}
		})
	}
}

// expectRule wants the error that a reject vector names.
func expectRule(t *testing.T, reader string, v vector, err error) {
	t.Helper()
	var rule *RuleError
	if !errors.As(err, &rule) || !errors.Is(err, ErrFormat) {
		t.Errorf("%s: error %v; want rule %s", reader, err, v.keys["expect"])
		return
	}
	if have, want := fmt.Sprint(rule.Rule, " ", rule.Line), v.keys["expect"]+" "+v.keys["line"]; have != want {
		t.Errorf("%s: rule and line %s; want %s: %v", reader, have, want, err)
	}
}

// expectRules wants the digest, and what each kind of release says.
func expectRules(t *testing.T, v vector, all []*Entry) {
	t.Helper()
	if have := digest.Of(v.text).String(); have != v.keys["digest"] {
		t.Errorf("digest %s; want %s", have, v.keys["digest"])
	}
	for key, rules := range map[string]Rules{"application": ApplicationRules(), "os": OSRules()} {
		have := "ok"
		for _, e := range all {
			if rule := (*RuleError)(nil); errors.As(rules.Check(e), &rule) {
				have = rule.Rule
				break
			}
		}
		if have != v.keys[key] {
			t.Errorf("as a tree of kind %s: %s; want %s", key, have, v.keys[key])
		}
	}
}

// No change of a byte, and no truncation, is taken for the tree that was meant;
// what is still some tree has one spelling.
func TestEveryFlippedByteIsFound(t *testing.T) {
	whole := text(t, sample())
	info := infoOf(whole)
	if _, err := collect(Verified(bytes.NewReader(whole), info)); err != nil {
		t.Fatal(err)
	}
	flips := []func(byte) byte{
		func(b byte) byte { return b ^ 1 }, func(b byte) byte { return b ^ 0x20 }, func(b byte) byte { return b ^ 0x80 },
		func(byte) byte { return 0 }, func(byte) byte { return '\n' }, func(byte) byte { return ' ' },
		func(byte) byte { return '\\' }, func(byte) byte { return 0x7f }, func(byte) byte { return 0xff },
	}
	for i := range whole {
		expectRefused(t, whole[:i], info)
		for _, flip := range flips {
			bad := bytes.Clone(whole)
			if bad[i] = flip(bad[i]); bad[i] != whole[i] {
				expectRefused(t, bad, info)
			}
		}
	}
	expectRefused(t, append(bytes.Clone(whole), '\n'), info)
	expectRefused(t, append(bytes.Clone(whole), whole...), info)
}

func expectRefused(t *testing.T, bad []byte, info Info) {
	t.Helper()
	if _, err := collect(Verified(bytes.NewReader(bad), info)); !errors.Is(err, digest.ErrMismatch) && !errors.Is(err, ErrFormat) {
		t.Errorf("Verified: error %v for\n%s", err, bad)
	}
	expectCanonical(t, bad)
}

// expectCanonical wants that a text is refused as malformed, or is what an
// encoder makes of its entries.
func expectCanonical(t *testing.T, data []byte) {
	t.Helper()
	all, err := collect(Decode(bytes.NewReader(data)))
	if err == nil {
		if again := text(t, all); !bytes.Equal(again, data) {
			t.Errorf("accepted, but encoding gives other bytes: %q\n%q", data, again)
		}
		return
	}
	if !errors.Is(err, ErrFormat) {
		t.Errorf("error %v does not match ErrFormat", err)
	}
}

// sample has one entry of each shape.
func sample() []*Entry {
	inline := []byte("=\x00\xff -\n")
	return []*Entry{
		{Path: "/", Kind: Directory, Mode: 0o755, Nlink: 1},
		{Path: "/a b", Kind: Directory, Mode: 0o1777, UID: 7, GID: 8, Nlink: 1, Mtime: Time{1700000000, 5}},
		{Path: "/a b/one", Kind: Regular, Mode: 0o4755, Size: 1000, Nlink: 2, Digest: digest.Of([]byte("one")),
			Xattrs: []Xattr{{Name: "user.a", Value: []byte("x=y")}, {Name: "user.b"}}},
		{Path: "/a b/two", Kind: Hardlink, Mode: 0o4755, Size: 1000, Nlink: 2, Target: "/a b/one"},
		{Path: "/empty", Kind: Regular, Mode: 0o644, Nlink: 1, Digest: digest.Of(nil)},
		{Path: "/inline", Kind: Regular, Mode: 0o644, Size: int64(len(inline)), Nlink: 1, Inline: inline, Digest: digest.Of(inline)},
		{Path: "/link", Kind: Symlink, Mode: 0o777, Size: 1, Nlink: 1, Target: "-"},
	}
}

func FuzzDecode(f *testing.F) {
	for _, v := range vectors(f) {
		if len(v.text) < 4096 {
			f.Add(v.text)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		expectCanonical(t, data)
		for e, err := range Decode(bytes.NewReader(data)) {
			if err == nil {
				_, _ = ApplicationRules().Check(e), OSRules().Check(e)
			}
		}
	})
}

func TestDecodeReportsTheReader(t *testing.T) {
	broken := errors.New("broken pipe")
	whole := text(t, sample())
	for _, n := range []int{0, 10, len(whole)} {
		r := io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(broken))
		if _, err := collect(Decode(r)); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: error %v", n, err)
		}
	}
}

package install

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/release"
)

func someGeneration(t testing.TB) *Generation {
	ref, err := release.ParseRef(hello)
	if err != nil {
		t.Fatal(err)
	}
	return &Generation{
		Number: 7, Parent: 5, Created: now, Verb: Update,
		Changes: []Change{{Ref: ref, Before: "1", Now: "2"}},
		Installed: []Installed{{
			Ref: ref, Version: "2", Release: digest.Of([]byte("r")), Remote: "example", RootKey: "ab", Backend: "hardlink",
			Exports:  []Export{{Name: "bin/org.example.Hello", Digest: digest.Of([]byte("e"))}},
			Requires: []release.Ref{},
		}},
	}
}

func TestGenerationCodec(t *testing.T) {
	g := someGeneration(t)
	data := must[[]byte](t)(g.encode())
	if diff := cmp.Diff(g, must[*Generation](t)(decodeGeneration(data))); diff != "" {
		t.Errorf("-want +have:\n%s", diff)
	}
	for at := range data {
		for _, bit := range []byte{1, 0x20} {
			broken := append([]byte{}, data...)
			broken[at] ^= bit
			if g, err := decodeGeneration(broken); !errors.Is(err, ErrFormat) {
				t.Fatalf("byte %d: %+v, %v", at, g, err)
			}
		}
	}
	for n := range data {
		if _, err := decodeGeneration(data[:n]); !errors.Is(err, ErrFormat) {
			t.Fatalf("the first %d bytes: %v", n, err)
		}
	}
}

func TestGenerationRules(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Generation)
	}{
		{"number 0", func(g *Generation) { g.Number = 0 }},
		{"a parent from the future", func(g *Generation) { g.Parent = 7 }},
		{"a negative parent", func(g *Generation) { g.Parent = -1 }},
		{"no verb", func(g *Generation) { g.Verb = "" }},
		{"an undo of nothing", func(g *Generation) { g.Verb = Undo }},
		{"a ref twice", func(g *Generation) { g.Installed = append(g.Installed, g.Installed[0]) }},
		{"no release", func(g *Generation) { g.Installed[0].Release = digest.Digest{} }},
		{"a path as a backend", func(g *Generation) { g.Installed[0].Backend = "../x" }},
		{"a path as a remote", func(g *Generation) { g.Installed[0].Remote = "a/b" }},
		{"an export that leads out", func(g *Generation) { g.Installed[0].Exports[0].Name = "../x" }},
		{"an absolute export", func(g *Generation) { g.Installed[0].Exports[0].Name = "/x" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := someGeneration(t)
			c.change(g)
			if g, err := decodeGeneration(must[[]byte](t)(g.encode())); !errors.Is(err, ErrFormat) {
				t.Errorf("%+v, %v", g, err)
			}
		})
	}
}

func FuzzDecodeGeneration(f *testing.F) {
	data, err := someGeneration(f).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := decodeGeneration(data)
		if err != nil {
			return
		}
		again, err := g.encode()
		if err != nil || string(again) != string(data) {
			t.Errorf("%q, %v", again, err)
		}
	})
}

func FuzzDecodeRemote(f *testing.F) {
	data, err := encodeSealed(Remote{Name: "example", URL: "https://example.org", Title: "An <example>"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeSealed[Remote](data)
		if err != nil {
			return
		}
		again, err := encodeSealed(r)
		if err != nil || string(again) != string(data) {
			t.Errorf("%q, %v", again, err)
		}
	})
}

func TestNumbersOfGenerations(t *testing.T) {
	for text, want := range map[string]bool{"1": true, "12": true, "0": false, "01": false, "+1": false, "-1": false, "": false, "1x": false, "9999999999999999999": false} {
		if _, ok := parseNumber(text); ok != want {
			t.Errorf("%q: %v", text, ok)
		}
	}
}

func TestUserDir(t *testing.T) {
	for _, c := range []struct{ data, home, want string }{
		{"/data", "/home/a", "/data/larch"},
		{"", "/home/a", "/home/a/.local/share/larch"},
		{"relative", "/home/a", "/home/a/.local/share/larch"},
		{"", "", ""},
		{"", "relative", ""},
	} {
		env := map[string]string{"XDG_DATA_HOME": c.data, "HOME": c.home}
		dir, err := UserDir(func(name string) string { return env[name] })
		if dir != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%+v: %q, %v", c, dir, err)
		}
	}
}

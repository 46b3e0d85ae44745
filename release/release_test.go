package release

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/digest"
)

func sample() *Release {
	return &Release{
		Annotations: map[string]string{"title": "An <editor> & more", "summary": "Grüße\u2028"},
		Created:     time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC),
		Message:     "first\nline",
		Metadata:    "[Application]\nname=org.example.Editor\n",
		Previous:    []Previous{{digest.Of([]byte("x")), "0.9"}},
		Ref:         Ref{App, "org.example.Editor", "x86_64", "stable"},
		Requires:    []Ref{{Runtime, "org.example.Base", "x86_64", "1"}},
		Tree:        Tree{Bytes: 100, Digest: digest.Of(nil), Entries: 3, Files: 1, Size: 200},
		Version:     "1.0",
	}
}

func TestRoundTrip(t *testing.T) {
	want := sample()
	doc, d, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if d != digest.Of(doc) {
		t.Errorf("named %v", d)
	}
	have, err := Decode(doc)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
}

func TestEveryFlippedByteGivesAnotherReleaseOrNone(t *testing.T) {
	doc, _, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for i := range doc {
		for _, bit := range []byte{1, 0x20, 0x80} {
			bad := bytes.Clone(doc)
			bad[i] ^= bit
			rel, err := Decode(bad)
			if err != nil {
				if !errors.Is(err, ErrFormat) {
					t.Errorf("byte %d: error %v", i, err)
				}
				continue
			}
			again, _, err := rel.Encode()
			if err != nil || !bytes.Equal(again, bad) {
				t.Errorf("byte %d: accepted, but written otherwise (%v)", i, err)
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	doc, _, err := sample().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"empty":         "",
		"null":          "null\n",
		"white space":   " " + string(doc),
		"trailing":      string(doc) + "{}",
		"no newline":    strings.TrimSuffix(string(doc), "\n"),
		"unknown key":   strings.Replace(string(doc), `"version"`, `"virgin":1,"version"`, 1),
		"key twice":     strings.Replace(string(doc), `"version":`, `"version":"2","version":`, 1),
		"other case":    strings.Replace(string(doc), `"version"`, `"Version"`, 1),
		"time zone":     strings.Replace(string(doc), `00Z"`, `00+01:00"`, 1),
		"fraction":      strings.Replace(string(doc), `00Z"`, `00.5Z"`, 1),
		"float":         strings.Replace(string(doc), `"size":200`, `"size":2e2`, 1),
		"huge":          strings.Replace(string(doc), `"size":200`, `"size":99999999999999`, 1),
		"negative":      strings.Replace(string(doc), `"bytes":100`, `"bytes":-1`, 1),
		"more files":    strings.Replace(string(doc), `"files":1`, `"files":4`, 1),
		"ref":           strings.Replace(string(doc), `app/org`, `app/../org`, 1),
		"version ..":    strings.Replace(string(doc), `"1.0"`, `"../x"`, 1),
		"too long":      strings.Repeat(" ", MaxSize) + string(doc),
		"large message": strings.Replace(string(doc), `first`, strings.Repeat("x", 5000), 1),
	} {
		if _, err := Decode([]byte(bad)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestErrorsAreShort: an error says no more of a document than fits on a line.
func TestErrorsAreShort(t *testing.T) {
	for _, text := range []string{strings.Repeat("9", 900<<10), "\x7f", strings.Repeat("\x7f", 1000)} {
		_, err := Decode([]byte(`{"annotations":{},"created":"` + text + `"}`))
		if err == nil || len(err.Error()) > 400 || strings.Contains(err.Error(), "\x7f") {
			t.Errorf("%.500v", err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	doc, _, _ := sample().Encode()
	f.Add(doc)
	f.Fuzz(func(t *testing.T, doc []byte) {
		rel, err := Decode(doc)
		if err != nil {
			return
		}
		if again, _, err := rel.Encode(); err != nil || !bytes.Equal(again, doc) {
			t.Errorf("accepted, but written otherwise: %v", err)
		}
	})
}

func TestParseRef(t *testing.T) {
	const good = "app/org.example.Editor/x86_64/stable"
	if r, err := ParseRef(good); err != nil || r.String() != good {
		t.Errorf("%v, %v", r, err)
	}
	for _, bad := range []string{
		"", "a/b", good + "/x", "/" + good, "apps/org.example.Editor/x86_64/stable", "app/editor/x86_64/stable",
		"app/../x86_64/stable", "app/-org.x/x86_64/stable", "app/.org.x/x86_64/stable", "app/org.x./x86_64/stable",
		"app/org..x/x86_64/stable", "app/org.x/x86_64/", "app/org.x/x86 64/stable", "app/org.x/x86_64/st\x00able",
		"app/org.x/x86_64/st\nable", "app/org.é/x86_64/stable", "app/org." + strings.Repeat("x", 200) + "/x86_64/stable",
		"app/org.x/*/stable", "app/org.x/x86_64/st\xffable", "app/org.x/../stable",
	} {
		if _, err := ParseRef(bad); !errors.Is(err, ErrRef) {
			t.Errorf("%q: error %v", bad, err)
		}
	}
}

func TestResolve(t *testing.T) {
	parse := func(s string) Ref {
		r, err := ParseRef(s)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	host := HostArch()
	refs := []Ref{
		parse("app/org.example.Editor/" + host + "/stable"), parse("app/org.example.Editor/" + host + "/beta"),
		parse("app/org.example.Viewer/" + host + "/stable"), parse("app/org.example.Viewer/riscv64/stable"),
		parse("runtime/org.example.Viewer/" + host + "/stable"), parse("app/net.other.Viewers/" + host + "/stable"),
	}
	for short, want := range map[string]string{
		"editor//beta":                 "app/org.example.Editor/" + host + "/beta",
		"viewer":                       "app/org.example.Viewer/" + host + "/stable",
		"Viewer/riscv64":               "app/org.example.Viewer/riscv64/stable",
		"runtime/viewer":               "runtime/org.example.Viewer/" + host + "/stable",
		"net.other.Viewers":            "app/net.other.Viewers/" + host + "/stable",
		refs[0].String():               refs[0].String(),
		"app/org.example.Editor//beta": refs[1].String(),
	} {
		if have, err := Resolve(refs, short); err != nil || have.String() != want {
			t.Errorf("%s: %v, %v; want %s", short, have, err, want)
		}
	}
	if _, err := Resolve(refs, "editor"); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("editor: %v", err)
	}
	for _, unknown := range []string{"", "/", "nothing", "editor//gamma", "app/org.example.Editor/" + host + "/gamma", "os/editor", "a/b/c/d/e"} {
		if _, err := Resolve(refs, unknown); !errors.Is(err, ErrUnknownRef) {
			t.Errorf("%q: %v", unknown, err)
		}
	}
}

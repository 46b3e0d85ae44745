package keyfile

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sample = `# a comment
[Application]
name=org.example.Editor
tags=text;writing;

[Desktop Entry]
Name = Editor
Name[de_DE@euro]=Textprogramm
Terminal=false
Text=\sleading\n\ttab\\n
Parts=a\;b;;c
`

func parse(t *testing.T, text string) *File {
	t.Helper()
	f, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestParse(t *testing.T) {
	f := parse(t, sample)
	var names []string
	for _, g := range f.Groups() {
		names = append(names, g.Name())
	}
	if diff := cmp.Diff([]string{"Application", "Desktop Entry"}, names); diff != "" {
		t.Error(diff)
	}
	entry := f.Group("Desktop Entry")
	if diff := cmp.Diff([]string{"Name", "Name[de_DE@euro]", "Terminal", "Text", "Parts"}, entry.Keys()); diff != "" {
		t.Error(diff)
	}
	for key, want := range map[string]string{
		"Name": "Editor", "Name[de_DE@euro]": "Textprogramm", "Text": " leading\n\ttab\\n", "Absent": "",
	} {
		if got, err := entry.String(key); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", key, got, err, want)
		}
	}
	if terminal, err := entry.Bool("Terminal"); terminal || err != nil {
		t.Error("Terminal:", terminal, err)
	}
	if f.Group("Absent").Has("x") || f.Group("Absent").Keys() != nil {
		t.Error("a missing group has keys")
	}
}

func TestList(t *testing.T) {
	for text, want := range map[string][]string{
		"":           nil,
		"a":          {"a"},
		"a;b":        {"a", "b"},
		"a;b;":       {"a", "b"},
		";":          {""},
		"a;;b":       {"a", "", "b"},
		`a\;b;c`:     {"a;b", "c"},
		`a\\;b`:      {`a\`, "b"},
		`\sa; b ;\n`: {" a", " b ", "\n"},
	} {
		got, err := parse(t, "[G]\nk="+text+"\n").Group("G").List("k")
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v\n%s", text, err, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"key before a group":    "a=b\n",
		"group twice":           "[A]\n[B]\n[A]\n",
		"key twice":             "[A]\na=1\na=2\n",
		"key twice, spaced":     "[A]\na=1\na =2\n",
		"NUL in a value":        "[A]\na=host\x00;hidden\n",
		"NUL at the end":        "[A]\na=1\n\x00",
		"escape character":      "[A]\na=\x1b[2J\n",
		"delete character":      "[A]\na\x7f=1\n",
		"carriage return":       "[A]\na=1\rb=2\n",
		"control in a comment":  "#\x07\n[A]\n",
		"not UTF-8":             "[A]\na=\xff\n",
		"neither key nor group": "[A]\nwhat\n",
		"open group":            "[A\n",
		"text behind a group":   "[A] x\n",
		"empty group":           "[]\n",
		"bracket in a group":    "[A]B]\n",
		"empty key":             "[A]\n=1\n",
		"open locale":           "[A]\na[de=1\n",
		"empty locale":          "[A]\na[]=1\n",
		"text behind a locale":  "[A]\na[de]x=1\n",
		"odd locale":            "[A]\na[d e]=1\n",
		"too large":             "#" + strings.Repeat("x", MaxSize),
	} {
		if f, err := Parse([]byte(text)); !errors.Is(err, ErrFormat) || f != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValuesRefused(t *testing.T) {
	for _, text := range []string{`\`, `a\`, `\x`, `\;`, `\"`, `a\é`} {
		g := parse(t, "[G]\nk="+text+"\n").Group("G")
		if s, err := g.String("k"); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %q, %v", text, s, err)
		}
		if text != `\;` {
			if l, err := g.List("k"); !errors.Is(err, ErrFormat) {
				t.Errorf("%q: %q, %v", text, l, err)
			}
		}
		if b, err := g.Bool("k"); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v, %v", text, b, err)
		}
	}
}

func TestLineEnds(t *testing.T) {
	f := parse(t, "[A]\r\na=1\r\n\r\n  b = 2 ")
	for key, want := range map[string]string{"a": "1", "b": "2 "} {
		if got, err := f.Group("A").String(key); got != want || err != nil {
			t.Errorf("%s: %q, %v", key, got, err)
		}
	}
}

func TestWrite(t *testing.T) {
	var f File
	g, err := f.Add("Desktop Entry")
	if err != nil {
		t.Fatal(err)
	}
	strange := " \t a;b\\n\n[x]=#\r é "
	for _, err := range []error{
		g.SetString("Name", "first"), g.SetString("Name", strange), g.SetList("Parts", strange, "", "b"), g.SetList("None"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	read := parse(t, string(f.Bytes())).Group("Desktop Entry")
	if got, err := read.String("Name"); got != strange || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	got, err := read.List("Parts")
	if diff := cmp.Diff([]string{strange, "", "b"}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestWriteRefuses(t *testing.T) {
	var f File
	g, err := f.Add("A")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"A", "", "a]", "a\nb", "a\xff", "[a"} {
		if _, err := f.Add(name); err == nil {
			t.Errorf("group %q", name)
		}
	}
	for _, key := range []string{"", " a", "a ", "a=b", "a\nb", "a[", "#a", "[a]", "a\xff", "a\x00"} {
		if g.SetString(key, "v") == nil {
			t.Errorf("key %q", key)
		}
	}
	for _, value := range []string{"\x00", "\xff", "\x1b"} {
		if g.SetString("k", value) == nil || g.SetList("k", value) == nil {
			t.Errorf("value %q", value)
		}
	}
	if string(f.Bytes()) != "[A]\n" {
		t.Errorf("%q", f.Bytes())
	}
}

// FuzzParse: whatever is accepted is written as text that reads the same and is
// written the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("[A]\r\na[b]= \\s;\\;\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		first, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		written := first.Bytes()
		second, err := Parse(written)
		if err != nil {
			t.Fatalf("%q: %v", written, err)
		}
		if diff := cmp.Diff(written, second.Bytes()); diff != "" {
			t.Fatal(diff)
		}
		for i, g := range first.Groups() {
			again := second.Groups()[i]
			for _, key := range g.Keys() {
				one, oneErr := g.List(key)
				two, twoErr := again.List(key)
				if !cmp.Equal(one, two) || (oneErr == nil) != (twoErr == nil) {
					t.Fatalf("%q: %q, %v and %q, %v", key, one, oneErr, two, twoErr)
				}
			}
		}
	})
}

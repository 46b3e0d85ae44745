package erofs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

const rootLine = "/ 0 40755 2 0 0 0 0.0 - - -\n"

// Lines of which the vectors have none like them: refused as upstream does, with the
// line, or the entry.
func TestRefused(t *testing.T) {
	long := strings.Repeat("p", maxTarget+1)
	large := strings.Repeat("c", MaxContent+1)
	for name, c := range map[string]struct{ dump, want string }{
		"root with two slashes":        {"// 0 40755 2 0 0 0 0.0 - - -\n", "line 1"},
		"content of a directory":       {rootLine + "/d 1 40755 2 0 0 0 0.0 - abc -\n", "line 2"},
		"content of a symlink":         {rootLine + "/l 1 120777 1 0 0 0 0.0 to abc -\n", "line 2"},
		"large content of a fifo":      {rootLine + fmt.Sprintf("/p %d 10644 1 0 0 0 0.0 - %s -\n", len(large), large), "line 2"},
		"long object of a file":        {rootLine + "/f 9 100644 1 0 0 0 0.0 " + long + " - -\n", "line 2"},
		"long object of a directory":   {rootLine + "/d 0 40755 2 0 0 0 0.0 " + long + " - -\n", "line 2"},
		"line that is too long":        {rootLine + strings.Repeat("/", maxLine) + "f 0 100644 1 0 0 0 0.0 - - -\n", "line 2"},
		"file without a digest field":  {rootLine + "/f 1 100644 1 0 0 0 0.0 - -\n", "line 2"},
		"file without a content field": {rootLine + "/f 1 100644 1 0 0 0 0.0 -\n", "line 2"},
		"directory without a time":     {rootLine + "/d 0 40755 2 0 0 0\n", "line 2"},
		"second file of one name":      {rootLine + "/f 0 100644 1 0 0 0 0.0 - - -\n/g 0 100644 1 0 0 0 0.0 - - -\n/f 0 100644 1 0 0 0 0.0 - - -\n", "entry 4"},
		"further name of nothing":      {rootLine + "/f 0 100644 1 0 0 0 0.0 - - -\n/l 0 @100644 1 0 0 0 0.0 /g - -\n", "entry 3"},
		"further name of itself":       {rootLine + "/k 0 @100644 1 0 0 0 0.0 /l - -\n/l 0 @100644 1 0 0 0 0.0 /m - -\n/m 0 @100644 1 0 0 0 0.0 //l - -\n", "entry 2"},
		"further name of a directory":  {rootLine + "/d 0 40755 2 0 0 0 0.0 - - -\n/l 0 @100644 1 0 0 0 0.0 /d/ - -\n", "entry 3"},
		"attributes too large between": {rootLine + "/f 0 100644 1 0 0 0 0.0 - - - a=" + strings.Repeat("v", 32000) + " b=" + strings.Repeat("v", 1000) + " a=\n", "line 2"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := made([]byte(c.dump), Options{MaxVersion: 1})
			if !errors.Is(err, ErrFormat) || !strings.HasPrefix(err.Error(), c.want+":") && !strings.HasPrefix(err.Error(), c.want+",") {
				t.Errorf("error %.200v, want one of %s", err, c.want)
			}
		})
	}
}

// Lines that upstream takes, although they look odd.
func TestTaken(t *testing.T) {
	for name, line := range map[string]string{
		"further name without the fields behind": "/f 0 100644 1 0 0 0 0.0 - - -\n/l - @100644 - - - - - f",
		"symlink that ends behind its target":    "/l 0 120777 1 0 0 0 0.0 to",
		"attribute that grows and shrinks":       "/f 0 100644 1 0 0 0 0.0 - - - a=" + strings.Repeat("v", 32000) + " a= b=" + strings.Repeat("v", 32000),
		"time beyond its field":                  "/f 0 100644 1 0 0 0 -1.4294967297 - - -",
		"space behind the digest":                "/f 0 100644 1 0 0 0 0.0 - - - ",
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := made([]byte(rootLine+line), Options{MaxVersion: 1}); err != nil {
				t.Errorf("refused: %.200v", err)
			}
		})
	}
}

func TestVersionsThatDoNotExist(t *testing.T) {
	for _, opt := range []Options{{2, 2}, {0, 2}, {-1, 1}, {0, -1}} {
		if _, _, err := made([]byte(rootLine), opt); err == nil {
			t.Errorf("%+v: an image", opt)
		}
	}
}

// A chain of names is followed once, not once for each of its links.
func TestLongChain(t *testing.T) {
	const links = 200_000
	var dump bytes.Buffer
	dump.WriteString(rootLine)
	for k := range links {
		fmt.Fprintf(&dump, "/%d 0 @100644 1 0 0 0 0.0 %d - -\n", k, k+1)
	}
	fmt.Fprintf(&dump, "/%d 0 100644 1 0 0 0 0.0 - - -\n", links)
	img, _, err := made(dump.Bytes(), Larch)
	if err != nil {
		t.Fatal(err)
	}
	end := img.nodes[1].target
	for n := range img.nodes[:links+1] {
		if i := &img.nodes[n]; i.further && i.target != end {
			t.Fatalf("entry %d leads to %d, the first link to %d", n+1, i.target, end)
		}
	}
}

// Whiteouts change the attributes of their directory once, however many they are.
func TestManyWhiteouts(t *testing.T) {
	const whiteouts, attributes = 1000, 1000
	var dump bytes.Buffer
	dump.WriteString(rootLine + "/d 0 40755 2 0 0 0 0.0 - - -")
	for k := range attributes {
		fmt.Fprintf(&dump, " u%d=", k)
	}
	dump.WriteString("\n")
	for k := range whiteouts {
		fmt.Fprintf(&dump, "/d/%d 0 20000 1 0 0 0 0.0 - - -\n", k)
	}
	img, _, err := made(dump.Bytes(), Larch)
	if err != nil {
		t.Fatal(err)
	}
	if most := 3*attributes + 4*whiteouts; len(img.lists) > most {
		t.Errorf("lists of %d attributes, want at most %d", len(img.lists), most)
	}
}

package main

import (
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, name, have string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), have); diff != "" {
		t.Error(diff)
	}
}

func TestTables(t *testing.T) {
	bare := sample()
	bare.family.name, bare.columns, bare.directs = "bare", nil, nil
	text := tables([]result{sample(), bare})
	golden(t, "tables.md", text)
	columns := 0
	for line := range strings.Lines(text) {
		n := strings.Count(line, "|")
		if n > 0 && columns > 0 && n != columns {
			t.Errorf("%d columns, not %d: %s", n, columns, line)
		}
		columns = n
	}
}

func TestPicture(t *testing.T) {
	bare := sample()
	bare.family.name, bare.columns = "bare", nil
	for name, results := range map[string][]result{"updates.svg": {sample(), bare}, "nothing.svg": {}} {
		drawing := picture(results)
		golden(t, name, drawing)
		wellFormed(t, drawing)
	}
}

func wellFormed(t *testing.T, text string) {
	t.Helper()
	for decoder := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := decoder.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestTextGoesBetweenMarkers(t *testing.T) {
	for what, test := range map[string]struct{ before, after string }{
		"markers":      {"a\n<!-- roadtest -->\nold\n<!-- /roadtest -->\nb\n", "a\n<!-- roadtest -->\nnew\n<!-- /roadtest -->\nb\n"},
		"empty":        {"<!-- roadtest -->\n<!-- /roadtest -->\n", "<!-- roadtest -->\nnew\n<!-- /roadtest -->\n"},
		"no markers":   {"a\n", "new\n"},
		"one marker":   {"a\n<!-- roadtest -->\nold\n", "new\n"},
		"wrong order":  {"<!-- /roadtest -->\n<!-- roadtest -->\n", "new\n"},
		"other marker": {"<!-- bench -->\n<!-- /bench -->\n", "new\n"},
	} {
		t.Run(what, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "README.md")
			if err := os.WriteFile(file, []byte(test.before), 0o644); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time, nothing changes
				if err := writeBetween(file, "new\n"); err != nil {
					t.Fatal(err)
				}
				if have, err := os.ReadFile(file); err != nil || string(have) != test.after {
					t.Errorf("%q %v", have, err)
				}
			}
		})
	}
	file := filepath.Join(t.TempDir(), "new.md")
	if err := writeBetween(file, "new\n"); err != nil {
		t.Error(err)
	}
}

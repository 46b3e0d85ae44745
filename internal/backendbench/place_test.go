package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestParseDu(t *testing.T) {
	for out, want := range map[string]int64{
		"     Total   Exclusive  Set shared  Filename\n 749948928     1187840   307085312  .\n":   308273152,
		"     Total   Exclusive  Set shared  Filename\n         0           0           0  a b\n": 0,
	} {
		if have, err := parseDu(out); have != want || err != nil {
			t.Errorf("%d of %q, error %v", have, out, err)
		}
	}
	for _, out := range []string{"", "ERROR: not a btrfs\n"} {
		if _, err := parseDu(out); err == nil {
			t.Errorf("%q is understood", out)
		}
	}
}

// bits are flipped in all places, those across the pieces that are read included, and
// nothing else changes
func TestFlip(t *testing.T) {
	needle := []byte("needle")
	p := &place{image: filepath.Join(t.TempDir(), "image")}
	image := make([]byte, 3<<20)
	for _, at := range []int{0, 1<<20 - 3, 1<<20 + 5000, len(image) - len(needle)} {
		copy(image[at:], needle)
	}
	if err := os.WriteFile(p.image, image, 0o600); err != nil {
		t.Fatal(err)
	}
	if places, err := p.flip(needle); places != 4 || err != nil {
		t.Errorf("%d places, error %v", places, err)
	}
	data, err := os.ReadFile(p.image)
	if want := bytes.ReplaceAll(image, needle, []byte("oeedle")); err != nil || !bytes.Equal(data, want) {
		t.Errorf("another file, error %v", err)
	}
	if places, err := p.flip(needle); places != 0 || err != nil {
		t.Errorf("then %d places, error %v", places, err)
	}
}

// each section finds its place in the document, which has one for each
func TestDocument(t *testing.T) {
	file := filepath.Join(t.TempDir(), "backends.md")
	page, err := os.ReadFile("../../docs/backends.md")
	if err == nil {
		err = os.WriteFile(file, page, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := &comparison{rows: []footprint{{form: form{"btrfs", "btrfs"}}}}
	for _, s := range append(c.sections(), section{"backendbench read", "a table"}) {
		if err := write(file, []section{s}); err != nil {
			t.Fatal(err)
		}
		written, err := os.ReadFile(file)
		if err != nil || len(written) < len(page)/2 {
			t.Fatalf("%s has no place in the document, error %v", s.marker, err)
		}
	}
}

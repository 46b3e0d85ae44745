package cpio

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type entry struct {
	Name    string
	Mode    uint32
	Content string
}

// parse reads an archive back by the format's own description, apart from the code
// that wrote it.
func parse(t *testing.T, archive []byte) (entries []entry) {
	t.Helper()
	aligned := func(at int) int { return (at + 3) &^ 3 }
	for at := 0; ; {
		head := archive[at : at+110]
		if string(head[:6]) != "070701" {
			t.Fatalf("offset %d: magic %q", at, head[:6])
		}
		field := func(n int) int {
			v, err := strconv.ParseUint(string(head[6+8*n:14+8*n]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(v)
		}
		mode, size, length := field(1), field(6), field(11)
		name := string(archive[at+110 : at+110+length-1])
		at = aligned(at + 110 + length)
		if name == "TRAILER!!!" {
			if at != len(archive) {
				t.Errorf("%d bytes behind the end", len(archive)-at)
			}
			return entries
		}
		entries = append(entries, entry{name, uint32(mode), string(archive[at : at+size])})
		at = aligned(at + size)
	}
}

func TestWriter(t *testing.T) {
	var want []entry
	var archive bytes.Buffer
	w := NewWriter(&archive)
	add := func(name string, mode uint32, content string) {
		want = append(want, entry{name, mode, content})
		if err := w.Add(name, mode, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	add("dir", Dir|0o755, "")
	add("link", Symlink|0o777, "dir/target")
	for n := range 9 { // all alignments of name and content
		add("dir/"+"abcdefghi"[:n+1], File|0o644, "123456789"[:n])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, parse(t, archive.Bytes())); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestFirstErrorStays(t *testing.T) {
	closed, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	w := NewWriter(closed)
	for range 2 {
		if err := w.Add("a", File, nil); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Add to a closed file: %v", err)
		}
	}
	if err := w.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Close on a closed file: %v", err)
	}
}

func ExampleWriter() {
	var archive bytes.Buffer
	w := NewWriter(&archive)
	if err := w.Add("init", File|0o755, []byte("#!/bin/sh\n")); err != nil {
		fmt.Println(err)
	}
	if err := w.Close(); err != nil {
		fmt.Println(err)
	}
	fmt.Println(archive.Len(), "bytes")
	// Output: 252 bytes
}

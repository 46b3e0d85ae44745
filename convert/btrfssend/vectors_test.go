package btrfssend

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/tree"
)

// Where the vectors are; spec/12-btrfs-send.md §12.7 says what they mean.
const (
	writeVectors = "../../spec/vectors/btrfs-send/write.json"
	readVectors  = "../../spec/vectors/btrfs-send/read.json"
)

// capturing tells whether vectors are to be written anew.
func capturing() bool { return os.Getenv("LARCH_CAPTURE") != "" }

// run is a text, so many times.
type run struct {
	Text  string `json:"text"`
	Times int    `json:"times"`
}

// writeVector is two trees and the stream that leads from one to the other.
type writeVector struct {
	Name      string  `json:"name"`
	Comment   string  `json:"comment"`
	Version   uint32  `json:"version"`
	Subvolume string  `json:"subvolume"`
	UUID      string  `json:"uuid"`
	Tree      string  `json:"tree"`
	Parent    string  `json:"parent,omitempty"` // its tree; "" if there is none
	Contents  [][]run `json:"contents,omitempty"`
	Stream    string  `json:"stream"` // hexadecimal
}

// readVector is streams, and what they make.
type readVector struct {
	Name    string   `json:"name"`
	Comment string   `json:"comment"`
	Streams []string `json:"streams"`        // hexadecimal
	Tree    string   `json:"tree,omitempty"` // under the rules of OS trees, times kept
	Error   string   `json:"error,omitempty"`
}

func load(t *testing.T, name string, to any) {
	t.Helper()
	data, err := os.ReadFile(name)
	must(t, err)
	must(t, json.Unmarshal(data, to))
}

func save(t *testing.T, name string, v any) {
	t.Helper()
	data, err := json.MarshalIndent(v, "", "  ")
	must(t, err, os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, append(data, '\n'), 0o644))
}

// contentsOf finds contents by their digests.
func contentsOf(v writeVector) map[digest.Digest]string {
	out := map[digest.Digest]string{}
	for _, runs := range v.Contents {
		var b strings.Builder
		for _, r := range runs {
			b.WriteString(strings.Repeat(r.Text, r.Times))
		}
		out[digest.Of([]byte(b.String()))] = b.String()
	}
	return out
}

// subvolumeOf makes the tree of a vector.
func subvolumeOf(v writeVector, name, text string) Subvolume {
	contents := contentsOf(v)
	return Subvolume{
		Name: name, Tree: digest.Of([]byte(text)),
		Entries: func(yield func(*tree.Entry, error) bool) { tree.Decode(strings.NewReader(text))(yield) },
		Open: func(e *tree.Entry) (io.ReadCloser, error) {
			content, found := contents[e.Digest]
			if !found {
				return nil, fs.ErrNotExist
			}
			return io.NopCloser(strings.NewReader(content)), nil
		},
	}
}

func (v writeVector) write(t *testing.T) []byte {
	t.Helper()
	sub := subvolumeOf(v, v.Subvolume, v.Tree)
	if v.Parent == "" {
		return stream(t, sub, nil, Options{v.Version})
	}
	parent := subvolumeOf(v, "parent", v.Parent)
	return stream(t, sub, &parent, Options{v.Version})
}

func TestWriteVectors(t *testing.T) {
	var vectors []writeVector
	load(t, writeVectors, &vectors)
	if len(vectors) < 5 {
		t.Fatal(len(vectors))
	}
	for i, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			have := hex.EncodeToString(v.write(t))
			if capturing() {
				vectors[i].Stream, vectors[i].UUID = have, UUIDOf(digest.Of([]byte(v.Tree))).String()
				return
			}
			if have != v.Stream {
				t.Errorf("another stream:\n%s", have)
			}
			if uuid := UUIDOf(digest.Of([]byte(v.Tree))).String(); uuid != v.UUID {
				t.Errorf("UUID %s", uuid)
			}
			streams := []string{v.Stream}
			if v.Parent != "" {
				full := v
				full.Tree, full.Parent = v.Parent, ""
				streams = []string{hex.EncodeToString(full.write(t)), v.Stream}
			}
			readVector{Streams: streams, Tree: v.Tree}.check(t)
		})
	}
	if capturing() {
		save(t, writeVectors, vectors)
	}
}

func TestReadVectors(t *testing.T) {
	var vectors []readVector
	load(t, readVectors, &vectors)
	if len(vectors) < 5 {
		t.Fatal(len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) { v.check(t) })
	}
}

func (v readVector) check(t *testing.T) {
	t.Helper()
	var streams [][]byte
	for _, s := range v.Streams {
		data, err := hex.DecodeString(s)
		must(t, err)
		streams = append(streams, data)
	}
	s, err := open(t, OpenOptions{Rules: rules()}, streams...)
	if have := kindOf(err); have != v.Error {
		t.Fatalf("%v: %q instead of %q", err, have, v.Error)
	}
	if err == nil {
		sameTree(t, "read", textOf(t, s), v.Tree)
	}
}

// kindOf names an error as the vectors do.
func kindOf(err error) string {
	var rule *tree.RuleError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &rule):
		return rule.Rule
	case errors.Is(err, ErrParent):
		return "parent"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "cut off"
	case errors.Is(err, ErrFormat):
		return "format"
	}
	return "other"
}

// TestCaptureStreams writes the vectors of streams of "btrfs send" anew, where
// LARCH_CAPTURE is set.
func TestCaptureStreams(t *testing.T) {
	if !capturing() {
		return
	}
	d := newDisk(t, "compress-force=zstd")
	work := d.path("work")
	d.run("btrfs", "subvolume", "create", work)
	write(t, work, "folder/text", strings.Repeat("the same line again and again\n", 400))
	write(t, work, "folder/small", "small")
	write(t, work, "empty", "")
	must(t, os.Link(work+"/folder/small", work+"/linked"), os.Symlink("folder/text", work+"/link"), os.Chown(work+"/empty", 1000, 100))
	must(t, unix.Setxattr(work+"/empty", "user.note", []byte("kept"), 0), os.Chmod(work+"/empty", os.ModeSetuid|0o755))
	d.run("touch", "-d", "@1700000000.123456789", work+"/empty", work+"/folder/text", work+"/folder/small")
	d.run("touch", "-h", "-d", "@1700000001", work+"/link")
	d.run("touch", "-d", "@1700000002", work+"/folder", work)
	d.run("btrfs", "subvolume", "snapshot", "-r", work, d.path("a"))
	d.run("btrfs", "filesystem", "sync", d.dir)
	must(t, os.Rename(work+"/folder", work+"/moved"), os.Remove(work+"/linked"))
	d.run("cp", "--reflink=always", work+"/moved/text", work+"/copy")
	must(t, unix.Removexattr(work+"/empty", "user.note"), os.Truncate(work+"/moved/text", 5000))
	d.run("touch", "-d", "@1700000003", work+"/copy", work+"/moved/text", work)
	d.run("btrfs", "subvolume", "snapshot", "-r", work, d.path("b"))
	d.run("mkfifo", work+"/pipe")
	d.run("btrfs", "subvolume", "snapshot", "-r", work, d.path("c"))
	a, b := folder(t, d.path("a")).text, folder(t, d.path("b")).text
	full, changes := hex.EncodeToString(d.send(d.path("a"))), hex.EncodeToString(d.send("-p", d.path("a"), d.path("b")))
	full2, changes2 := hex.EncodeToString(d.send("--compressed-data", d.path("a"))), hex.EncodeToString(d.send("--compressed-data", "-p", d.path("a"), d.path("b")))
	both := hex.EncodeToString(d.send("-e", d.path("a"), d.path("b")))
	special := hex.EncodeToString(d.send("-p", d.path("b"), d.path("c")))
	empty := hex.EncodeToString(d.send("--no-data", d.path("a")))
	save(t, readVectors, []readVector{
		{"full", "version 1, of btrfs-progs 6.2 and Linux 6.18", []string{full}, a, ""},
		{"changes", "a rename, a hardlink and an xattr less, a clone, a truncated file", []string{full, changes}, b, ""},
		{"compressed", "version 2, extents compressed with zstd", []string{full2}, a, ""},
		{"compressed changes", "version 2 on top of version 2", []string{full2, changes2}, b, ""},
		{"mixed versions", "version 2 on top of version 1", []string{full, changes2}, b, ""},
		{"two subvolumes", "in one stream with one end; the last one counts", []string{both}, b, ""},
		{"without the parent", "changes to what is not there", []string{changes}, "", "parent"},
		{"wrong order", "", []string{changes, full}, "", "parent"},
		{"fifo", "no tree can hold it", []string{full, changes, special}, "", tree.RuleSpecial},
		{"without contents", "btrfs send --no-data", []string{empty}, "", "format"},
		{"cut off", "without the command that ends it", []string{full[:len(full)-2*commandHeader]}, "", "cut off"},
		{"checksum", "a bit of the last checksum is wrong", []string{full[:len(full)-1] + flipped(full[len(full)-1])}, "", "format"},
		{"something behind it", "", []string{full + "00"}, "", "format"},
		{"not a stream", "", []string{hex.EncodeToString([]byte("btrfs-strea, or so it says"))}, "", "format"},
		{"version 4", "", []string{hex.EncodeToString([]byte(magic)) + "04000000"}, "", "format"},
	})
}

func flipped(digit byte) string {
	if digit == '0' {
		return "1"
	}
	return "0"
}

// TestWrongContent never gives a whole stream for contents that are not those that
// the tree names.
func TestWrongContent(t *testing.T) {
	var vectors []writeVector
	load(t, writeVectors, &vectors)
	for _, v := range vectors {
		if len(v.Contents) == 0 {
			continue
		}
		sub := subvolumeOf(v, v.Subvolume, v.Tree)
		for name, wrong := range map[string]func(string) string{
			"other":   func(s string) string { return "X" + s[1:] },
			"shorter": func(s string) string { return s[:len(s)-1] },
			"longer":  func(s string) string { return s + "x" },
			"nothing": func(s string) string { return "" },
		} {
			honest := sub.Open
			bad := sub
			bad.Open = func(e *tree.Entry) (io.ReadCloser, error) {
				r, err := honest(e)
				must(t, err)
				data, err := io.ReadAll(r)
				must(t, err)
				return io.NopCloser(strings.NewReader(wrong(string(data)))), nil
			}
			var out bytes.Buffer
			if err := Write(t.Context(), &out, bad, nil, Options{}); !errors.Is(err, digest.ErrMismatch) {
				t.Errorf("%s, %s: %v", v.Name, name, err)
			}
			if _, err := open(t, OpenOptions{Rules: rules()}, out.Bytes()); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s, %s: what was written was read: %v", v.Name, name, err)
			}
		}
	}
}

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// changed is one of how many files a version changes.
const changed = 20

// trees makes versions of one tree: text of made-up words, of which each version
// changes a twentieth of the files.
type trees struct {
	dir   string
	files int
	each  int64
}

func newTrees(dir string, files int, size int64) *trees {
	return &trees{dir, files, size / int64(files)}
}

// have gives the folder of a version, from 1, and makes it if it is not there.
func (t *trees) have(version int) (string, error) {
	dir := filepath.Join(t.dir, fmt.Sprint(version))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	for n := range t.files {
		path := filepath.Join(dir, t.name(n))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, t.text(n, version), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

func (t *trees) name(n int) string {
	if n == 0 {
		return "bin/hello"
	}
	return fmt.Sprintf("share/%02d/%04d", n%50, n)
}

// text is the content of a file: that of the version that changed it last.
func (t *trees) text(n, version int) []byte {
	last := version - (version-n%changed+changed)%changed
	r := rand.New(rand.NewPCG(uint64(n), uint64(max(last, 1))))
	var b bytes.Buffer
	for int64(b.Len()) < t.each {
		for range 2 + r.IntN(6) {
			b.WriteByte(byte('a' + r.IntN(26)))
		}
		b.WriteString(strings.Repeat(" ", 1+r.IntN(2)))
	}
	return b.Bytes()[:t.each]
}

// compressed is how small Zstandard makes what a version has and an earlier one has
// not, in one stream; 0 for nothing earlier.
func (t *trees) compressed(version, earlier int) (int64, error) {
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return 0, err
	}
	for n := range t.files {
		text := t.text(n, version)
		if earlier > 0 && bytes.Equal(text, t.text(n, earlier)) {
			continue
		}
		if _, err := w.Write(text); err != nil {
			return 0, err
		}
	}
	err = w.Close()
	return int64(out.Len()), err
}

package btrfssend

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// random gives a pair of states that depends on a seed alone: few names and few
// contents, so that they meet each other often.
func random(seed uint64) pairOf {
	build := func(salt uint64, steps int) func(testing.TB, string) {
		return func(t testing.TB, dir string) {
			w := &wild{rand.New(rand.NewPCG(seed, salt)), dir}
			for range steps {
				w.step()
			}
		}
	}
	return pairOf{fmt.Sprint("seed ", seed), build(1, 60), build(2, int(seed%40)+5)}
}

// wild changes a folder at random. What cannot be done is not done.
type wild struct {
	*rand.Rand
	dir string
}

// any gives the path of something that may be there.
func (w *wild) any() string {
	parts := []string{w.dir}
	for range w.IntN(4) + 1 {
		parts = append(parts, string(rune('a'+w.IntN(5))))
	}
	return filepath.Join(parts...)
}

// there gives something that is there.
func (w *wild) there() string {
	var all []string
	filepath.WalkDir(w.dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && p != w.dir {
			all = append(all, p)
		}
		return nil
	})
	if len(all) == 0 {
		return w.any()
	}
	return all[w.IntN(len(all))]
}

func (w *wild) content() []byte {
	n := []int{0, 10, 64, 65, 4096, 5000, 50 << 10, 130 << 10}[w.IntN(8)]
	text := []byte(noise(w.IntN(4), n))
	if n > 8192 && w.IntN(2) == 0 {
		copy(text[4096:], strings.Repeat("\x00", 40<<10))
	}
	return text
}

func (w *wild) step() {
	switch p := w.there(); w.IntN(13) {
	case 0, 1:
		os.Mkdir(w.any(), 0o755)
	case 2, 3, 4:
		path := w.any()
		os.MkdirAll(filepath.Dir(path), 0o755)
		os.WriteFile(path, w.content(), 0o644)
	case 5:
		os.Symlink(string(rune('a'+w.IntN(3))), w.any())
	case 6:
		if info, err := os.Lstat(p); err == nil && info.Mode().IsRegular() {
			os.Link(p, w.any())
		}
	case 7, 8:
		os.Rename(p, w.any())
	case 9:
		unix.Renameat2(unix.AT_FDCWD, p, unix.AT_FDCWD, w.there(), unix.RENAME_EXCHANGE)
	case 10:
		os.RemoveAll(p)
	case 11:
		if info, err := os.Lstat(p); err == nil && info.Mode().IsRegular() {
			os.Chmod(p, []os.FileMode{0o644, 0o755, 0o600}[w.IntN(3)])
			unix.Setxattr(p, fmt.Sprint("user.", w.IntN(3)), []byte(noise(w.IntN(3), 5)), 0)
		}
	case 12:
		if f, err := os.OpenFile(p, os.O_RDWR, 0); err == nil {
			f.WriteAt([]byte(noise(w.IntN(9), 100)), int64(w.IntN(60000)))
			f.Close()
		}
	}
}

// seeds is how many pairs are tried: more in the long tests.
func seeds(short, long uint64) uint64 {
	if os.Getenv("LARCH_TEST_LONG") != "" {
		return long
	}
	return short
}

// TestRandom reads back what it writes, of random pairs.
func TestRandom(t *testing.T) {
	for seed := range seeds(60, 3000) {
		p := random(seed)
		before, after := p.states(t)
		a, b := before.subvolume("a"), after.subvolume("b")
		version := uint32(seed%2 + 1)
		full, changes := stream(t, a, nil, Options{version}), stream(t, b, &a, Options{version})
		if !bytes.Equal(changes, stream(t, b, &a, Options{version})) {
			t.Fatalf("seed %d: another stream the second time", seed)
		}
		sameTree(t, fmt.Sprintf("seed %d, full", seed), textOf(t, read(t, full)), before.text)
		sameTree(t, fmt.Sprintf("seed %d, changes", seed), textOf(t, read(t, full, changes)), after.text)
	}
}

// TestRandomReal has the real program apply random changes, and reads its own.
func TestRandomReal(t *testing.T) {
	shared := newDisk(t)
	for seed := range seeds(12, 300) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			d := &disk{t, shared.dir}
			p := random(1000 + seed)
			before, after := p.states(t)
			roundTrip(t, d, p.name, before, after, Options{})
			a, b := p.snapshots(d, "sent "+p.name)
			sameTree(t, "sent", textOf(t, read(t, d.send(a), d.send("-p", a, b))), folder(t, b).text)
		})
	}
}

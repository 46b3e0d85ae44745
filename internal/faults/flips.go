//go:build amd64

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/larch-project/larch/check"
	"github.com/larch-project/larch/install"
	"github.com/larch-project/larch/repo"
)

// oracle reads everything below a folder and names what is wrong.
type oracle func(ctx context.Context, dir string) ([]string, error)

func repositoryOracle(ctx context.Context, dir string) (names []string, err error) {
	r, err := repo.Open(dir)
	if errors.Is(err, repo.ErrFormat) {
		return []string{repo.FormatName}, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	err = check.Repository(ctx, r, time.Now(), func(f check.Finding) { names = append(names, f.Where) })
	return names, err
}

func installationOracle(ctx context.Context, dir string) (names []string, err error) {
	i, err := install.Open(dir, install.Options{})
	if err != nil {
		return nil, err
	}
	defer i.Close()
	v, err := i.Verify(ctx, install.VerifyOptions{ReadAll: true})
	if err != nil {
		return nil, err
	}
	for _, f := range v.Findings {
		names = append(names, f.Where)
	}
	return names, nil
}

// flips says what came of flipping bits.
type flips struct {
	name                       string
	flipped                    int
	unnoticed, others, refused int      // nothing found; something else named, too; the oracle could not go on
	problems                   []string // the first few
}

func (f *flips) problem(format string, args ...any) {
	if len(f.problems) < mostProblems {
		f.problems = append(f.problems, fmt.Sprintf(format, args...))
	}
}

func (f *flips) bad() int { return f.unnoticed + f.others + f.refused }

// flipBits flips n single bits below a folder, one after the other, half of them in
// files chosen by their size, and has the oracle look.
func flipBits(ctx context.Context, name, dir string, ask oracle, n int, r *rand.Rand) (*flips, error) {
	found, err := ask(ctx, dir)
	if err != nil || len(found) > 0 {
		return nil, fmt.Errorf("%s before the first flip: %q, %w", name, found, err)
	}
	files, err := filesBelow(dir)
	if err != nil {
		return nil, err
	}
	result := &flips{name: name}
	for range n {
		file := files[r.IntN(len(files))]
		if r.IntN(2) == 0 {
			file = bySize(files, r)
		}
		if err := result.flip(ctx, dir, file, r.Int64N(file.size*8), ask); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// flip flips one bit, asks, and flips it back.
func (f *flips) flip(ctx context.Context, dir string, file target, bit int64, ask oracle) error {
	turn := func() error {
		name := filepath.Join(dir, file.names[0])
		h, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer func() {
			h.Close()
			os.Chtimes(name, file.time, file.time) // disks that decay tell nobody
		}()
		one := make([]byte, 1)
		if _, err := h.ReadAt(one, bit/8); err != nil {
			return err
		}
		one[0] ^= 1 << (bit % 8)
		_, err = h.WriteAt(one, bit/8)
		return err
	}
	if err := turn(); err != nil {
		return err
	}
	names, err := ask(ctx, dir)
	f.flipped++
	where := fmt.Sprintf("%s: bit %d of %s", f.name, bit, file.names[0])
	others := slices.DeleteFunc(slices.Clone(names), file.has)
	switch {
	case err != nil && !strings.Contains(err.Error(), filepath.Base(file.names[0])):
		f.refused++
		f.problem("%s: %v", where, err)
	case err == nil && len(names) == 0 && meansNothing(filepath.Join(dir, file.names[0]), bit):
	case err == nil && len(names) == 0:
		f.unnoticed++
		f.problem("%s: nothing is found", where)
	case len(others) > 0:
		f.others++
		f.problem("%s: also named: %q", where, others)
	}
	return turn()
}

// meansNothing tells whether a bit says how much memory the reader of a Zstandard frame is
// to have, or is the one that is not used: what the frame holds is the same with it and
// without. Deltas alone have frames that no digest covers: what they make is checked.
//
// Source: RFC 8878, sections 3.1.1.1.1 and 3.1.1.1.2.
func meansNothing(name string, bit int64) bool {
	const magic, unused, single = "\x28\xb5\x2f\xfd", 4, 5
	data, err := os.ReadFile(name)
	if err != nil || !strings.HasPrefix(string(data), "larch delta ") {
		return false
	}
	at := int(bit / 8)
	begins := func(at int) bool { return at >= 0 && strings.HasPrefix(string(data[at:]), magic) }
	return begins(at-len(magic)) && bit%8 == unused || begins(at-len(magic)-1) && data[at-1]>>single&1 == 0
}

// target is a file, by all of its names.
type target struct {
	names []string
	size  int64
	time  time.Time // of its last change
}

// has tells whether a finding's name is one of the file's, or leads to it.
func (t target) has(name string) bool {
	return slices.ContainsFunc(t.names, func(own string) bool {
		return own == name || strings.HasPrefix(name, "remotes/") && strings.HasPrefix(own, name+"/") // a remote's metadata hangs together
	})
}

func bySize(files []target, r *rand.Rand) target {
	var total int64
	for _, f := range files {
		total += f.size
	}
	at := r.Int64N(total)
	for _, f := range files {
		if at -= f.size; at < 0 {
			return f
		}
	}
	return files[0]
}

// floorName is a client's memory of versions, with its own digest: one that is damaged
// counts as none, so there is nothing to be said of it.
const floorName = "floor.json"

// filesBelow lists what is not empty, each file once.
func filesBelow(dir string) ([]target, error) {
	byInode := map[uint64]int{}
	var files []target
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Size() == 0 || d.Name() == floorName {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		ino := inode(info)
		if at, known := byInode[ino]; known {
			files[at].names = append(files[at].names, name)
			return nil
		}
		byInode[ino] = len(files)
		files = append(files, target{[]string{name}, info.Size(), info.ModTime()})
		return nil
	})
	return files, err
}

// flipAll flips bits in a repository and in an installation.
func (l *lab) flipAll(ctx context.Context, n int, seed uint64) ([]*flips, error) {
	w := l.world("flips")
	add := []string{"remote", "add", "site", "{site}", "--root-key", "{root}"}
	if err := w.begin([][]string{add, {"install", "hello@1.0", "--yes"}, {"install", "hello@1.1", "--yes"}}); err != nil {
		return nil, err
	}
	defer w.remove()
	var list []*flips
	for _, c := range []struct {
		name, dir string
		ask       oracle
	}{{"repository", l.site, repositoryOracle}, {"installation", w.path("machine"), installationOracle}} {
		f, err := flipBits(ctx, c.name, c.dir, c.ask, n, rand.New(rand.NewPCG(seed, 7)))
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}

// flip flips bits, and prints what came of it.
func (o *options) flip(l *lab) error {
	list, err := l.flipAll(context.Background(), o.flips, o.seed)
	if err != nil {
		return err
	}
	fmt.Println("\n| single bits flipped in | flipped | not found | another file named | check could not go on |\n|---|--:|--:|--:|--:|")
	bad := 0
	for _, f := range list {
		fmt.Printf("| %s | %d | %d | %d | %d |\n", f.name, f.flipped, f.unnoticed, f.others, f.refused)
		for _, p := range f.problems {
			log.Print(p)
		}
		bad += f.bad()
	}
	if bad > 0 {
		return fmt.Errorf("%d flipped bits were not named, or not alone", bad)
	}
	return nil
}

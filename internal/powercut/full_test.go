package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/larch-project/larch/internal/powercut/disk"
)

// newTestTrials prepares trials of a scenario.
func newTestTrials(t *testing.T, f *fixture, fs filesystem, s scenario) *trials {
	t.Helper()
	dir, err := os.MkdirTemp(f.dir, "trials-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &world{fixture: f, dir: filepath.Join(dir, "machine"), disk: filepath.Join(dir, "disk")}
	for _, folder := range []string{w.dir, w.disk, filepath.Join(w.dir, "home")} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	all, err := newTrials(recorder{fs: fs, random: rand.New(rand.NewPCG(1, 1)), dir: dir}, w, s)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// stops are the scenarios that are tried on disks that stop working.
var stops = []string{"install", "update", "publish, with delta", "gc"}

func eachStop(t *testing.T, test func(t *testing.T, s scenario)) {
	for _, s := range scenarios {
		for _, name := range stops {
			if s.name == name {
				t.Run(name, func(t *testing.T) { test(t, s) })
			}
		}
	}
}

func filesystemNamed(t *testing.T, name string) filesystem {
	t.Helper()
	fs, err := filesystemOf(name)
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// levels calls with bytes to leave free: none, much more than is needed, and in this many
// steps between them. Unless around is 0 it then looks for the edge, above which the command
// succeeds, and tries every block of so many bytes on both sides of it.
func levels(most, steps, around int64, leaving func(leave int64) (code int)) (tried map[int]int) {
	tried = map[int]int{}
	try := func(leave int64) bool {
		code := leaving(leave)
		tried[code]++
		return code == 0
	}
	for !try(most) && most < 64<<20 { // what file systems set aside for themselves differs
		most *= 2
	}
	below, edge := int64(0), most
	for n := range steps {
		if leave := most * n / steps / disk.Block * disk.Block; !try(leave) {
			below = leave
		} else if below < leave {
			edge = min(edge, leave)
		}
	}
	if around == 0 {
		return tried
	}
	for edge-below > disk.Block {
		if middle := (below + edge) / 2 / disk.Block * disk.Block; try(middle) {
			edge = middle
		} else {
			below = middle
		}
	}
	for leave := max(0, edge-around); leave <= edge+around; leave += disk.Block {
		try(leave)
	}
	return tried
}

// TestFullDisk leaves a command everything from nothing to more than it needs; with
// LARCH_TEST_LONG in steps of 4 KiB around the edge between too little and enough, and with
// LARCH_TEST_ALL on three file systems and far around. No level may end in exit 0 with a wrong result, nor in a
// state that is not old or new, and both ends of the scale must be reached.
func TestFullDisk(t *testing.T) {
	f := testFixture(t)
	kinds, steps, around := []string{"ext4"}, int64(6), int64(0)
	switch {
	case os.Getenv("LARCH_TEST_ALL") != "":
		kinds, steps, around = []string{"ext4", "xfs", "btrfs"}, 64, 256<<10
	case os.Getenv("LARCH_TEST_LONG") != "":
		kinds, steps, around = []string{"ext4", "btrfs"}, 8, 16<<10
	}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			eachStop(t, func(t *testing.T, s scenario) {
				fs := filesystemNamed(t, kind)
				all := newTestTrials(t, f, fs, s)
				codes := levels(max(512<<10, all.need*2), steps, around, func(leave int64) int {
					code, err := all.full(func() error { return all.fillBytes(leave) })
					if err != nil {
						t.Errorf("%d KiB left, %d KiB needed: %v", leave>>10, all.need>>10, err)
					}
					return code
				})
				t.Logf("exit codes %v; %d KiB needed", codes, all.need>>10)
				if codes[0] == 0 || codes[exitDisk] == 0 && all.need > 0 && kind == "ext4" {
					t.Error("not all of the scale was reached")
				}
			})
		})
	}
}

// TestNoInodes does the same with inodes.
func TestNoInodes(t *testing.T) {
	f := testFixture(t)
	step := int64(8)
	if os.Getenv("LARCH_TEST_LONG") != "" {
		step = 1
	}
	fs := filesystemNamed(t, "ext4")
	fs.mkfs = append(fs.mkfs[:len(fs.mkfs):len(fs.mkfs)], "-N", "400")
	eachStop(t, func(t *testing.T, s scenario) {
		all := newTestTrials(t, f, fs, s)
		codes := map[int]int{}
		for leave := int64(0); leave <= max(all.inodes, 0)+16; leave += step {
			code, err := all.full(func() error { return all.fillInodes(leave) })
			if err != nil {
				t.Errorf("%d left, %d needed: %v", leave, all.inodes, err)
			}
			codes[code]++
		}
		t.Logf("exit codes %v; %d inodes needed", codes, all.inodes)
		if codes[0] == 0 || codes[exitDisk] == 0 && all.inodes > 0 {
			t.Error("not all of the scale was reached")
		}
	})
}

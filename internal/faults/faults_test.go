//go:build amd64

package main

import (
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// points says how many points of each scenario and mode are tried: a sample, with
// LARCH_TEST_LONG a larger one, with LARCH_TEST_ALL all.
func points() int {
	switch {
	case os.Getenv("LARCH_TEST_ALL") != "":
		return 0
	case os.Getenv("LARCH_TEST_LONG") != "":
		return 12
	}
	return 1
}

// testOptions has a seed that is printed; LARCH_FAULTS_SEED gives it again.
func testOptions(t *testing.T) *options {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("LARCH_FAULTS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("LARCH_FAULTS_SEED=%d", seed)
	return &options{n: points(), seed: seed, workers: max(2, runtime.NumCPU()), modes: "changes,signals,closes,reads"}
}

func newTestLab(t *testing.T, kind string) *lab {
	t.Helper()
	l, err := newLab(t.TempDir(), kind)
	if l != nil {
		t.Cleanup(func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestFaults builds once what it needs. That bad programs are found is what gives the
// rest its worth.
func TestFaults(t *testing.T) {
	l, o := newTestLab(t, inMemory), testOptions(t)
	t.Run("bad programs are found", func(t *testing.T) {
		if err := l.controlled(o); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("every command", func(t *testing.T) { everyCommand(t, l, o) })
	t.Run("flipped bits", func(t *testing.T) { flippedBits(t, l, o) })
}

// TestEveryCommandOnBtrfs is for the backend that needs one.
func TestEveryCommandOnBtrfs(t *testing.T) {
	if _, err := exec.LookPath("mkfs.btrfs"); err != nil || os.Getuid() != 0 {
		t.Skip("needs root, and mkfs.btrfs of the package btrfs-progs")
	}
	o := testOptions(t)
	o.n = (o.n + 1) / 2 // points are dear there
	everyCommand(t, newTestLab(t, onBtrfs), o)
}

func everyCommand(t *testing.T, l *lab, o *options) {
	t.Helper()
	total := &tally{}
	for _, s := range l.scenarios() {
		tally, err := l.tally(s, o)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, p := range tally.problems {
			t.Errorf("%s: %s", s.name, p)
		}
		total.plus(tally)
	}
	t.Logf("%d killed, %d failed, %d interrupted, %d not reached, of %d calls", total.killed, total.failed, total.signalled, total.unreached, total.calls)
	if total.killed+total.failed == 0 || total.unreached*4 > total.killed+total.failed+total.signalled {
		t.Error("most points were not reached")
	}
}

// flippedBits flips bits everywhere, and wants each of them named and nothing else.
func flippedBits(t *testing.T, l *lab, o *options) {
	n := 10_000
	if o.n > 0 {
		n = 80 * o.n
	}
	list, err := l.flipAll(t.Context(), n, o.seed)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		t.Logf("%s: %d bits", f.name, f.flipped)
		for _, p := range f.problems {
			t.Error(p)
		}
	}
}

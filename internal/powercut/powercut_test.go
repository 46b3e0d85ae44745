package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/larch-project/larch/internal/powercut/disk"
	"github.com/larch-project/larch/internal/powercut/intercept"
)

func TestMain(m *testing.M) {
	intercept.Child()
	disk.Child()
	if os.Geteuid() == 0 {
		if err := isolate(); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// seedEnv repeats a run.
const seedEnv = "LARCH_POWERCUT_SEED"

func seed(t *testing.T) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(os.Getenv(seedEnv), 10, 64)
	if err != nil {
		n = rand.Uint64()
	}
	t.Logf("%s=%d", seedEnv, n)
	return n
}

// testFixture needs root, and what scripts/deps.sh installs.
func testFixture(t *testing.T) *fixture {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir, remove, err := scratch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remove)
	f, err := newFixture(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestPowerCut cuts the power: of every command on every file system with LARCH_TEST_LONG,
// of them more than 3000 times with LARCH_TEST_ALL, and else of three commands on ext4.
// All there are, in every mode: go run ./internal/powercut -all.
func TestPowerCut(t *testing.T) {
	f := testFixture(t)
	o := options{images: 6, seed: seed(t), only: "ext4/"}
	keep := func(j job) bool {
		return j.control || j.name == "install" || j.name == "update" || j.name == "publish, with delta"
	}
	switch {
	case os.Getenv("LARCH_TEST_ALL") != "":
		o.images, o.only, keep = 70, "", func(job) bool { return true }
	case os.Getenv("LARCH_TEST_LONG") != "":
		o.images, o.only, keep = 8, "", func(job) bool { return true }
	}
	var jobs []job
	for _, j := range o.jobs() {
		if keep(j) {
			jobs = append(jobs, j)
		}
	}
	results, err := runAll(context.Background(), f, jobs, 2)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, r := range results {
		if err := r.verdict(); err != nil {
			t.Error(err)
		}
		if !r.control {
			total += r.total()
		}
	}
	t.Logf("%d images", total)
	if os.Getenv("LARCH_TEST_LONG") != "" && total < 300 {
		t.Errorf("%d images are too few", total)
	}
	table(t.Output(), results)
}

// TestSurvivors looks at what each mode leaves of a small log.
func TestSurvivors(t *testing.T) {
	log := []disk.Entry{
		{Offset: 0, Data: make([]byte, disk.Block)},
		{Kind: disk.Flush},
		{Kind: disk.Flush},
		{Offset: disk.Block, Data: make([]byte, 64*disk.Block)},
		{Offset: 0, Data: make([]byte, disk.Block)},
		{Kind: disk.Mark, Text: done},
	}
	epochs := disk.Epochs(log)
	if len(epochs) != 2 || epochs[0] != (disk.Epoch{From: 0, To: 1}) || epochs[1].From != 3 {
		t.Fatalf("%v", epochs)
	}
	random := rand.New(rand.NewPCG(1, 1))
	if n := len(disk.Survivors(log, epochs[1], disk.None, random)); n != 1 {
		t.Errorf("none: %d", n)
	}
	if n := len(disk.Survivors(log, epochs[1], disk.Subset, random)); n < 10 || n > 60 {
		t.Errorf("subset: %d", n)
	}
	rec := &recording{log: log}
	if rec.late(cut{epoch: epochs[0]}) || !rec.late(cut{epoch: epochs[1]}) {
		t.Error("late")
	}
}

// TestVerdict: a control in which nothing is found fails, and so does damage in
// what is no control.
func TestVerdict(t *testing.T) {
	bad := []failure{{err: errors.New("damage")}}
	for _, c := range []struct {
		control bool
		bad     []failure
		ok      bool
	}{{false, nil, true}, {false, bad, false}, {true, nil, false}, {true, bad, true}} {
		r := result{job: job{control: c.control}, bad: c.bad}
		r.images[disk.None] = 1
		if err := r.verdict(); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

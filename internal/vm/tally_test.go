package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a guest's stdout is like: two binaries, of which the second dies.
const printed = "\n=== command example/one\n" +
	"\x16=== RUN   TestGood\n\x16--- PASS: TestGood (0.01s)\n" +
	"\x16=== RUN   TestBad\n    bad_test.go:5: wrong\n\x16--- FAIL: TestBad (0.02s)\n" +
	"\x16=== RUN   TestParent\n\x16=== RUN   TestParent/sub\n    sub_test.go:7: no such device\n" +
	"\x16--- PASS: TestParent (0.00s)\n    \x16--- SKIP: TestParent/sub (0.00s)\n" +
	"\x16FAIL\n" +
	"\n=== command example/two\n" +
	"\x16=== RUN   TestDies\npanic: oh"

func TestTally(t *testing.T) {
	var out strings.Builder
	tally := newTally("6.12", &out)
	if _, err := tally.stderr().Write([]byte("a warning\n")); err != nil {
		t.Fatal(err)
	}
	for _, b := range []byte(printed) { // in the smallest pieces
		if _, err := tally.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if err := tally.Close(); err != nil {
		t.Fatal(err)
	}
	suites := []suite{{ImportPath: "example/one"}, {ImportPath: "example/two"}, {ImportPath: "example/three"}}
	s := tally.summary(suites, []int{1, 2})
	want := `kernel 6.12: 2 passed, 2 failed, 1 skipped
	FAIL example/one TestBad
	SKIP example/one TestParent/sub: sub_test.go:7: no such device
	FAIL example/two TestDies
	FAIL example/three did not end
`
	if diff := cmp.Diff(want, s.String()); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	if !s.failed() {
		t.Error("this has not failed")
	}
	for _, line := range []string{"6.12 stderr | a warning\n", "6.12 one |     bad_test.go:5: wrong\n", "6.12 two | panic: oh\n"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("%q is not in\n%s", line, out.String())
		}
	}
}

func TestSummaryFails(t *testing.T) {
	good := result{outcome: outcome{pkg: "p", passed: 1}}
	for name, c := range map[string]struct {
		summary
		failed bool
	}{
		"all passed":       {summary{results: []result{good}}, false},
		"skips":            {summary{results: []result{{outcome: outcome{skipped: []skip{{}}}}}}, false},
		"nothing ran":      {summary{}, true},
		"the guest died":   {summary{results: []result{good}, broken: "it died"}, true},
		"one did not end":  {summary{results: []result{good, {status: notRun}}}, true},
		"status of a test": {summary{results: []result{{status: 2}}}, true},
		"a failed test":    {summary{results: []result{{outcome: outcome{failed: []string{"T"}}}}}, true},
	} {
		if got := c.summary.failed(); got != c.failed {
			t.Errorf("%s: failed is %v", name, got)
		}
	}
}

func TestEnvironment(t *testing.T) {
	got := environment("6.1", []string{"HOME=/h", "LARCH_TEST_LONG=1", "TMPDIR=/t", "XLARCH_=1"})
	want := []string{"LARCH_TEST_LONG=1", "TMPDIR=/run/vm-ext4", "LARCH_VM=6.1", "LARCH_VM_BTRFS=/run/vm-btrfs"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWithTests(t *testing.T) {
	list := `{"ImportPath": "a", "Dir": "/a", "TestGoFiles": ["a_test.go"]} {"ImportPath": "b", "Dir": "/b"} {"ImportPath": "c", "Dir": "/c", "XTestGoFiles": ["c_test.go"]}`
	got, err := withTests(strings.NewReader(list))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]suite{{ImportPath: "a", Dir: "/a"}, {ImportPath: "c", Dir: "/c"}}, got, cmp.AllowUnexported(suite{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, none := range []string{"", `{"ImportPath": "b"}`, "{"} {
		if _, err := withTests(strings.NewReader(none)); err == nil {
			t.Errorf("%q: no error", none)
		}
	}
}

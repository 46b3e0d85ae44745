package main

import (
	"fmt"
	"strings"
)

// summary is what came of all packages on one kernel.
type summary struct {
	kernel  string
	results []result
	broken  string // why not everything could be run, or empty
}

// result is an outcome and how its binary ended.
type result struct {
	outcome
	status int // notRun: it did not end, or did not begin
}

const notRun = -1

// summary joins what was printed with how the binaries ended, of which the last may
// be missing, as in a guest that died.
func (t *tally) summary(suites []suite, statuses []int) summary {
	s := summary{kernel: t.series}
	for i, suite := range suites {
		r := result{outcome: outcome{pkg: suite.ImportPath}, status: notRun}
		if i < len(t.all) {
			r.outcome = t.all[i]
		}
		if i < len(statuses) {
			r.status = statuses[i]
		}
		s.results = append(s.results, r)
	}
	return s
}

func (s summary) failed() bool {
	for _, r := range s.results {
		if r.status != 0 || len(r.outcome.failed) > 0 {
			return true
		}
	}
	return s.broken != "" || len(s.results) == 0
}

// String gives a line of numbers, and one for everything that did not pass.
func (s summary) String() string {
	var passed, failed, skipped int
	var lines strings.Builder
	for _, r := range s.results {
		passed, failed, skipped = passed+r.passed, failed+len(r.outcome.failed), skipped+len(r.skipped)
		for _, name := range r.outcome.failed {
			fmt.Fprintf(&lines, "\tFAIL %s %s\n", r.pkg, name)
		}
		for _, k := range r.skipped {
			fmt.Fprintf(&lines, "\tSKIP %s %s: %s\n", r.pkg, k.test, k.reason)
		}
		switch {
		case r.status == notRun:
			fmt.Fprintf(&lines, "\tFAIL %s did not end\n", r.pkg)
		case r.status != 0 && len(r.outcome.failed) == 0:
			fmt.Fprintf(&lines, "\tFAIL %s: exit status %d\n", r.pkg, r.status)
		}
	}
	if s.broken != "" {
		fmt.Fprintf(&lines, "\tFAIL %s\n", s.broken)
	}
	return fmt.Sprintf("kernel %s: %d passed, %d failed, %d skipped\n%s", s.kernel, passed, failed, skipped, lines.String())
}

//go:build amd64

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/larch-project/larch/internal/faults/trace"
)

// tally adds up the verdicts of a scenario.
type tally struct {
	name                              string
	calls, killed, failed, signalled  int
	unreached                         int
	damaged, lost, stuck, left, wrong int
	other                             int
	problems                          []string // for people, the first few
}

// mostProblems are told of a scenario.
const mostProblems = 5

func (t *tally) add(v *verdict) {
	if !v.reached {
		t.unreached++
	} else {
		switch v.plan.Action {
		case trace.Kill:
			t.killed++
		case trace.Signal:
			t.signalled++
		default:
			t.failed++
		}
	}
	for _, c := range []struct {
		count *int
		text  string
	}{{&t.damaged, v.damaged}, {&t.lost, v.lost}, {&t.stuck, v.stuck}, {&t.left, v.left}, {&t.wrong, v.wrongZero}, {&t.other, v.other}} {
		if c.text != "" {
			*c.count++
		}
	}
	if v.bad() && len(t.problems) < mostProblems {
		t.problems = append(t.problems, v.String())
	}
}

func (t *tally) bad() int { return t.damaged + t.lost + t.stuck + t.left + t.wrong + t.other }

// plus adds another tally's numbers.
func (t *tally) plus(o *tally) {
	t.calls += o.calls
	t.killed += o.killed
	t.failed += o.failed
	t.signalled += o.signalled
	t.unreached += o.unreached
	t.damaged += o.damaged
	t.lost += o.lost
	t.stuck += o.stuck
	t.left += o.left
	t.wrong += o.wrong
	t.other += o.other
}

// String says what is wrong with a point.
func (v *verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s), exit code %d", v.plan, v.call, v.exit)
	for _, c := range []struct{ what, text string }{
		{"damaged", v.damaged}, {"neither old nor new", v.lost}, {"does not converge", v.stuck},
		{"left behind", v.left}, {"exit code 0 and wrong", v.wrongZero}, {"besides", v.other}, {"it printed", v.output},
	} {
		if c.text != "" {
			fmt.Fprintf(&b, "\n\t%s: %s", c.what, strings.TrimSpace(c.text))
		}
	}
	return b.String()
}

// writeHead begins a table in Markdown, whose rows are tallies.
func writeHead(w io.Writer) {
	fmt.Fprintln(w, "| command | calls | killed | failed | interrupted | damaged | old lost | not converging | leftovers | exit 0 wrong | other | not reached |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
}

func (t *tally) row(w io.Writer) {
	fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d |\n", t.name, t.calls, t.killed, t.failed,
		t.signalled, t.damaged, t.lost, t.stuck, t.left, t.wrong, t.other, t.unreached)
}

package main

import (
	"fmt"
	"log"
	"math"
	"strings"
)

// table collects rows of times.
type table struct{ rows []string }

func (t *table) add(backend, work, against string, larch, peer, target float64) {
	t.row(backend, work, fmt.Sprintf("%.3f s", larch), fmt.Sprintf("%s: %.3f s", against, peer), larch/peer, target)
}

// addBytes adds a row of sizes; target is 0 where there is none.
func (t *table) addBytes(backend, work, against string, larch, peer int64, wanted float64) {
	mb := func(n int64) string { return fmt.Sprintf("%.2f MB", float64(n)/1e6) }
	t.row(backend, work, mb(larch), against+": "+mb(peer), float64(larch)/float64(peer), target(wanted))
}

func (t *table) row(backend, work, larch, peer string, ratio, target float64) {
	verdict, wanted := "reached", fmt.Sprintf("%.2f", target)
	switch {
	case math.IsInf(target, 1):
		verdict, wanted = "", ""
	case ratio > target:
		verdict = "MISSED"
	}
	row := fmt.Sprintf("| %s | %s | %s | %s | %.2f | %s | %s |", backend, work, larch, peer, ratio, wanted, verdict)
	t.rows = append(t.rows, row)
	log.Print(row)
}

// String writes it as Markdown.
func (t *table) String() string {
	head := "| backend | work | Larch | against | ratio | target | |\n|---|---|---|---|---|---|---|\n"
	return head + strings.Join(t.rows, "\n") + "\n"
}

package main

import (
	"fmt"
	"io"
	"log"
	"math"
)

// table collects rows of times.
type table struct{ rows []string }

func (t *table) add(backend, work, against string, larch, peer, target float64) {
	ratio := larch / peer
	verdict, wanted := "reached", fmt.Sprintf("%.2f", target)
	switch {
	case math.IsInf(target, 1):
		verdict, wanted = "", ""
	case ratio > target:
		verdict = "MISSED"
	}
	row := fmt.Sprintf("| %s | %s | %.3f s | %s: %.3f s | %.2f | %s | %s |", backend, work, larch, against, peer, ratio, wanted, verdict)
	t.rows = append(t.rows, row)
	log.Print(row)
}

func (t *table) print(w io.Writer) {
	fmt.Fprintln(w, "| backend | work | Larch | against | ratio | target | |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|")
	for _, r := range t.rows {
		fmt.Fprintln(w, r)
	}
}

package main

import (
	"fmt"
	"io"
	"log"
)

// table collects rows: what Larch took, what its peer took, and what is wanted.
type table struct {
	rows []row
}

type row struct {
	set, work, larch, against, peer string
	ratio, target                   float64
}

// add notes a ratio of two measurements of one kind.
func (t *table) add(set, work, against string, larch, peer, target float64, unit string) {
	r := row{set, work, number(larch, unit), against, number(peer, unit), larch / peer, target}
	t.rows = append(t.rows, r)
	log.Print(r)
}

// limit notes a measurement that has a limit instead of a peer.
func (t *table) limit(set, work string, larch, limit float64, unit string) {
	r := row{set, work, number(larch, unit), "limit", number(limit, unit), larch / limit, 1}
	t.rows = append(t.rows, r)
	log.Print(r)
}

func number(n float64, unit string) string {
	switch unit {
	case "s":
		return fmt.Sprintf("%.2f s", n)
	case "B":
		return fmt.Sprintf("%.1f MB", n/1e6)
	case "MiB":
		return fmt.Sprintf("%.0f MiB", n/(1<<20))
	}
	return fmt.Sprintf("%.0f", n)
}

func (r row) String() string {
	verdict := "reached"
	if r.ratio > r.target {
		verdict = "MISSED"
	}
	return fmt.Sprintf("| %s | %s | %s | %s: %s | %.2f | %.2f | %s |", r.set, r.work, r.larch, r.against, r.peer, r.ratio, r.target, verdict)
}

func (t *table) print(w io.Writer) {
	fmt.Fprintln(w, "| data | work | Larch | against | ratio | target | |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|")
	for _, r := range t.rows {
		fmt.Fprintln(w, r)
	}
}

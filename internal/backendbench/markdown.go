package main

import (
	"fmt"
	"strings"

	"github.com/larch-project/larch/internal/measure"
)

// section is what stands between markers of a document.
type section struct{ marker, text string }

// write puts sections into a document.
func write(file string, sections []section) error {
	for _, s := range sections {
		if err := measure.WriteBetween(file, s.marker, "\n"+s.text+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// grid writes a table; the first row is the header.
func grid(rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
	return b.String()
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// table has a row for each form.
func (c *comparison) table(head string, cells func(r footprint) []string) string {
	rows := [][]string{append([]string{"backend", "on"}, strings.Split(head, "; ")...)}
	for _, r := range c.rows {
		if cells := cells(r); cells != nil {
			rows = append(rows, append([]string{r.backend, r.fs}, cells...))
		}
	}
	return grid(rows)
}

// amounts are one kind of bytes, of everything in the order of the tables.
func (r footprint) amounts(of func(added) int64) (cells []string) {
	for _, b := range append(r.versions[:], r.apps[:]...) {
		cells = append(cells, megabytes(of(b)))
	}
	return cells
}

// sections are the tables of a comparison.
func (c *comparison) sections() []section {
	const head = "one version; + the next; + a copy in another application; an application with its runtime; + another one with that runtime"
	return []section{
		{"backendbench times", c.table("install; update; remove two versions", func(r footprint) []string {
			return []string{fmt.Sprintf("%.2f s", r.install), fmt.Sprintf("%.2f s", r.update), fmt.Sprintf("%.2f s", r.remove)}
		})},
		{"backendbench disk", c.table(head, func(r footprint) []string {
			return r.amounts(func(b added) int64 { return b.disk })
		})},
		{"backendbench du", c.table(head, func(r footprint) []string {
			if r.fs != "btrfs" {
				return nil
			}
			return r.amounts(func(b added) int64 { return b.data })
		})},
		{"backendbench memory", c.table(head, func(r footprint) []string {
			return r.amounts(func(b added) int64 { return b.memory })
		})},
		{"backendbench damage", c.table("a program that is removed in use; of a flipped bit a program sees; `larch verify` finds it; `--repair` mends it; without root", func(r footprint) []string {
			return []string{r.use.String(), r.read, yes(r.verified), yes(r.mended), r.user}
		})},
		{"backendbench btrfs", c.ratios.String()},
	}
}

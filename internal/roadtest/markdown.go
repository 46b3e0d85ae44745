package main

import (
	"fmt"
	"slices"
	"strings"
)

// tables writes all results as Markdown: the summary first.
func tables(results []result) string {
	var b strings.Builder
	b.WriteString(summary(results))
	for _, r := range results {
		fmt.Fprintf(&b, "\n### %s\n\n%d versions, %s to %s; the newest has %d files, %s.\n\n", r.family.name, len(r.family.versions),
			r.family.versions[0].name, r.family.versions[r.family.last()].name, r.files, size(r.bytes))
		b.WriteString(r.steps())
		b.WriteString("\n" + r.publisher())
	}
	return b.String()
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

// steps is the table of the fresh install and all updates.
func (r result) steps() string {
	head := []string{"from → to", "Larch", "requests", "CPU", "memory", "plain road", "requests", "Larch/plain"}
	for _, c := range r.columns {
		switch {
		case len(c.figures) == 0:
		case c.name == ostreePlain:
			head = append(head, "OSTree", "requests", "Larch/OSTree")
		case c.limit:
			head = append(head, c.name+" (limit)")
		case c.name == ostreeDelta:
			head = append(head, c.name+" (client fetched)")
		default:
			head = append(head, c.name+" / requests")
		}
	}
	rows := [][]string{head}
	for _, p := range r.pairs() {
		f, plain := r.larch[p], r.plain[p]
		row := []string{r.label(p), size(f.Bytes), fmt.Sprint(f.Requests), seconds(f.CPU), mebibytes(f.Memory),
			size(plain.Bytes), fmt.Sprint(plain.Requests), quotient(f.Bytes, plain.Bytes)}
		for _, c := range r.columns {
			if len(c.figures) > 0 {
				row = append(row, c.cells(p, f)...)
			}
		}
		rows = append(rows, row)
	}
	return grid(rows) + r.notes()
}

// cells are what a peer's column says of a step.
func (c column) cells(p pair, larch figure) []string {
	f, ok := c.figures[p]
	switch {
	case !ok && c.name == ostreePlain:
		return []string{none, none, none}
	case !ok:
		return []string{none}
	case c.name == ostreePlain:
		return []string{size(f.Bytes), fmt.Sprint(f.Requests), quotient(larch.Bytes, f.Bytes)}
	case c.name == ostreeDelta:
		return []string{size(f.Bytes) + " (" + size(f.Fetched) + ")"}
	case c.limit:
		return []string{size(f.Bytes)}
	}
	return []string{fmt.Sprintf("%s / %d", size(f.Bytes), f.Requests)}
}

// notes says what was not measured, and what failed.
func (r result) notes() string {
	var b strings.Builder
	for _, c := range r.columns {
		if c.missing != "" {
			fmt.Fprintf(&b, "\n%s: %s.\n", c.name, c.missing)
		}
		for _, err := range c.failed {
			line, _, _ := strings.Cut(err.Error(), "\n")
			fmt.Fprintf(&b, "\n%s FAILED: %s\n", c.name, line)
		}
	}
	return b.String()
}

// publisher is the table of what publishing took and wrote.
func (r result) publisher() string {
	rows := [][]string{{"published", "CPU", "memory", "packs", "deltas", "streams from nothing", "rest"}}
	for i, p := range r.publications {
		w := p.written
		rows = append(rows, []string{r.family.versions[i].name, seconds(p.cpu), mebibytes(p.memory), size(w.packs), size(w.deltas), size(w.streams), size(w.rest)})
	}
	w := r.storage
	rows = append(rows, []string{"kept in the end", "", "", size(w.packs), size(w.deltas), size(w.streams), size(w.rest)})
	return grid(rows)
}

// summary is one row for each family.
func summary(results []result) string {
	rows := [][]string{{"family", "updates", "Larch/OSTree, median", "Larch/plain, worst", "chain/direct delta, mean", "(packs + deltas)/packs", "most requests, by versions passed"}}
	for _, r := range results {
		against, plain := ratios(r.larch, r.column(ostreePlain)), ratios(r.larch, r.plain)
		row := []string{r.family.name, fmt.Sprint(len(plain)), none, none, none, quotient(r.storage.packs+r.storage.deltas, r.storage.packs), ""}
		if len(against) > 0 {
			row[2] = fmt.Sprintf("%s (of %d)", ratio(median(against)), len(against))
		}
		if len(plain) > 0 {
			row[3] = ratio(slices.Max(plain))
		}
		if len(r.directs) > 0 {
			row[4] = fmt.Sprintf("%s (of %d)", ratio(mean(chains(r.directs))), len(r.directs))
		}
		var most []string
		for i, n := range r.mostRequests() {
			most = append(most, fmt.Sprintf("%d: %d", i+1, n))
		}
		row[6] = strings.Join(most, ", ")
		rows = append(rows, row)
	}
	return grid(rows)
}

// chains divides the bytes of chains by those of single deltas.
func chains(list []direct) (of []float64) {
	for _, d := range list {
		of = append(of, float64(d.chain)/float64(d.single))
	}
	return of
}

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/check"
	"github.com/larch-project/larch/repo"
)

func (c *command) checkVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "check REPO",
		Short: "Read all of a repository, and name everything that is wrong",
		Long: `Reads every file of a repository and checks it against its name or its signatures, down
to the last byte of every release's contents. Exits with 8 if something is wrong.`,
		Example: "  larch check ./repo",
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withRepository(args[0], func(r *repo.Repository) error {
				var found []check.Finding
				if err := check.Repository(cmd.Context(), r, c.now(), func(f check.Finding) { found = append(found, f) }); err != nil {
					return err
				}
				doc := findingsDocument{findingRows(found)}
				return c.reportFindings(doc, doc.Findings, 0, "All is as it was signed.")
			})
		},
	}
}

// findingRow is one row of the documents of check and verify.
type findingRow struct {
	Where   string   `json:"where"`
	Problem string   `json:"problem"`
	Affects []string `json:"affects"`
	Fix     string   `json:"fix"`
}

func findingRows(all []check.Finding) []findingRow {
	rows := []findingRow{}
	for _, one := range all {
		rows = append(rows, findingRow{one.Where, one.Problem, append([]string{}, one.Affects...), one.Fix})
	}
	return rows
}

// findingsDocument is the document of check.
type findingsDocument struct {
	Findings []findingRow `json:"findings"`
}

// reportFindings prints what is wrong, how much of it was mended, or that all is
// whole; the error says that something is wrong.
func (c *command) reportFindings(doc any, rows []findingRow, mended int, whole string) error {
	err := c.report(doc, func(w io.Writer) {
		printFindings(w, rows)
		if mended > 0 {
			fmt.Fprintf(w, "Mended: %s\n", count(int64(mended), "finding"))
		}
		if len(rows) == 0 {
			fmt.Fprintln(w, whole)
		}
	})
	if err == nil && len(rows) > 0 {
		err = errDamage
	}
	return err
}

func printFindings(w io.Writer, rows []findingRow) {
	for _, row := range rows {
		fmt.Fprintf(w, "%s: %s\n", safe(row.Where), safe(row.Problem))
		if len(row.Affects) > 0 {
			fmt.Fprintf(w, "    affects: %s\n", safe(strings.Join(row.Affects, ", ")))
		}
		if row.Fix != "" {
			fmt.Fprintf(w, "    %s\n", safe(row.Fix))
		}
	}
}

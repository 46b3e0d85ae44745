package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/install"
)

// generation is one row of the documents of history and undo.
type generation struct {
	Number  int64       `json:"number"`
	Verb    string      `json:"verb"`
	Created time.Time   `json:"created"`
	Current bool        `json:"current"`
	Parent  int64       `json:"parent"`
	Undone  int64       `json:"undone"` // the generation that this one undid, or 0
	Changes []changeRow `json:"changes"`
}

// changeRow is what a transaction did to one ref; a version is "" where there is none.
type changeRow struct {
	Ref    string `json:"ref"`
	Before string `json:"before"`
	Now    string `json:"now"`
}

func newGeneration(g *install.Generation, current int64) generation {
	row := generation{g.Number, string(g.Verb), g.Created, g.Number == current, g.Parent, g.Undone, []changeRow{}}
	for _, change := range g.Changes {
		row.Changes = append(row.Changes, changeRow{change.Ref.String(), change.Before, change.Now})
	}
	return row
}

// describe says what a transaction did, on one line.
func (g generation) describe() string {
	var parts []string
	if g.Undone > 0 {
		parts = append(parts, fmt.Sprintf("undo of %d", g.Undone))
	}
	for _, change := range g.Changes {
		parts = append(parts, change.describe())
	}
	return strings.Join(parts, "; ")
}

func (r changeRow) describe() string {
	switch {
	case r.Before == "":
		return "installed " + r.Ref + " " + r.Now
	case r.Now == "":
		return "removed " + r.Ref + " " + r.Before
	}
	return r.Ref + " from " + r.Before + " to " + r.Now
}

func (c *command) undoVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "undo",
		Short: "Go back to what was installed before the last transaction",
		Long: `Goes back to what was installed before the last transaction that is not undone yet,
exports included, at once and without the network. Again, it goes back further.`,
		Example: "  larch undo",
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withInstallation(func(i *install.Installation) error {
				g, err := i.Undo(cmd.Context())
				if err != nil {
					return err
				}
				c.mountForAll(cmd.Context(), i)
				row := newGeneration(g, g.Number)
				return c.report(row, func(w io.Writer) { fmt.Fprintf(w, "%s\n", row.describe()) })
			})
		},
	}
}

func (c *command) historyVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "history",
		Short:   "List the transactions, newest first",
		Example: "  larch history",
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withInstallation(func(i *install.Installation) error {
				current, err := i.Current()
				if err != nil {
					return err
				}
				all, err := i.History()
				if err != nil {
					return err
				}
				rows := []generation{}
				for _, g := range all {
					rows = append(rows, newGeneration(g, current.Number))
				}
				return c.report(rows, func(w io.Writer) {
					for _, row := range rows {
						mark := " "
						if row.Current {
							mark = "*"
						}
						fmt.Fprintf(w, "%s %4d  %s  %s\n", mark, row.Number, row.Created.Format(time.DateTime), row.describe())
					}
				})
			})
		},
	}
}

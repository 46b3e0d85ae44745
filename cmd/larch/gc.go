package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/install"
)

func (c *command) gcVerb() *cobra.Command {
	var keep int
	var dry bool
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Remove what no generation needs that is kept",
		Long: `Removes old generations, but for the current one and the newest of those before it
(one, or as many as --keep says), and then deployments and contents that nothing
needs. What is running stays until it has ended.`,
		Example: "  larch gc --keep 0",
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if keep < 0 {
				return usage(cmd, fmt.Errorf("--keep %d", keep))
			}
			return c.withInstallation(func(i *install.Installation) error {
				done, err := i.GC(cmd.Context(), install.GCOptions{Keep: keep, DryRun: dry})
				if err != nil {
					return err
				}
				doc := newCollected(done, dry)
				return c.report(doc, doc.print)
			})
		},
	}
	cmd.Flags().IntVar(&keep, "keep", 1, "how many generations before the current one stay, for larch undo")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would be removed, and remove nothing")
	return cmd
}

// collected is the document of gc.
type collected struct {
	Generations int      `json:"generations"`
	Deployments int      `json:"deployments"`
	Releases    int      `json:"releases"`
	Objects     int64    `json:"objects"`
	Bytes       int64    `json:"bytes"`
	InUse       []string `json:"in_use"` // deployments that stay because something runs in them
	DryRun      bool     `json:"dry_run"`
}

func newCollected(done *install.Collected, dry bool) *collected {
	doc := &collected{done.Generations, done.Deployments, done.Releases, done.Objects, done.Bytes, []string{}, dry}
	for _, d := range done.InUse {
		doc.InUse = append(doc.InUse, d.Folder())
	}
	return doc
}

func (d *collected) print(w io.Writer) {
	verb := "Removed"
	if d.DryRun {
		verb = "Would remove"
	}
	fmt.Fprintf(w, "%s %s, %s, %s, %s\n", verb, count(int64(d.Generations), "generation"),
		count(int64(d.Deployments), "deployment"), count(d.Objects, "object"), size(d.Bytes))
	for _, folder := range d.InUse {
		fmt.Fprintf(w, "in use, so it stays: %s\n", folder)
	}
}

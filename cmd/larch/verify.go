package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/install"
)

// verifiedDocument is the document of verify.
type verifiedDocument struct {
	Findings []findingRow `json:"findings"` // that are left
	Repaired int          `json:"repaired"`
	Objects  int64        `json:"checked"` // objects in the store
}

func (c *command) verifyVerb() *cobra.Command {
	var repair bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read all that is installed, and name or mend what is not as it was signed",
		Long: `Reads every object of the store and every file of every deployment, and compares them
with what was signed. Exits with 8 if something is wrong. With --repair it fetches
exactly what is damaged; nothing is removed before its replacement was verified.`,
		Example: "  larch verify --repair",
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withInstallation(func(i *install.Installation) error {
				return c.verify(cmd.Context(), i, repair)
			})
		},
	}
	cmd.Flags().BoolVar(&repair, "repair", false, "mend what is wrong")
	return cmd
}

func (c *command) verify(ctx context.Context, i *install.Installation, repair bool) error {
	verify := i.Verify
	if repair {
		verify = i.Repair
	}
	done, err := verify(ctx)
	if err != nil {
		return err
	}
	doc := verifiedDocument{findingRows(done.Findings), done.Repaired, done.Objects}
	return c.reportFindings(doc, doc.Findings, doc.Repaired, fmt.Sprintf("All is as it was signed: %s.", count(doc.Objects, "object")))
}

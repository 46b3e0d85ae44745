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
	Objects  int64        `json:"checked"`  // objects in the store
	Measured int64        `json:"measured"` // of these, not read: the kernel answers for them
}

func (c *command) verifyVerb() *cobra.Command {
	var repair, readAll bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read all that is installed, and name or mend what is not as it was signed",
		Long: `Reads every object of the store and every file of every deployment, and compares them
with what was signed. Exits with 8 if something is wrong. With --repair it fetches
exactly what is damaged; nothing is removed before its replacement was verified.

Where the file system has fs-verity, the kernel has measured each object, lets nobody
change it, and checks each block whenever it is read: such objects are counted and not
read, unless --read asks for it, which finds blocks that decayed on the disk.`,
		Example: "  larch verify --repair",
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withInstallation(func(i *install.Installation) error {
				return c.verify(cmd.Context(), i, repair, install.VerifyOptions{ReadAll: readAll})
			})
		},
	}
	cmd.Flags().BoolVar(&repair, "repair", false, "mend what is wrong")
	cmd.Flags().BoolVar(&readAll, "read", false, "read objects, too, that the kernel has measured")
	return cmd
}

func (c *command) verify(ctx context.Context, i *install.Installation, repair bool, opt install.VerifyOptions) error {
	verify := i.Verify
	if repair {
		verify = i.Repair
	}
	done, err := verify(ctx, opt)
	if err != nil {
		return err
	}
	if repair {
		c.mountForAll(ctx, i)
	}
	doc := verifiedDocument{findingRows(done.Findings), done.Repaired, done.Objects, done.Measured}
	well := fmt.Sprintf("All is as it was signed: %s", count(doc.Objects, "object"))
	if doc.Measured > 0 {
		well += fmt.Sprintf(", %d of them measured by the kernel, which checks each read", doc.Measured)
	}
	return c.reportFindings(doc, doc.Findings, doc.Repaired, well+".")
}

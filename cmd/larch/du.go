package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/install"
)

// usageDocument is the document of du.
type usageDocument struct {
	Refs    []refUsage `json:"refs"`
	Objects int64      `json:"objects"` // in the store, whoever needs them
	Bytes   int64      `json:"bytes"`
	Disk    int64      `json:"disk_bytes"` // bytes of the blocks that hold them
}

// refUsage is what one ref takes, in bytes.
type refUsage struct {
	Ref       string `json:"ref"`
	Version   string `json:"version"`
	Installed int64  `json:"bytes"`     // sizes of all its files
	Exclusive int64  `json:"exclusive"` // in objects that nothing else installed needs
	Shared    int64  `json:"shared"`    // in objects that something else needs, too
}

func (c *command) duVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "du [REF...]",
		Short:   "Say how much disk is used, by what, and how much is shared",
		Example: "  larch du\n  larch du editor",
		Args:    args(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withInstallation(func(i *install.Installation) error {
				usage, err := i.DU(cmd.Context(), args)
				if err != nil {
					return err
				}
				doc := newUsage(usage)
				return c.report(doc, doc.print)
			})
		},
	}
}

func newUsage(u *install.Usage) *usageDocument {
	doc := &usageDocument{[]refUsage{}, u.Objects, u.Bytes, u.Disk}
	for _, r := range u.Refs {
		doc.Refs = append(doc.Refs, refUsage{r.Ref.String(), r.Version, r.Installed, r.Exclusive, r.Shared})
	}
	return doc
}

func (d *usageDocument) print(w io.Writer) {
	for _, r := range d.Refs {
		fmt.Fprintf(w, "%-48s %-16s %10s, %s its own, %s shared\n", r.Ref, r.Version, size(r.Installed), size(r.Exclusive), size(r.Shared))
	}
	fmt.Fprintf(w, "the store: %s, %s, %s on disk\n", count(d.Objects, "object"), size(d.Bytes), size(d.Disk))
}

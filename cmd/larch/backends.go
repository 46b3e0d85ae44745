package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/install"
)

// backendRow is one row of the document of backends.
type backendRow struct {
	Name        string `json:"name"`
	Usable      bool   `json:"usable"`
	Default     bool   `json:"default"`
	Why         string `json:"why"`      // why it is not usable, or ""
	Note        string `json:"note"`     // what would make it better, or ""
	Verifies    string `json:"verifies"` // when damage is noticed
	SharesCache bool   `json:"shares_cache"`
	Root        bool   `json:"root"` // needs privileges
}

func (c *command) backendsVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "backends",
		Short:   "List the forms on disk, and which of them this machine can use",
		Example: "  larch backends",
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withInstallation(func(i *install.Installation) error {
				all, err := i.Support(cmd.Context())
				if err != nil {
					return err
				}
				rows := []backendRow{}
				for _, b := range all {
					rows = append(rows, backendRow{b.Name, b.Usable, b.Default, b.Why, b.Note, b.Verifies.String(), b.SharesCache, b.Root})
				}
				return c.report(rows, func(w io.Writer) {
					for _, r := range rows {
						fmt.Fprintf(w, "%-12s %s\n", r.Name, r.describe())
					}
				})
			})
		},
	}
}

func (r backendRow) describe() string {
	if !r.Usable {
		return "not usable here: " + safe(r.Why)
	}
	text := "usable; " + r.Verifies
	if r.SharesCache {
		text += "; shares the page cache"
	}
	if r.Default {
		text += "; used unless another one is named"
	}
	if r.Note != "" {
		text += "\n             " + safe(r.Note)
	}
	return text
}

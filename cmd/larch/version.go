package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/repo"
)

// version is set when the command is built; see Makefile.
var version string

// versionDocument is the document of version.
type versionDocument struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	Format  int    `json:"repository_format"`
}

func (c *command) versionVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  larch version --json",
		Args:    args(0, 0),
		RunE:    func(*cobra.Command, []string) error { return c.printVersion() },
	}
}

func (c *command) printVersion() error {
	doc := versionDocument{programVersion(), runtime.Version(), repo.Format}
	return c.report(doc, func(w io.Writer) {
		fmt.Fprintf(w, "larch %s (%s, repository format %d)\n", doc.Version, doc.Go, doc.Format)
	})
}

// programVersion is what was set at build time, or else what the go command knows.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "unknown"
}

package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/install"
	"github.com/larch-project/larch/release"
)

// installedRow is one row of the document of list.
type installedRow struct {
	Ref       string `json:"ref"`
	Version   string `json:"version"`
	Remote    string `json:"remote"`
	Backend   string `json:"backend"`
	Release   string `json:"release"`
	Automatic bool   `json:"automatic"`
}

func (c *command) listVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List what is installed",
		Example: "  larch list --json",
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withInstallation(func(i *install.Installation) error {
				current, err := i.Current()
				if err != nil {
					return err
				}
				rows := []installedRow{}
				for _, in := range current.Installed {
					rows = append(rows, installedRow{in.Ref.String(), in.Version, in.Remote, in.Backend, in.Release.String(), in.Automatic})
				}
				return c.report(rows, func(w io.Writer) {
					for _, r := range rows {
						fmt.Fprintf(w, "%-48s %-16s %s\n", r.Ref, r.Version, r.Remote)
					}
				})
			})
		},
	}
}

// availableRow is one row of the document of search.
type availableRow struct {
	Ref     string `json:"ref"`
	Version string `json:"version"`
	Remote  string `json:"remote"`
	Title   string `json:"title"`
}

func (c *command) searchVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "search [WORD]",
		Short: "Look for something to install",
		Long: `Lists what the remotes have whose ref or title contains a word, in any case; without
a word, everything.`,
		Example: "  larch search editor",
		Args:    args(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			word := strings.ToLower(strings.Join(args, ""))
			return c.withInstallation(func(i *install.Installation) error {
				if err := i.Refresh(cmd.Context()); err != nil {
					return err
				}
				available, err := i.Available(cmd.Context())
				if err != nil {
					return err
				}
				rows := []availableRow{}
				for _, a := range available {
					if strings.Contains(strings.ToLower(a.Ref.String()+" "+a.Title), word) {
						rows = append(rows, availableRow{a.Ref.String(), a.Version, a.Remote, a.Title})
					}
				}
				return c.report(rows, func(w io.Writer) {
					for _, r := range rows {
						line := fmt.Sprintf("%-48s %-16s %-12s %s", r.Ref, safe(r.Version), r.Remote, safe(r.Title))
						fmt.Fprintln(w, strings.TrimRight(line, " "))
					}
				})
			})
		},
	}
}

// details is the document of info.
type details struct {
	Ref         string            `json:"ref"`
	Installed   string            `json:"installed"` // version, or ""
	Available   string            `json:"available"` // version, or ""
	Remote      string            `json:"remote"`
	Created     time.Time         `json:"created"`
	Message     string            `json:"message"`
	Files       int64             `json:"files"`
	Bytes       int64             `json:"bytes"`
	Image       digest.Digest     `json:"composefs"` // of its composefs image
	Requires    []string          `json:"requires"`
	Permissions []string          `json:"permissions"`
	Annotations map[string]string `json:"annotations"`
	Problem     string            `json:"problem"` // why the remote could not be asked, or ""
}

func (c *command) infoVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "info REF",
		Short:   "Say what is known about a ref",
		Example: "  larch info editor",
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withInstallation(func(i *install.Installation) error {
				found, err := i.Info(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				doc, err := newDetails(found)
				if err != nil {
					return err
				}
				return c.report(doc, doc.print)
			})
		},
	}
}

func newDetails(found *install.Details) (*details, error) {
	d := &details{Ref: found.Ref.String(), Requires: []string{}, Permissions: []string{}, Annotations: map[string]string{}}
	if found.Installed != nil {
		d.Installed, d.Remote = found.Installed.Version, found.Installed.Remote
	}
	if found.Newest != nil {
		d.Available, d.Remote = found.Newest.Version, found.Newest.Remote
	}
	if found.Remote != nil {
		d.Problem = found.Remote.Error()
	}
	rel := found.Release
	if rel == nil {
		rel = found.Current
	}
	if rel == nil {
		return d, nil
	}
	d.Created, d.Message, d.Files, d.Bytes, d.Image = rel.Created, rel.Message, rel.Tree.Files, rel.Tree.Bytes, rel.Image
	for _, ref := range rel.Requires {
		d.Requires = append(d.Requires, ref.String())
	}
	for name, text := range rel.Annotations {
		d.Annotations[name] = text
	}
	if rel.Metadata == "" {
		return d, nil
	}
	m, err := release.ParseMetadata([]byte(rel.Metadata))
	if err != nil {
		return nil, err
	}
	d.Permissions = append(d.Permissions, m.Permissions.Describe()...)
	return d, nil
}

func (d *details) print(w io.Writer) {
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(w, "%-12s %s\n", name+":", text)
		}
	}
	line("ref", d.Ref)
	line("title", safe(d.Annotations["title"]))
	line("summary", safe(d.Annotations["summary"]))
	line("installed", d.Installed)
	line("available", safe(d.Available))
	line("remote", d.Remote)
	line("published", d.Created.Format(time.DateTime))
	line("message", safe(d.Message))
	line("size", fmt.Sprintf("%s, %s", size(d.Bytes), count(d.Files, "file")))
	line("requires", strings.Join(d.Requires, ", "))
	line("homepage", safe(d.Annotations["homepage"]))
	line("license", safe(d.Annotations["license"]))
	for _, p := range d.Permissions {
		line("may", safe(p))
	}
	line("problem", safe(d.Problem))
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/install"
	"github.com/larch-project/larch/internal/bounded"
)

// maxRemoteFile bounds a .larchrepo file, in bytes.
const maxRemoteFile = 1 << 20

func (c *command) remoteVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "remote",
		Short:   "Say which repositories are trusted",
		Example: "  larch remote list",
		Args:    noVerb,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.remoteAddVerb(), c.remoteListVerb(), c.remoteRemoveVerb())
	return cmd
}

func (c *command) remoteAddVerb() *cobra.Command {
	var fingerprint string
	cmd := &cobra.Command{
		Use:   "add NAME URL --root-key FINGERPRINT | add NAME FILE.larchrepo",
		Short: "Trust a repository",
		Long: `Adds a repository, given by its address (http://, https://, or a folder) and the
fingerprint of its root key, which its publisher tells you (64 hex digits), or by a
.larchrepo file that carries both. Nothing else is trusted: neither the server nor
the way to it.`,
		Example: "  larch remote add example https://example.org/repo --root-key 0123…cdef",
		Args:    args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withInstallation(func(i *install.Installation) error {
				r, err := c.addRemote(cmd.Context(), cmd, i, args[0], args[1], fingerprint)
				if err != nil {
					return err
				}
				return c.report(r, func(w io.Writer) { fmt.Fprintf(w, "Added the remote %s, %s\n", r.Name, safe(r.URL)) })
			})
		},
	}
	cmd.Flags().StringVar(&fingerprint, "root-key", "", "fingerprint of the root key")
	return cmd
}

func (c *command) addRemote(ctx context.Context, cmd *cobra.Command, i *install.Installation, name, from, fingerprint string) (install.Remote, error) {
	if fingerprint != "" {
		return i.AddRemote(ctx, name, from, fingerprint)
	}
	if !strings.HasSuffix(from, ".larchrepo") {
		return install.Remote{}, usage(cmd, errors.New("a URL needs --root-key: ask the publisher for the fingerprint"))
	}
	f, err := os.Open(from)
	if err != nil {
		return install.Remote{}, err
	}
	defer f.Close()
	text, err := bounded.ReadAll(f, maxRemoteFile)
	if err != nil {
		return install.Remote{}, fmt.Errorf("reading %q: %w", from, err)
	}
	file, err := install.ParseRemoteFile(text)
	if err != nil {
		return install.Remote{}, err
	}
	return i.AddRemoteFile(ctx, name, file)
}

func (c *command) remoteListVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the repositories that are trusted",
		Example: "  larch remote list --json",
		Args:    args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withInstallation(func(i *install.Installation) error {
				remotes, err := i.Remotes()
				if err != nil {
					return err
				}
				return c.report(append([]install.Remote{}, remotes...), func(w io.Writer) {
					for _, r := range remotes {
						fmt.Fprintf(w, "%-16s %s  %s\n", r.Name, safe(r.URL), safe(r.Title))
					}
				})
			})
		},
	}
}

func (c *command) remoteRemoveVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME",
		Short:   "Trust a repository no more",
		Example: "  larch remote remove example",
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withInstallation(func(i *install.Installation) error {
				if err := i.RemoveRemote(cmd.Context(), args[0]); err != nil {
					return err
				}
				return c.report(map[string]string{"removed": args[0]}, func(w io.Writer) { fmt.Fprintf(w, "Removed the remote %s\n", args[0]) })
			})
		},
	}
}

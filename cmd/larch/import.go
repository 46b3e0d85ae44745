package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/convert/btrfssend"
	"github.com/larch-project/larch/tree"
)

// importFlags are the options of import, besides those of publish.
type importFlags struct {
	format, repo, subvolume string
}

func (c *command) importVerb() *cobra.Command {
	var flags importFlags
	cmd := &cobra.Command{
		Use:   "import --format btrfs-send FILE... REF --repo REPO",
		Short: "Publish what another tool has written as a release",
		Long: `btrfs-send: publishes the subvolume that streams of "btrfs send" make, given in the
order in which "btrfs receive" would need them: a full one, then streams of changes;
"-" is standard input. Of several subvolumes the last one counts, or the one that is
named. It needs no btrfs here and no privileges; contents are kept in a temporary
file until they are published.

Everything else is as with "larch publish".`,
		Example: "  larch import --format btrfs-send full.stream monday.stream os/org.example.Server/x86_64/stable --repo ./repo --version 2",
		Args:    args(2, -1),
	}
	cmd.Flags().StringVar(&flags.format, "format", "", "btrfs-send")
	cmd.Flags().StringVar(&flags.repo, "repo", "", "the repository to publish in")
	cmd.Flags().StringVar(&flags.subvolume, "subvolume", "", "name of the subvolume that is wanted (default: the last)")
	publish := c.publishFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := flags.check(cmd); err != nil {
			return err
		}
		req, err := publish.request(cmd)
		if err != nil {
			return err
		}
		files, ref := args[:len(args)-1], args[len(args)-1]
		return c.publish(cmd.Context(), flags.repo, ref, req, func(ctx context.Context, rules tree.Rules) (source, error) {
			return c.openStreams(ctx, files, btrfssend.OpenOptions{Rules: rules, Subvolume: flags.subvolume})
		})
	}
	return cmd
}

func (f *importFlags) check(cmd *cobra.Command) error {
	switch {
	case f.format != "btrfs-send":
		return usage(cmd, fmt.Errorf("--format %q: there is btrfs-send", f.format))
	case f.repo == "":
		return usage(cmd, errors.New("no --repo"))
	}
	return nil
}

// openStreams reads btrfs send streams.
func (c *command) openStreams(ctx context.Context, files []string, opt btrfssend.OpenOptions) (source, error) {
	var inputs []btrfssend.Input
	for _, name := range files {
		if name == "-" {
			inputs = append(inputs, btrfssend.Input{Name: "from standard input", Reader: c.in})
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		inputs = append(inputs, btrfssend.Input{Name: name, Reader: f})
	}
	s, err := btrfssend.Open(ctx, inputs, opt)
	if err != nil {
		return nil, err
	}
	return s, nil
}

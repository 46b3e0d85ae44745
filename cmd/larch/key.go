package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/trust"
)

func (c *command) keyVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "key",
		Short:   "List and change the keys of a repository",
		Example: "  larch key list ./repo\n  larch key rotate ./repo root",
		Args:    noVerb,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, verb := range []*cobra.Command{c.keyListVerb(), c.keyAddVerb(), c.keyRotateVerb(), c.keyRevokeVerb()} {
		c.keysFlag(verb)
		cmd.AddCommand(verb)
	}
	return cmd
}

// keyRow is one row of the documents of key.
type keyRow struct {
	ID        string   `json:"id"`
	Role      string   `json:"role"`
	Threshold int      `json:"threshold"`
	Here      bool     `json:"here"`
	Paths     []string `json:"paths,omitempty"`
}

func (c *command) keyListVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "list REPO",
		Short:   "List the keys that the metadata trusts, and which are here",
		Example: "  larch key list ./repo",
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := c.withKeys(args[0], func(_ *repo.Repository, head *trust.Repository) error { return c.reportKeys(head) })
			if err == nil || c.keys != "" {
				return err
			}
			return withHead(args[0], func(_ *repo.Repository, head *trust.Repository) error { return c.reportKeys(head) })
		},
	}
}

func (c *command) reportKeys(head *trust.Repository) error {
	rows := []keyRow{}
	for _, k := range head.Keys() {
		rows = append(rows, keyRow{k.ID, k.Role, k.Threshold, k.Held, k.Paths})
	}
	return c.report(rows, func(w io.Writer) {
		for _, k := range rows {
			where := "elsewhere"
			if k.Here {
				where = "here"
			}
			line := fmt.Sprintf("%s  %-20s %-9s %s", k.ID, safe(k.Role), where, safe(strings.Join(k.Paths, " ")))
			fmt.Fprintln(w, strings.TrimRight(line, " "))
		}
	})
}

// changeKeys makes a change of keys and shows the keys after it.
func (c *command) changeKeys(path string, change func(*trust.Repository) error) error {
	return c.withKeys(path, func(_ *repo.Repository, head *trust.Repository) error {
		if err := change(head); err != nil {
			return err
		}
		return c.reportKeys(head)
	})
}

func (c *command) keyAddVerb() *cobra.Command {
	var p trust.Publisher
	cmd := &cobra.Command{
		Use:   "add REPO NAME",
		Short: "Let one more key publish",
		Long: `Makes a key for a publisher, or takes the public key of one who keeps the private key
elsewhere, and lets it publish refs that match the patterns.`,
		Example: "  larch key add ./repo alice --paths 'app/org.example.*/*/*'",
		Args:    args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.Name = args[1]
			return c.changeKeys(args[0], func(head *trust.Repository) error {
				_, err := head.AddPublisher(cmd.Context(), c.now(), p)
				return err
			})
		},
	}
	cmd.Flags().StringSliceVar(&p.Paths, "paths", nil, "refs that it may publish, as patterns (default: all)")
	cmd.Flags().StringVar(&p.PublicKey, "public-key", "", "its public Ed25519 key (64 hex digits), if the private one is elsewhere")
	return cmd
}

func (c *command) keyRotateVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "rotate REPO ROLE|KEY",
		Short: "Replace a key by a new one",
		Long: `Replaces the key of a role (root, targets, snapshot, timestamp, or a publisher's name),
or one key by its id. Clients follow by themselves, however long they were away.`,
		Example: "  larch key rotate ./repo root",
		Args:    args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.changeKeys(args[0], func(head *trust.Repository) error {
				return head.Rotate(cmd.Context(), c.now(), args[1])
			})
		},
	}
}

func (c *command) keyRevokeVerb() *cobra.Command {
	var adopt string
	cmd := &cobra.Command{
		Use:   "revoke REPO PUBLISHER|KEY",
		Short: "Trust a publisher's key no more",
		Long: `Takes away a publisher's right to publish. Its refs disappear with it, unless another
publisher adopts them with --adopt; without that it asks for --yes.`,
		Example: "  larch key revoke ./repo alice --adopt main",
		Args:    args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.changeKeys(args[0], func(head *trust.Repository) error {
				return c.revoke(cmd.Context(), head, args[1], adopt)
			})
		},
	}
	cmd.Flags().StringVar(&adopt, "adopt", "", "publisher that signs for its refs from now on")
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "let its refs disappear")
	return cmd
}

func (c *command) revoke(ctx context.Context, head *trust.Repository, who, adopt string) error {
	before := head.Targets()
	if lost := signedBy(head, who); adopt == "" && !c.yes && len(lost) > 0 {
		return fmt.Errorf("%w: %s would be signed by nobody: name a publisher that adopts them with --adopt, or say --yes", errDeclined, strings.Join(lost, ", "))
	}
	if err := head.Revoke(ctx, c.now(), who, adopt); err != nil {
		return err
	}
	after := head.Targets()
	for ref := range before {
		if _, stays := after[ref]; !stays {
			c.note("%s is signed by nobody now, and gone from the repository's head", ref)
		}
	}
	return nil
}

// signedBy lists the refs that a publisher, or the one that has a key, signs.
func signedBy(head *trust.Repository, who string) (refs []string) {
	for _, k := range head.Keys() {
		if k.ID == who {
			who = strings.TrimPrefix(k.Role, "publisher-")
		}
	}
	for ref, target := range head.Targets() {
		if target.Publisher == who {
			refs = append(refs, ref)
		}
	}
	slices.Sort(refs)
	return refs
}

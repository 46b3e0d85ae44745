package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/trust"
)

func (c *command) repoVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "repo",
		Short:   "Look after a repository",
		Example: "  larch repo log ./repo hello\n  larch repo refresh ./repo",
		Args:    noVerb,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.repoLogVerb(), c.repoPruneVerb(), c.repoRepackVerb(), c.repoRefreshVerb(), c.repoMirrorsVerb(), c.repoDeltasVerb())
	return cmd
}

// withRepository opens a repository for one verb.
func withRepository(path string, do func(*repo.Repository) error) error {
	r, err := repo.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	return do(r)
}

// withHead opens a repository and its signed head, without keys.
func withHead(path string, do func(*repo.Repository, *trust.Repository) error) error {
	return withRepository(path, func(r *repo.Repository) error {
		head, err := trust.Open(r.Dir(), nil)
		if err != nil {
			return err
		}
		return do(r, head)
	})
}

// withKeys opens a repository and its signed head for changes.
func (c *command) withKeys(path string, do func(*repo.Repository, *trust.Repository) error) error {
	return withRepository(path, func(r *repo.Repository) error {
		keys, err := c.keyStore(r)
		if err != nil {
			return err
		}
		head, err := trust.Open(r.Dir(), keys)
		if err != nil {
			return err
		}
		return do(r, head)
	})
}

func (c *command) repoLogVerb() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:     "log REPO REF",
		Short:   "List the releases of a ref, newest first",
		Example: "  larch repo log ./repo app/org.example.Hello/x86_64/stable",
		Args:    args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withHead(args[0], func(r *repo.Repository, head *trust.Repository) error {
				return c.repoLog(cmd.Context(), r, head, args[1], limit)
			})
		},
	}
	cmd.Flags().IntVarP(&limit, "max", "n", 0, "list at most so many (0: all)")
	return cmd
}

// loggedRelease is one row of the document of repo log.
type loggedRelease struct {
	Ref     string    `json:"ref"`
	Version string    `json:"version"`
	Created time.Time `json:"created"`
	Release string    `json:"release"`
	Bytes   int64     `json:"bytes"`
	Files   int64     `json:"files"`
	Message string    `json:"message"`
}

func (c *command) repoLog(ctx context.Context, r *repo.Repository, head *trust.Repository, short string, limit int) error {
	target, err := findTarget(head.Targets(), short)
	if err != nil {
		return err
	}
	log, err := r.Log(ctx, target.Custom.Release, limit)
	if err != nil {
		return err
	}
	rows := []loggedRelease{}
	for _, l := range log {
		rel := l.Release
		rows = append(rows, loggedRelease{rel.Ref.String(), rel.Version, rel.Created, l.Digest.String(), rel.Tree.Bytes, rel.Tree.Files, rel.Message})
	}
	return c.report(rows, func(w io.Writer) {
		for _, row := range rows {
			fmt.Fprintf(w, "%-16s %s  %s  %s  %s\n", row.Version, row.Created.Format(time.DateTime), row.Release[:12], size(row.Bytes), safe(row.Message))
		}
	})
}

// findTarget finds the one ref that a short name stands for.
func findTarget(targets map[string]trust.Target, short string) (trust.Target, error) {
	refs := make([]release.Ref, 0, len(targets))
	for name := range targets {
		if ref, err := release.ParseRef(name); err == nil {
			refs = append(refs, ref)
		}
	}
	ref, err := release.Resolve(refs, short)
	return targets[ref.String()], err
}

func (c *command) repoPruneVerb() *cobra.Command {
	var keep int
	var dry bool
	cmd := &cobra.Command{
		Use:   "prune REPO",
		Short: "Remove what no release needs",
		Long: `Removes files that nothing refers to, such as those of interrupted publishers, and
with --keep the releases of each ref but the newest. Packs that "larch repo repack"
replaced stay for a day, for readers that are under way.`,
		Example: "  larch repo prune ./repo --keep 10",
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if keep < 0 {
				return usage(cmd, fmt.Errorf("--keep %d", keep))
			}
			return withRepository(args[0], func(r *repo.Repository) error {
				done, err := r.Prune(cmd.Context(), keep, c.now(), dry)
				if err != nil {
					return err
				}
				return c.reportPruned(done, dry)
			})
		},
	}
	cmd.Flags().IntVar(&keep, "keep", 0, "releases of each ref to keep (0: all)")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "say what would be removed, and remove nothing")
	return cmd
}

// pruned is the document of repo prune.
type pruned struct {
	Files    []string `json:"files"`
	Bytes    int64    `json:"bytes"`
	Releases int      `json:"releases"`
	DryRun   bool     `json:"dry_run"`
}

func (c *command) reportPruned(done *repo.Pruned, dry bool) error {
	doc := pruned{append([]string{}, done.Files...), done.Bytes, done.Releases, dry}
	return c.report(doc, func(w io.Writer) {
		verb := "Removed"
		if dry {
			verb = "Would remove"
			for _, name := range doc.Files {
				fmt.Fprintln(w, safe(name))
			}
		}
		fmt.Fprintf(w, "%s %s, %s, of them %s\n", verb, count(int64(len(doc.Files)), "file"), size(doc.Bytes), count(int64(doc.Releases), "release"))
	})
}

// repacked is the document of repo repack.
type repacked struct {
	PacksBefore  int   `json:"packs_before"`
	PacksAfter   int   `json:"packs_after"`
	Retired      int   `json:"packs_retired"`
	BytesWritten int64 `json:"bytes_written"`
}

func (c *command) repoRepackVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "repack REPO",
		Short: "Roll up small packs, so that fresh installs stay cheap",
		Long: `Rewrites small packs, and packs of which the newest releases need less than half,
into larger ones. Readers are not disturbed: what was replaced stays for a day.`,
		Example: "  larch repo repack ./repo",
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withRepository(args[0], func(r *repo.Repository) error {
				c.allow(publishTarget)
				done, err := r.Repack(cmd.Context(), c.now())
				if err != nil {
					return err
				}
				doc := repacked{done.Before, done.After, done.Retired, done.Written}
				return c.report(doc, doc.print)
			})
		},
	}
}

func (r repacked) print(w io.Writer) {
	if r.Retired == 0 {
		fmt.Fprintf(w, "Nothing to do: the newest releases are in %s\n", count(int64(r.PacksBefore), "pack"))
		return
	}
	fmt.Fprintf(w, "Replaced %s; the newest releases are in %s instead of %d; %s written\n",
		count(int64(r.Retired), "pack"), count(int64(r.PacksAfter), "pack"), r.PacksBefore, size(r.BytesWritten))
}

// renewal is one row of the document of repo refresh.
type renewal struct {
	Role    string    `json:"role"`
	Expires time.Time `json:"expires"`
	Renewed bool      `json:"renewed"`
	Due     bool      `json:"due"` // its time runs out, and its key is not here
}

func (r renewal) remark() string {
	switch {
	case r.Renewed:
		return ", renewed"
	case r.Due:
		return ", runs out soon: renew it where its key is"
	}
	return ""
}

func (c *command) repoRefreshVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "refresh REPO",
		Short: "Renew the signed timestamp",
		Long: `Signs a new timestamp, and renews the other metadata whose keys are here and whose
time is running out. Clients refuse a repository whose timestamp has expired: run it
daily, from a timer.`,
		Example: "  larch repo refresh ./repo",
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withKeys(args[0], func(_ *repo.Repository, head *trust.Repository) error {
				renewals, err := head.Refresh(cmd.Context(), c.now())
				if err != nil {
					return err
				}
				rows := []renewal{}
				for _, r := range renewals {
					rows = append(rows, renewal(r))
				}
				return c.report(rows, func(w io.Writer) {
					for _, r := range rows {
						fmt.Fprintf(w, "%-20s valid until %s%s\n", safe(r.Role), r.Expires.Format(time.DateTime), r.remark())
					}
				})
			})
		},
	}
	c.keysFlag(cmd)
	return cmd
}

func (c *command) repoMirrorsVerb() *cobra.Command {
	var set bool
	cmd := &cobra.Command{
		Use:     "mirrors REPO [URL...]",
		Short:   "Show the signed list of mirrors, or replace it",
		Example: "  larch repo mirrors ./repo --set https://a.example/repo https://b.example/repo",
		Args:    args(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !set && len(args) > 1 {
				return usage(cmd, fmt.Errorf("URLs without --set"))
			}
			open := c.withKeys
			if !set {
				open = withHead
			}
			return open(args[0], func(_ *repo.Repository, head *trust.Repository) error {
				if set {
					if err := head.SetMirrors(cmd.Context(), c.now(), args[1:]); err != nil {
						return err
					}
				}
				urls := append([]string{}, head.Mirrors()...)
				return c.report(urls, func(w io.Writer) {
					for _, url := range urls {
						fmt.Fprintln(w, safe(url))
					}
				})
			})
		},
	}
	cmd.Flags().BoolVar(&set, "set", false, "replace the list by these URLs")
	c.keysFlag(cmd)
	return cmd
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/trust"
)

// deltaBudget is the processor time that a publication may spend on deltas, in
// seconds, unless it is said.
const deltaBudget = 300

// fromNothing stands for the version before the first: a fresh install.
const fromNothing = "nothing"

// seconds reads a budget.
func seconds(s float64) (time.Duration, error) {
	if s < 0 || s > 1e9 || s != s {
		return 0, fmt.Errorf("a budget of %v seconds", s)
	}
	return time.Duration(s * float64(time.Second)), nil
}

func (c *command) repoDeltasVerb() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deltas",
		Short: "List, make or drop what leads from one release to another",
		Long: `A delta leads from the contents of one release to those of another; machines chain
them. The one from the release before, and one from nothing for fresh installs, are
made when a release is published. These verbs are for the rest: they need no keys.`,
		Example: "  larch repo deltas list ./repo hello\n  larch repo deltas make ./repo hello 1.0 1.4",
		Args:    noVerb,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.deltasListVerb(), c.deltasMakeVerb(), c.deltasDropVerb())
	return cmd
}

// line is the releases of one ref, newest first.
type line struct {
	repo *repo.Repository
	log  []repo.Logged
}

func withLine(ctx context.Context, path, short string, do func(line) error) error {
	return withHead(path, func(r *repo.Repository, head *trust.Repository) error {
		target, err := findTarget(head.Targets(), short)
		if err != nil {
			return err
		}
		log, err := r.Log(ctx, target.Custom.Release, 0)
		if err != nil {
			return err
		}
		return do(line{r, log})
	})
}

// find gives the release of a version; nil is nothing.
func (l line) find(version string) (*repo.Logged, error) {
	if version == fromNothing {
		return nil, nil
	}
	at := slices.IndexFunc(l.log, func(l repo.Logged) bool { return l.Release.Version == version })
	if at < 0 {
		return nil, fmt.Errorf("%w: %.80q of %s", repo.ErrUnknownRelease, version, l.log[0].Release.Ref)
	}
	return &l.log[at], nil
}

// version names a release of the line, or another one by its digest.
func (l line) version(d digest.Digest) string {
	if d.IsZero() {
		return fromNothing
	}
	at := slices.IndexFunc(l.log, func(l repo.Logged) bool { return l.Digest == d })
	if at < 0 {
		return ""
	}
	return l.log[at].Release.Version
}

// deltaRow is one row of the document of repo deltas list.
type deltaRow struct {
	From        string `json:"from"` // "" if that release is not there any more
	To          string `json:"to"`
	FromRelease string `json:"from_release"` // "" for nothing
	ToRelease   string `json:"to_release"`
	Bytes       int64  `json:"bytes"`
	Head        int64  `json:"head_bytes"`
	Contents    int64  `json:"contents"` // that it makes
	New         int64  `json:"new_contents"`
}

func (c *command) deltasListVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "list REPO REF",
		Short:   "List the deltas between the releases of a ref",
		Example: "  larch repo deltas list ./repo hello",
		Args:    args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withLine(cmd.Context(), args[0], args[1], func(l line) error {
				rows, err := l.rows()
				if err != nil {
					return err
				}
				return c.report(rows, func(w io.Writer) {
					for _, row := range rows {
						from := row.From
						if from == "" {
							from = row.FromRelease[:12]
						}
						fmt.Fprintf(w, "%-16s -> %-16s %10s, %s of %d\n", from, row.To, size(row.Bytes), count(row.Contents, "content"), row.New)
					}
				})
			})
		},
	}
}

// rows lists the deltas that lead to releases of the line, the newest first.
func (l line) rows() ([]deltaRow, error) {
	edges, err := l.repo.Edges()
	if err != nil {
		return nil, err
	}
	rows := []deltaRow{}
	for _, to := range l.log {
		for _, e := range edges {
			if e.To != to.Digest {
				continue
			}
			d, _, err := l.repo.Delta(e.To, e.From)
			if err != nil {
				return nil, err
			}
			row := deltaRow{From: l.version(e.From), To: to.Release.Version, ToRelease: e.To.String(), Bytes: e.Size, Head: e.Head, New: int64(len(d.Index.Objects))}
			if !e.From.IsZero() {
				row.FromRelease = e.From.String()
			}
			for _, g := range d.Groups {
				row.Contents += int64(len(g.News))
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// deltaMade is one row of the document of repo deltas make.
type deltaMade struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Made  bool   `json:"made"` // false: it was there
	Bytes int64  `json:"bytes"`
}

func (c *command) deltasMakeVerb() *cobra.Command {
	var budget float64
	cmd := &cobra.Command{
		Use:   "make REPO REF [FROM TO]",
		Short: "Make a delta between two releases, or all between neighbours",
		Long: `Makes the delta from the version FROM to the version TO, which may be the older one;
FROM may be "nothing": the stream for fresh installs, which is kept then when newer
releases come. Without versions it makes what is missing between neighbours, and the
stream of the newest release. What is there already is left alone, and what is made
depends on the two releases alone, so any number of machines can share the work.`,
		Example: "  larch repo deltas make ./repo hello 1.0 1.4\n  larch repo deltas make ./repo hello",
		Args:    args(2, 4),
		RunE: func(cmd *cobra.Command, args []string) error {
			limit, err := seconds(budget)
			if err == nil && len(args) == 3 {
				err = errors.New("give FROM and TO, or none of them")
			}
			if err != nil {
				return usage(cmd, err)
			}
			return withLine(cmd.Context(), args[0], args[1], func(l line) error {
				pairs, err := l.pairs(args[2:])
				if err != nil {
					return err
				}
				return c.deltasMake(cmd.Context(), l, pairs, limit)
			})
		},
	}
	cmd.Flags().Float64Var(&budget, "delta-budget", 1e6, "processor time, in seconds on all cores together")
	return cmd
}

// pair is two releases of a line; the first is nil for nothing.
type pair struct{ from, to *repo.Logged }

// pairs gives the pair of two versions, or all that publications make.
func (l line) pairs(versions []string) ([]pair, error) {
	if len(versions) > 0 {
		from, err := l.find(versions[0])
		if err != nil {
			return nil, err
		}
		to, err := l.find(versions[1])
		if err == nil && (to == nil || from == to) {
			err = fmt.Errorf("%w: no delta leads from %.80q to %.80q", repo.ErrUnknownRelease, versions[0], versions[1])
		}
		return []pair{{from, to}}, err
	}
	list := []pair{{nil, &l.log[0]}}
	for i := range l.log[1:] {
		list = append(list, pair{&l.log[i+1], &l.log[i]})
	}
	return list, nil
}

func (c *command) deltasMake(ctx context.Context, l line, pairs []pair, limit time.Duration) error {
	c.allow(deltaTarget)
	rows := []deltaMade{}
	for _, p := range pairs {
		row := deltaMade{From: fromNothing, To: p.to.Release.Version}
		var from digest.Digest
		if p.from != nil {
			row.From, from = p.from.Release.Version, p.from.Digest
		}
		made, err := l.repo.MakeDelta(ctx, p.from, *p.to, limit)
		if err != nil {
			return err
		}
		d, _, err := l.repo.Delta(p.to.Digest, from)
		if err != nil {
			return err
		}
		row.Made, row.Bytes = made, d.End()
		rows = append(rows, row)
	}
	return c.report(rows, func(w io.Writer) {
		for _, row := range rows {
			verb := "Made"
			if !row.Made {
				verb = "Kept"
			}
			fmt.Fprintf(w, "%s %s -> %s, %s\n", verb, row.From, row.To, size(row.Bytes))
		}
	})
}

// deltaDropped is the document of repo deltas drop.
type deltaDropped struct {
	From string `json:"from"`
	To   string `json:"to"`
}

func (c *command) deltasDropVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "drop REPO REF FROM TO",
		Short:   "Remove a delta; machines go another way then",
		Example: "  larch repo deltas drop ./repo hello nothing 1.4",
		Args:    args(4, 4),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withLine(cmd.Context(), args[0], args[1], func(l line) error {
				pairs, err := l.pairs(args[2:])
				if err != nil {
					return err
				}
				if err := l.repo.DropDelta(cmd.Context(), pairs[0].from, *pairs[0].to); err != nil {
					return fmt.Errorf("the delta from %.80q to %.80q: %w", args[2], args[3], err)
				}
				doc := deltaDropped{args[2], args[3]}
				return c.report(doc, func(w io.Writer) { fmt.Fprintf(w, "Dropped %s -> %s\n", safe(doc.From), safe(doc.To)) })
			})
		},
	}
}

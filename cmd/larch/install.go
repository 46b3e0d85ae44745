package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/install"
)

// changeFlags are the options of the verbs that change what is installed.
type changeFlags struct {
	dry     bool
	backend string
	remote  string
	seeds   []string
	packs   bool
	explain bool
	demand  bool
}

func (c *command) planOptions(f *changeFlags) install.PlanOptions {
	if f.demand && f.backend == "" {
		f.backend = install.OnDemandBackend
	}
	return install.PlanOptions{
		DryRun: f.dry, Backend: f.backend, OnDemand: f.demand, Seeds: f.seeds, Explain: f.explain,
		PacksOnly: f.packs || c.getenv("LARCH_ROUTES") == "packs",
	}
}

// changeFlags declares the flags that all of these verbs have.
func (c *command) changeFlags(cmd *cobra.Command, f *changeFlags) {
	cmd.Flags().BoolVar(&f.dry, "dry-run", false, "show what would be done, and do nothing")
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "do not ask")
}

func (c *command) fetchFlags(cmd *cobra.Command, f *changeFlags) {
	cmd.Flags().StringVar(&f.backend, "backend", "", "form on disk (larch backends lists them)")
	cmd.Flags().BoolVar(&f.explain, "explain", false, "say by which route it comes, and what a fresh install would cost")
	cmd.Flags().BoolVar(&f.packs, "no-deltas", false, "fetch whole contents from packs (also: LARCH_ROUTES=packs)")
	cmd.Flags().StringArrayVar(&f.seeds, "seed", nil, "local folder with files that need not be fetched; may be repeated")
}

func (c *command) installVerb() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:   "install REF[@VERSION]...",
		Short: "Install releases, or move installed ones to a version",
		Long: `Installs the newest releases of refs, or those of a version, with what they require.
What is installed already moves to that version, up or down. Shows what would be
fetched and permitted, and asks on a terminal.`,
		Example: "  larch install editor\n  larch install editor@1.2 --yes",
		Args:    args(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var wanted []install.Wanted
			for _, arg := range args {
				w := install.ParseWanted(arg)
				w.Remote = f.remote
				wanted = append(wanted, w)
			}
			return c.change(cmd.Context(), func(ctx context.Context, i *install.Installation) (*install.Plan, error) {
				return i.PlanInstall(ctx, wanted, c.planOptions(&f))
			}, f.dry)
		},
	}
	c.changeFlags(cmd, &f)
	c.fetchFlags(cmd, &f)
	cmd.Flags().StringVar(&f.remote, "remote", "", "remote to install from, where several have it")
	cmd.Flags().BoolVar(&f.demand, "on-demand", false, "fetch contents when they are read, and the rest meanwhile (backend fuse)")
	return cmd
}

func (c *command) updateVerb() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:     "update [REF...]",
		Short:   "Update to the newest releases: of refs, or of all that is installed",
		Example: "  larch update --dry-run",
		Args:    args(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.change(cmd.Context(), func(ctx context.Context, i *install.Installation) (*install.Plan, error) {
				return i.PlanUpdate(ctx, args, c.planOptions(&f))
			}, f.dry)
		},
	}
	c.changeFlags(cmd, &f)
	c.fetchFlags(cmd, &f)
	return cmd
}

func (c *command) uninstallVerb() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:   "uninstall REF...",
		Short: "Remove releases, and runtimes that nothing else needs",
		Long: `Removes what is installed. Its files stay until "larch gc", so that "larch undo" can
bring it back; what is running goes on.`,
		Example: "  larch uninstall editor",
		Args:    args(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.change(cmd.Context(), func(ctx context.Context, i *install.Installation) (*install.Plan, error) {
				return i.PlanUninstall(ctx, args, c.planOptions(&f))
			}, f.dry)
		},
	}
	c.changeFlags(cmd, &f)
	return cmd
}

// changed is the document of install, update and uninstall.
type changed struct {
	DryRun     bool      `json:"dry_run"`
	Generation int64     `json:"generation"` // that is current now; 0 in a dry run
	Steps      []stepRow `json:"steps"`
	Warnings   []string  `json:"warnings"`

	PlannedRequests int   `json:"planned_requests"` // for contents
	PlannedBytes    int64 `json:"planned_bytes"`
	DiskBytes       int64 `json:"disk_bytes"`

	Requests       int64   `json:"requests"` // that were made, those for metadata included
	BytesFetched   int64   `json:"bytes_fetched"`
	BytesReused    int64   `json:"bytes_reused"`
	ObjectsFetched int64   `json:"objects_fetched"`
	Seconds        float64 `json:"seconds"`
}

// stepRow is what is done to one ref; a version is "" where there is none.
type stepRow struct {
	Action string   `json:"action"`
	Ref    string   `json:"ref"`
	Before string   `json:"before"`
	Now    string   `json:"now"`
	Bytes  int64    `json:"bytes"`
	Disk   int64    `json:"disk_bytes"`
	Gains  []string `json:"permissions_gained"`
	Route  route    `json:"route"`
}

func newChanged(p *install.Plan) *changed {
	doc := &changed{Steps: []stepRow{}, Warnings: []string{}, PlannedRequests: p.Requests, PlannedBytes: p.Bytes, DiskBytes: p.Disk}
	for _, s := range p.Steps {
		row := stepRow{Action: string(s.Action), Ref: s.Ref.String(), Bytes: s.Bytes, Disk: s.Disk, Gains: append([]string{}, s.Gains...)}
		if s.Before != nil {
			row.Before = s.Before.Version
		}
		if s.After != nil {
			row.Now = s.After.Version
		}
		row.Route = newRoute(&s)
		doc.Steps = append(doc.Steps, row)
	}
	doc.warn(p.Warnings)
	return doc
}

func (d *changed) warn(warnings []install.Warning) {
	d.Warnings = []string{}
	for _, w := range warnings {
		d.Warnings = append(d.Warnings, fmt.Sprintf("%s: %s", w.Ref, w.Text))
	}
}

// attempts are how often a transaction is planned at most, where each time the remote
// loses what is fetched for a newer release.
const attempts = 3

// change plans a transaction, shows it, asks, and applies it; and again, if the remote
// has a newer release by then, and not all of the planned one any more.
func (c *command) change(ctx context.Context, plan func(context.Context, *install.Installation) (*install.Plan, error), dry bool) error {
	return c.withInstallation(func(i *install.Installation) error {
		for n := 1; ; n++ {
			p, err := plan(ctx, i)
			if err != nil {
				return err
			}
			err = c.carryOut(ctx, p, dry)
			_, done := errors.AsType[*partialError](err)
			again := n < attempts && !done && p.Outdated(ctx, err)
			p.Close()
			if again {
				continue
			}
			if !dry && (err == nil || done) {
				c.mountForAll(ctx, i)
			}
			return err
		}
	})
}

// carryOut shows a plan, asks, and applies it.
func (c *command) carryOut(ctx context.Context, p *install.Plan, dry bool) error {
	defer c.printNotes(p)
	doc := newChanged(p)
	doc.DryRun = dry
	if dry {
		return c.partly(c.report(doc, doc.printPlan), p.Silent)
	}
	if err := c.confirm(doc, p.Verb == install.Update); err != nil {
		return err
	}
	c.explain(doc)
	bar := c.progress("fetching", p.Bytes)
	done, err := p.Apply(ctx, bar.reach)
	bar.end(err)
	if err != nil {
		return err
	}
	doc.Generation, doc.Requests, doc.BytesFetched = done.Generation, done.Requests, done.Fetched
	doc.BytesReused, doc.ObjectsFetched, doc.Seconds = done.Reused, done.Objects, done.Took.Seconds()
	doc.warn(done.Warnings)
	return c.partly(c.report(doc, doc.printResult), p.Silent)
}

// partly is the error of a verb that has printed what it did, and could not do the
// rest.
func (c *command) partly(printed, rest error) error {
	if printed != nil || rest == nil {
		return printed
	}
	return &partialError{rest}
}

// explain tells the routes that will be taken, if that was asked for.
func (c *command) explain(doc *changed) {
	if c.json || c.quiet {
		return
	}
	for _, s := range doc.Steps {
		s.Route.print(c.err)
	}
}

// printNotes tells those who asked for more which ways were closed.
func (c *command) printNotes(p *install.Plan) {
	for _, text := range p.Notes {
		c.detail("another way: %s", safe(text))
	}
}

// confirm shows a plan on a terminal and asks. Elsewhere, and with --yes, it does
// neither; but permissions that an update brings, if only by something new that it
// requires, are not given silently.
func (c *command) confirm(doc *changed, update bool) error {
	if c.yes || len(doc.Steps) == 0 {
		return nil
	}
	if !terminal(c.in) || c.json || c.quiet {
		for _, s := range doc.Steps {
			if (s.Action != string(install.Add) || update) && len(s.Gains) > 0 {
				return fmt.Errorf("%w: %s asks for new permissions (%s); say --yes to give them", errDeclined, s.Ref, safe(strings.Join(s.Gains, ", ")))
			}
		}
		return nil
	}
	doc.printPlan(c.err)
	fmt.Fprint(c.err, "Go on? [y/N] ")
	answer, err := bufio.NewReader(c.in).ReadString('\n')
	if err != nil && err != io.EOF {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errDeclined
}

func (d *changed) printPlan(w io.Writer) {
	if len(d.Steps) == 0 {
		fmt.Fprintln(w, "Nothing to do.")
	}
	for _, s := range d.Steps {
		fmt.Fprintf(w, "%-10s %s  %s\n", s.Action, s.Ref, s.versions())
		if s.Bytes > 0 || s.Disk > 0 {
			fmt.Fprintf(w, "           to fetch: %s, disk: %s\n", size(s.Bytes), size(s.Disk))
		}
		s.Route.print(w)
		for _, gain := range s.Gains {
			fmt.Fprintf(w, "           may from now on: %s\n", safe(gain))
		}
	}
	if len(d.Steps) > 1 || d.DryRun {
		fmt.Fprintf(w, "in all     to fetch: %s in %s, disk: %s\n", size(d.PlannedBytes), count(int64(d.PlannedRequests), "request"), size(d.DiskBytes))
	}
	d.printWarnings(w)
}

func (s stepRow) versions() string {
	switch {
	case s.Before == "":
		return s.Now
	case s.Now == "" || s.Now == s.Before:
		return s.Before
	}
	return s.Before + " -> " + s.Now
}

func (d *changed) printResult(w io.Writer) {
	if len(d.Steps) == 0 {
		fmt.Fprintf(w, "Nothing to do (%s, %s).\n", count(d.Requests, "request"), size(d.BytesFetched))
	}
	for _, s := range d.Steps {
		fmt.Fprintf(w, "%s %s %s\n", pastTense(s.Action), s.Ref, s.versions())
	}
	if d.BytesFetched > 0 && len(d.Steps) > 0 {
		fmt.Fprintf(w, "%s fetched in %s, %s reused, %.1f s\n", size(d.BytesFetched), count(d.Requests, "request"), size(d.BytesReused), d.Seconds)
	}
	d.printWarnings(w)
}

func (d *changed) printWarnings(w io.Writer) {
	for _, text := range d.Warnings {
		fmt.Fprintf(w, "warning: %s\n", safe(text))
	}
}

func pastTense(action string) string {
	switch install.Action(action) {
	case install.Add:
		return "Installed"
	case install.Upgrade:
		return "Updated"
	case install.Downgrade:
		return "Moved back"
	case install.Remove:
		return "Removed"
	}
	return "Made again"
}

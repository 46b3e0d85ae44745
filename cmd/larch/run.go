package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/install"
	"github.com/larch-project/larch/sandbox"
)

// runFlags are the options of run.
type runFlags struct {
	command   string
	noSandbox bool
	env       map[string]string
	entered   bool
	demand    bool
}

func (c *command) runVerb() *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "run REF [-- ARGS]",
		Short: "Run an installed application, isolated",
		Long: `Runs an installed application through bubblewrap: its files at /app, its runtime at
/usr, and nothing that its metadata does not ask for: no network, no home folder, its
own /tmp. It keeps its data in ~/.var/app/ID. Exits as the program does. Arguments
behind -- are the program's.

With --on-demand it is installed first if it is not, without its contents: those come
from the remote when they are read, each checked before the program sees it, and all
others meanwhile. A read that waits for more than a minute fails.`,
		Example: "  larch run hello -- --greeting hi",
		Args:    args(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if flags.demand && !flags.entered {
				if err := c.installOnDemand(cmd.Context(), args[0]); err != nil {
					return err
				}
			}
			return c.withInstallation(func(i *install.Installation) error {
				return c.start(cmd.Context(), i, args[0], args[1:], flags)
			})
		},
	}
	cmd.Flags().StringVar(&flags.command, "command", "", "program to run instead of the application's own")
	cmd.Flags().BoolVar(&flags.noSandbox, "no-sandbox", false, "run it without any isolation: with all that you may do yourself")
	cmd.Flags().BoolVar(&flags.demand, "on-demand", false, "begin before all of it is here")
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "do not ask before it is installed")
	cmd.Flags().BoolVar(&flags.entered, enteredFlag, false, "")
	_ = cmd.Flags().MarkHidden(enteredFlag)
	cmd.Flags().StringToStringVar(&flags.env, "env", nil, "NAME=VALUE for the program; may be repeated")
	return cmd
}

func (c *command) start(ctx context.Context, i *install.Installation, short string, args []string, flags runFlags) error {
	opened, err := i.OpenApp(ctx, short)
	if err != nil {
		return err
	}
	defer opened.Close()
	if !flags.entered && opened.Elsewhere() {
		return c.again(ctx, func(cmd *exec.Cmd) error { return opened.Prepare(ctx, cmd) })
	}
	app := sandbox.App{
		Ref:      opened.Installed.Ref,
		Files:    filepath.Join(opened.Tree.Path, "files"),
		Metadata: opened.Metadata,
		Command:  flags.command,
		ExtraEnv: flags.env,
	}
	if opened.Runtime != nil {
		app.Runtime = filepath.Join(opened.Runtime.Path, "files")
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	code, err := sandbox.Run(ctx, app, args, sandbox.Options{
		Stdin: c.in, Stdout: c.out, Stderr: c.err,
		Environ: os.Environ(), Dir: workingFolder(), Hidden: c.hidden(i),
		Unconfined: flags.noSandbox,
		Note:       func(text string) { c.detail("larch: %s", safe(text)) },
	})
	c.exit = code
	return err
}

// installOnDemand installs an application without its contents, unless it is
// installed.
func (c *command) installOnDemand(ctx context.Context, short string) error {
	installed := false
	err := c.withInstallation(func(i *install.Installation) error {
		current, err := i.Current()
		if err == nil {
			_, missing := current.Resolve(short)
			installed = missing == nil
		}
		return err
	})
	if err != nil || installed {
		return err
	}
	f := changeFlags{demand: true}
	return c.change(ctx, func(ctx context.Context, i *install.Installation) (*install.Plan, error) {
		return i.PlanInstall(ctx, []install.Wanted{install.ParseWanted(short)}, c.planOptions(&f))
	}, false)
}

// hidden are folders that no permission may give a program: those from which it
// could change what runs next, or what is trusted.
func (c *command) hidden(i *install.Installation) []string {
	folders := []string{i.Path(), install.SystemDir}
	if dir, err := install.UserDir(c.getenv); err == nil {
		folders = append(folders, dir)
	}
	if dir, err := c.keyFolder(); err == nil {
		folders = append(folders, filepath.Dir(dir))
	}
	if dir := c.namedKeys(); dir != "" {
		folders = append(folders, dir)
	}
	return folders
}

func workingFolder() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	return dir
}

func (c *command) pathVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "path REF",
		Short:   "Print where an installed release is on disk",
		Example: "  ls $(larch path hello)",
		Args:    args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withInstallation(func(i *install.Installation) error {
				path, err := i.Place(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return c.report(map[string]string{"path": path}, func(w io.Writer) { fmt.Fprintln(w, path) })
			})
		},
	}
}

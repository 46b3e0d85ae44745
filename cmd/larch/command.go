package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// command is the state that verbs share: flags of all, and the world outside.
type command struct {
	in     io.Reader
	out    io.Writer
	err    io.Writer
	getenv func(string) string
	now    func() time.Time

	json    bool
	quiet   bool
	verbose bool
	yes     bool
	system  bool
	root    string
	keys    string

	args []string // of this run
	exit int      // what run exits with when no error did
}

// run executes one command line and gives its exit code.
func (c *command) run(ctx context.Context, args []string) int {
	root := c.tree()
	c.args = args
	c.json = wantsJSON(args) // also for what goes wrong before flags are read
	root.SetArgs(args)
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return c.exit
	}
	if ctx.Err() != nil && !errors.Is(err, context.Canceled) {
		err = fmt.Errorf("interrupted: %w (%w)", context.Canceled, err)
	}
	return c.complain(err)
}

// wantsJSON finds --json among larch's own arguments.
func wantsJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "--json")
}

// tree builds the verbs.
func (c *command) tree() *cobra.Command {
	var version bool
	root := &cobra.Command{
		Use:   "larch",
		Short: "Package, publish, install, verify, update, undo and run applications",
		Long: `Larch packages a folder of files as an application, a runtime or an OS image,
publishes it as static files on any web server, and installs, verifies, updates,
undoes, runs and removes it.

Exit codes: 0 done; 1 failed; 2 wrong use; 3 no such thing; 4 not what was
signed; 5 network; 6 disk; 7 declined or interrupted; 8 damage found.
"larch run" exits as the program does.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noVerb,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if version {
				return c.printVersion()
			}
			return cmd.Help()
		},
	}
	root.Flags().BoolVar(&version, "version", false, "print the version")
	flags := root.PersistentFlags()
	flags.BoolVar(&c.json, "json", false, "print one JSON document (docs/json.md) instead of text")
	flags.BoolVarP(&c.quiet, "quiet", "q", false, "print nothing but errors")
	flags.BoolVarP(&c.verbose, "verbose", "v", false, "say more about what is done")
	root.AddGroup(&cobra.Group{ID: "use", Title: "Install and use:"}, &cobra.Group{ID: "publish", Title: "Publish:"})
	for _, verb := range c.useVerbs() {
		verb.GroupID = "use"
		c.installationFlags(verb)
		root.AddCommand(verb)
	}
	for _, verb := range c.publishVerbs() {
		verb.GroupID = "publish"
		root.AddCommand(verb)
	}
	root.AddCommand(c.versionVerb(), c.helperVerb())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, err) })
	return root
}

// publishVerbs are those that work on a repository.
func (c *command) publishVerbs() []*cobra.Command {
	return []*cobra.Command{c.initVerb(), c.publishVerb(), c.importVerb(), c.repoVerb(), c.keyVerb(), c.checkVerb(), c.serveVerb()}
}

// args wants a number of arguments and says what they are if it is wrong.
func args(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || (most >= 0 && len(args) > most) {
			return usage(cmd, fmt.Errorf("%s given", count(int64(len(args)), "argument")))
		}
		return nil
	}
}

// noVerb is the arguments of a command that only has verbs below it.
func noVerb(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(cmd, fmt.Errorf("there is no %q below %q", args[0], cmd.CommandPath()))
	}
	return nil
}

// usageError is a wrong command line.
type usageError struct {
	err  error
	verb *cobra.Command
}

func usage(cmd *cobra.Command, err error) error { return &usageError{err, cmd} }

func (e *usageError) Error() string {
	return fmt.Sprintf("%v\nusage: %s\n%q shows more", e.err, e.verb.UseLine(), e.verb.CommandPath()+" --help")
}

func (e *usageError) Unwrap() error { return e.err }

// report prints what a verb did: doc as JSON, or text, or nothing.
func (c *command) report(doc any, text func(w io.Writer)) error {
	switch {
	case c.json:
		return c.encode(doc)
	case c.quiet:
		return nil
	}
	var b strings.Builder
	text(&b)
	_, err := io.WriteString(c.out, b.String())
	return err
}

func (c *command) encode(doc any) error {
	e := json.NewEncoder(c.out)
	e.SetIndent("", "  ")
	return e.Encode(doc)
}

// note prints a line for people about what is going on.
func (c *command) note(format string, args ...any) {
	if !c.quiet && !c.json {
		fmt.Fprintf(c.err, format+"\n", args...)
	}
}

// detail is note for those who asked for more.
func (c *command) detail(format string, args ...any) {
	if c.verbose {
		fmt.Fprintf(c.err, format+"\n", args...)
	}
}

// terminal tells whether a stream is one that a person looks at.
func terminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && isTerminal(f)
}

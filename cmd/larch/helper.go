package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/larch-project/larch/install"
)

// helperName is a verb for larch itself.
const helperName = "helper"

// helper is install.Options.Helper: this program again, and not what is found under
// its name in PATH or in the working folder.
func (c *command) helper() []string {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	return []string{self, helperName}
}

func (c *command) helperVerb() *cobra.Command {
	return &cobra.Command{
		Use:                "helper NAME [ARGS]",
		Short:              "What larch does in processes of its own",
		Hidden:             true,
		DisableFlagParsing: true,
		Args:               args(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return install.Help(cmd.Context(), c.helper(), args)
		},
	}
}

// enteredFlag says that the run is where its files are.
const enteredFlag = "entered"

// again runs this command line once more, where the application's files are.
func (c *command) again(ctx context.Context, prepare func(*exec.Cmd) error) error {
	helper := c.helper()
	if helper == nil {
		return fmt.Errorf("the program larch cannot be found again")
	}
	cmd := exec.CommandContext(ctx, helper[0], slices.Concat([]string{"--" + enteredFlag + "=true"}, c.args)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.in, c.out, c.err
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := prepare(cmd); err != nil {
		return err
	}
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return err
	}
	if c.exit = cmd.ProcessState.ExitCode(); c.exit < 0 {
		c.exit = 128 + int(cmd.ProcessState.Sys().(syscall.WaitStatus).Signal())
	}
	return nil
}

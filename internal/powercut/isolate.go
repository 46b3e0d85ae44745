package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

const isolatedEnv = "LARCH_POWERCUT_ISOLATED"

// isolate makes this program run again in a mount namespace of its own, whose mounts are
// gone with it however it ends, and ends this process with its exit status. In the
// namespace it returns.
func isolate() error {
	if os.Getenv(isolatedEnv) != "" {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), isolatedEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("a mount namespace of our own: %w", err)
	}
	os.Exit(cmd.ProcessState.ExitCode())
	return nil
}

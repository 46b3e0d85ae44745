package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/larch-project/larch/internal/vm/guest"
	"github.com/larch-project/larch/internal/vm/machine"
)

// Exit statuses of this program's own; see the package's comment.
const (
	statusFailed  = 1
	statusUsage   = 2
	statusTimeout = 124
	statusNoGuest = 125
	statusCut     = 137
)

const usage = `usage:
	vm setup [-cache DIR] [KERNEL...]
	vm run [-kernel SERIES] [-write DIR]... [-disk IMAGE]... [-memory MB] [-timeout D]
	       [-modules A,B] [-kill-on TEXT] [-cache DIR] -- COMMAND ARG...
	vm test [-kernels A,B] [-run REGEXP] [-memory MB] [-timeout D] [-cache DIR] [PACKAGE...]
`

func main() {
	guest.Enter(os.Args)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	status, err := program{stdout: os.Stdout, stderr: os.Stderr}.do(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
	}
	os.Exit(status)
}

// program is where this program prints to.
type program struct{ stdout, stderr io.Writer }

// do does what the arguments say, and gives the exit status.
func (p program) do(ctx context.Context, args []string) (int, error) {
	if len(args) == 0 {
		args = []string{""}
	}
	verbs := map[string]func(context.Context, []string) (int, error){"setup": p.setup, "run": p.run, "test": p.test}
	verb, ok := verbs[args[0]]
	if !ok {
		return statusUsage, fmt.Errorf("no such command: %q\n%s", args[0], usage)
	}
	status, err := verb(ctx, args[1:])
	return statusOf(status, err), err
}

// statusOf says how the program ends after an error; without one, as it was told.
func statusOf(status int, err error) int {
	var bad *usageError
	switch {
	case err == nil:
		return status
	case errors.Is(err, flag.ErrHelp), errors.As(err, &bad):
		return statusUsage
	case errors.Is(err, errTimeout):
		return statusTimeout
	case errors.Is(err, machine.ErrCut):
		return statusCut
	case status != 0:
		return status
	}
	return statusNoGuest
}

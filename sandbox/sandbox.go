package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/release"
)

// Errors that callers decide on. Each says what to do.
var (
	// ErrNoBubblewrap: there is no program bwrap. Nothing was run.
	ErrNoBubblewrap = errors.New("the program bwrap was not found: install the package bubblewrap")
	// ErrUnusable: bubblewrap cannot isolate programs on this machine. Nothing was run.
	ErrUnusable = errors.New("bubblewrap cannot be used here")
	// ErrRuntime: what the metadata wants below /usr is not what is there.
	ErrRuntime = errors.New("runtime does not fit")
	// ErrNoCommand: there is nothing to run.
	ErrNoCommand = errors.New("no such command")
	// ErrPolicy: what is asked for would weaken the sandbox.
	ErrPolicy = errors.New("refused")
)

// App is a program with what it runs on.
type App struct {
	Ref      release.Ref
	Files    string            // the folder files/ of its deployment, on this machine
	Runtime  string            // the folder files/ of its runtime's deployment; "" for the machine's /usr
	Metadata release.Metadata  // of the application
	Command  string            // instead of the metadata's; "" for that
	DataDir  string            // where it keeps its data; "" for ~/.var/app/ID, as Flatpak has it
	ExtraEnv map[string]string // the user's own variables for it
}

// Options say how to run it.
type Options struct {
	Stdin          io.Reader // all three are used as os/exec does
	Stdout, Stderr io.Writer
	Environ        []string          // of the caller; nothing else is read from the process's own
	Dir            string            // working folder, if the program can see it; else it starts at home
	Hidden         []string          // folders that no permission gives: where installations are
	Bwrap          string            // the program bubblewrap; "" to look for bwrap in the PATH of Environ
	Unconfined     bool              // no sandbox at all
	Note           func(text string) // told, in one line, of permissions that could not be given; may be nil
}

// Command prepares a program to be started, in its sandbox. Arguments reach the
// program as they are; nothing in App or args can become an option of bubblewrap.
// The sandbox ends with ctx, and when this process ends. The function that it
// returns must be called once the command has ended or is not wanted; it is never
// nil. The kernel ends the sandbox with the thread that started it, not only with
// the process: a caller that locks goroutines to threads had better use Run.
//
// Every file above 2 that this process has open becomes close-on-exec, so that the
// program has none of them.
func Command(ctx context.Context, app App, args []string, opt Options) (*exec.Cmd, func(), error) {
	p, err := prepare(ctx, app, args, opt)
	if err != nil {
		return nil, func() {}, err
	}
	return p.cmd, p.close, nil
}

// Run runs a program and gives its exit code: 128 and the number of a signal that
// ended it, as shells have it. An error means that it was not started, or ended by
// ctx.
func Run(ctx context.Context, app App, args []string, opt Options) (int, error) {
	p, err := prepare(ctx, app, args, opt)
	if err != nil {
		return 0, err
	}
	defer p.close()
	return p.run(ctx)
}

func prepare(ctx context.Context, app App, args []string, opt Options) (*process, error) {
	if err := check(&app, args); err != nil {
		return nil, err
	}
	h, err := newHost(opt.Environ)
	if err != nil {
		return nil, err
	}
	var p *process
	if opt.Unconfined {
		p, err = unconfined(ctx, h, app, args, opt)
	} else {
		p, err = confined(ctx, h, app, args, opt)
	}
	if err != nil {
		return nil, fmt.Errorf("running %s: %w", app.Ref.ID, err)
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = opt.Stdin, opt.Stdout, opt.Stderr
	p.cmd.WaitDelay = 5 * time.Second
	if err := closeOnExec(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// check refuses what no run could mean, and fills in the command.
func check(app *App, args []string) error {
	if _, err := release.ParseRef(app.Ref.String()); err != nil {
		return fmt.Errorf("running: %w", err)
	}
	if app.Ref.Kind != release.App {
		return fmt.Errorf("running %s: %w: only applications are run", app.Ref, ErrNoCommand)
	}
	if app.Command == "" {
		app.Command = app.Metadata.Command
	}
	if app.Command == "" {
		return fmt.Errorf("running %s: %w: its metadata names none", app.Ref.ID, ErrNoCommand)
	}
	for _, arg := range append([]string{app.Command}, args...) {
		if strings.ContainsRune(arg, 0) {
			return fmt.Errorf("running %s: %w: NUL in an argument", app.Ref.ID, ErrPolicy)
		}
	}
	for name, value := range app.ExtraEnv {
		if !release.IsVariable(name) || strings.ContainsRune(value, 0) {
			return fmt.Errorf("running %s: %w: variable %.80q", app.Ref.ID, ErrPolicy, name)
		}
	}
	return checkRuntime(app)
}

// checkRuntime wants just the runtime that the metadata names: none is replaced by
// another, nor by the machine's own.
func checkRuntime(app *App) error {
	want := app.Metadata.Runtime
	if want == release.HostRuntime {
		if app.Runtime != "" {
			return fmt.Errorf("running %s: %w: it wants the machine's own", app.Ref.ID, ErrRuntime)
		}
		return nil
	}
	ref, err := release.ParseRef(want)
	switch {
	case err != nil:
		return fmt.Errorf("running %s: %w: %w", app.Ref.ID, ErrRuntime, err)
	case app.Runtime == "":
		return fmt.Errorf("running %s: %w: it needs %s, which is not installed", app.Ref.ID, ErrRuntime, want)
	case ref.Arch != app.Ref.Arch:
		return fmt.Errorf("running %s: %w: %s is of another architecture", app.Ref.ID, ErrRuntime, want)
	}
	return nil
}

// closeOnExec marks all files above 2, those too that this process inherited.
func closeOnExec() error {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("marking open files: %w", err)
	}
	for _, f := range files {
		if fd, err := strconv.Atoi(f.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd) // without effect on the one that listed them
		}
	}
	return nil
}

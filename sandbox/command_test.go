package sandbox

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/release"
)

// direct prepares an application to be run by the test's own process.
func direct(t *testing.T) (App, Options) {
	t.Helper()
	needBubblewrap(t)
	return App{
			Ref:      release.Ref{Kind: release.App, ID: "org.example.Probe", Arch: release.HostArch(), Channel: "stable"},
			Files:    t.TempDir(),
			Metadata: release.Metadata{Name: "org.example.Probe", Runtime: release.HostRuntime, Command: "sh"},
		},
		Options{Environ: []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "SECRET=1"}}
}

// TestCommandTellsNothing: what others can see of a running bubblewrap is the
// command and its arguments alone, and it has no environment.
func TestCommandTellsNothing(t *testing.T) {
	app, options := direct(t)
	app.Metadata.Permissions.Environment = map[string]string{"LD_PRELOAD": "/evil.so"}
	cmd, end, err := Command(t.Context(), app, []string{"--bind", "x"}, options)
	defer end()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"bwrap", "--args", cmd.Args[2], "--", "sh", "--bind", "x"}
	if diff := cmp.Diff(want, cmd.Args); diff != "" || cmd.Env == nil || len(cmd.Env) != 0 {
		t.Errorf("environment %q\n%s", cmd.Env, diff)
	}
}

func TestCommandRuns(t *testing.T) {
	app, options := direct(t)
	out := new(strings.Builder)
	options.Stdout = out
	cmd, end, err := Command(t.Context(), app, []string{"-c", "echo $HOME"}, options)
	defer end()
	if err == nil {
		err = cmd.Run()
	}
	if err != nil || out.String() != strings.TrimPrefix(options.Environ[0], "HOME=")+"\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// TestInterrupted: a signal that ends bubblewrap is the program's end, not a
// failure to isolate it.
func TestInterrupted(t *testing.T) {
	app, options := direct(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	signal, cancel := context.WithCancel(t.Context())
	defer cancel()
	p, err := prepare(signal, app, []string{"-c", "echo up; exec sleep 1000"}, options)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	p.cmd.Stdout = write
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(unix.SIGINT) }
	go func() { read.Read(make([]byte, 3)); cancel() }()
	code, err := p.run(t.Context())
	write.Close()
	if code != 128+int(unix.SIGINT) || err != nil {
		t.Errorf("code %d, %v", code, err)
	}
}

func TestRequestsRefused(t *testing.T) {
	app, options := direct(t)
	for name, c := range map[string]struct {
		change func(*App, *Options)
		args   []string
		want   error
	}{
		"a runtime":        {func(a *App, _ *Options) { a.Ref.Kind = release.Runtime }, nil, ErrNoCommand},
		"id with a path":   {func(a *App, _ *Options) { a.Ref.ID = "../../x.y" }, nil, release.ErrRef},
		"NUL":              {func(*App, *Options) {}, []string{"a\x00--bind"}, ErrPolicy},
		"variable":         {func(a *App, _ *Options) { a.ExtraEnv = map[string]string{"A": "\x00"} }, nil, ErrPolicy},
		"no files":         {func(a *App, _ *Options) { a.Files += "/gone" }, nil, os.ErrNotExist},
		"odd runtime":      {func(a *App, _ *Options) { a.Metadata.Runtime = "x" }, nil, ErrRuntime},
		"no home":          {func(_ *App, o *Options) { o.Environ = nil }, nil, ErrPolicy},
		"home that is not": {func(_ *App, o *Options) { o.Environ = []string{"HOME=/nowhere/at/all"} }, nil, os.ErrNotExist},
	} {
		a, o := app, options
		c.change(&a, &o)
		if _, err := Run(t.Context(), a, append([]string{"-c", "exit 3"}, c.args...), o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestCancelledBeforeItStarts(t *testing.T) {
	app, options := direct(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, app, nil, options); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestWhyNoNamespaces(t *testing.T) {
	settings := map[string]string{}
	read := func(name string) ([]byte, error) {
		if value, ok := settings[name]; ok {
			return []byte(value), nil
		}
		return nil, os.ErrNotExist
	}
	if got := whyNoNamespaces(read); got != "" {
		t.Errorf("%q", got)
	}
	for name, value := range map[string]string{
		"/proc/sys/user/max_user_namespaces":                     "0\n",
		"/proc/sys/kernel/unprivileged_userns_clone":             "0\n",
		"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n",
	} {
		settings = map[string]string{name: value}
		if got := whyNoNamespaces(read); !strings.Contains(got, name) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

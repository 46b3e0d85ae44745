package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/larch-project/larch/internal/vm/kernel"
)

// errTimeout ends a machine after the time of the flag -timeout.
var errTimeout = errors.New("the time is up")

// usageError says that the arguments are wrong.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() + "\n" + usage }
func (e *usageError) Unwrap() error { return e.err }

// options are those of all three commands, each of which has some of them.
type options struct {
	cache    string
	kernels  []string
	writable []string
	disks    []string
	modules  []string
	memory   int // MiB
	timeout  time.Duration
	cutText  string
	run      string   // a regular expression: which tests
	args     []string // what is behind the flags
}

// list is a flag that may be given several times, or with several values at once
// when sep is not empty.
type list struct {
	values *[]string
	sep    string
}

func (l list) String() string { return "" }

func (l list) Set(text string) error {
	if text == "" {
		return errors.New("it is empty")
	}
	if l.sep == "" {
		*l.values = append(*l.values, text)
	} else {
		*l.values = append(*l.values, strings.Split(text, l.sep)...)
	}
	return nil
}

func (o *options) flags(name string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.cache, "cache", "", "the folder of kernels")
	return f
}

// machineFlags are those of what boots machines.
func (o *options) machineFlags(name string, memory int, timeout time.Duration, what string) *flag.FlagSet {
	f := o.flags(name)
	f.IntVar(&o.memory, "memory", memory, "the guest's memory in `MiB`")
	f.DurationVar(&o.timeout, "timeout", timeout, what)
	f.Var(list{&o.modules, ","}, "modules", "modules to load before")
	return f
}

func parseSetup(args []string) (options, error) {
	var o options
	if err := o.parse(o.flags("setup"), args); err != nil {
		return o, err
	}
	if o.kernels = o.args; len(o.kernels) == 0 {
		o.kernels = kernel.Series()
	}
	return o, nil
}

func parseRun(args []string) (options, error) {
	var o options
	var series string
	f := o.machineFlags("run", 1024, 10*time.Minute, "how long the machine may run")
	f.StringVar(&series, "kernel", "6.12", "the kernel")
	f.Var(list{&o.writable, ""}, "write", "a folder in which changes are kept")
	f.Var(list{&o.disks, ""}, "disk", "the image of a disk")
	f.StringVar(&o.cutText, "kill-on", "", "cut the power when this is printed")
	if err := o.parse(f, args); err != nil {
		return o, err
	}
	if len(o.args) == 0 {
		return o, &usageError{errors.New("no command to run")}
	}
	o.kernels = []string{series}
	if err := realPaths(o.writable); err != nil {
		return o, err
	}
	return o, realPaths(o.disks)
}

func parseTest(args []string) (options, error) {
	var o options
	f := o.machineFlags("test", 2048, 10*time.Minute, "how long the tests of one package may take")
	f.Var(list{&o.kernels, ","}, "kernels", "the kernels")
	f.StringVar(&o.run, "run", "", "run the tests that match, as go test does")
	if err := o.parse(f, args); err != nil {
		return o, err
	}
	if len(o.args) == 0 {
		o.args = []string{"."}
	}
	if len(o.kernels) == 0 {
		o.kernels = kernel.Series()
	}
	return o, nil
}

func (o *options) parse(f *flag.FlagSet, args []string) (err error) {
	if err := f.Parse(args); err != nil {
		return &usageError{err}
	}
	o.args = f.Args()
	if o.cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("%w; name one with -cache", err)
		}
		o.cache = filepath.Join(user, "larch-vm")
	}
	o.cache, err = filepath.Abs(o.cache)
	return err
}

// realPaths replaces paths by those without links, which mean the same to everybody.
func realPaths(paths []string) error {
	for i, p := range paths {
		abs, err := filepath.Abs(p)
		if err == nil {
			abs, err = filepath.EvalSymlinks(abs)
		}
		if err != nil {
			return &usageError{err}
		}
		paths[i] = abs
	}
	return nil
}

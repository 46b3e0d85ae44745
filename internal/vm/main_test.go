package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/internal/vm/guest"
	"github.com/larch-project/larch/internal/vm/kernel"
	"github.com/larch-project/larch/internal/vm/machine"
)

// TestMain lets this binary be the first process of the machines that it boots.
func TestMain(m *testing.M) {
	guest.Enter(os.Args)
	os.Exit(m.Run())
}

func TestParseRun(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	got, err := parseRun([]string{
		"-kernel", "6.1", "-write", link, "-write", "/", "-disk", dir, "-memory", "300", "-timeout", "5s",
		"-modules", "a,b", "-modules", "c", "-kill-on", "now", "-cache", "/cache", "--", "command", "-flag",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := options{
		cache: "/cache", kernels: []string{"6.1"}, writable: []string{dir, "/"}, disks: []string{dir}, modules: []string{"a", "b", "c"},
		memory: 300, timeout: 5 * time.Second, cutText: "now", args: []string{"command", "-flag"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(options{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseTestAndSetup(t *testing.T) {
	got, err := parseTest([]string{"-kernels", "6.1,7.3", "-run", "Verity", "./a", "./b"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"6.1", "7.3"}, {"./a", "./b"}, {"Verity"}}, [][]string{got.kernels, got.args, {got.run}}); diff != "" {
		t.Errorf("test (-want +got):\n%s", diff)
	}
	if got, err = parseTest(nil); err != nil || !cmp.Equal(got.kernels, kernel.Series()) || !cmp.Equal(got.args, []string{"."}) {
		t.Errorf("test alone: kernels %v, packages %v, error %v", got.kernels, got.args, err)
	}
	if got, err = parseSetup([]string{"6.12"}); err != nil || !cmp.Equal(got.kernels, []string{"6.12"}) {
		t.Errorf("setup 6.12: kernels %v, error %v", got.kernels, err)
	}
}

func TestWrongArguments(t *testing.T) {
	for _, line := range []string{
		"", "fly", "run", "run --", "run -unknown", "run -memory many true", "run -modules= true", "run -disk /nowhere/image true",
		"test -kernels=", "setup -h",
	} {
		p := program{stdout: failingWriter{}, stderr: failingWriter{}}
		status, err := p.do(t.Context(), strings.Fields(line))
		if status != statusUsage || err == nil {
			t.Errorf("%q: status %d, error %v", line, status, err)
		}
	}
}

// failingWriter is where nothing must be printed.
type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.ErrUnsupported }

func TestStatusOf(t *testing.T) {
	in := func(err error) error { return fmt.Errorf("kernel 6.1: %w", err) }
	for _, c := range []struct {
		given int
		err   error
		want  int
	}{
		{7, nil, 7},
		{0, &usageError{flag.ErrHelp}, statusUsage},
		{0, in(errTimeout), statusTimeout},
		{0, in(machine.ErrCut), statusCut},
		{0, in(&machine.DiedError{}), statusNoGuest},
		{statusFailed, errors.New("building tests"), statusFailed},
	} {
		if got := statusOf(c.given, c.err); got != c.want {
			t.Errorf("%d, %v: status %d, want %d", c.given, c.err, got, c.want)
		}
	}
}

// What dies in early boot is run once more, and that is said; nothing else is.
func TestTwice(t *testing.T) {
	early, late := &machine.DiedError{Early: true, Console: "oops"}, &machine.DiedError{}
	for _, c := range []struct {
		errs []error // of the runs
		want error
		said bool
	}{
		{[]error{nil}, nil, false},
		{[]error{late}, late, false},
		{[]error{early, nil}, nil, true},
		{[]error{early, early}, early, true},
		{[]error{early, machine.ErrCut}, machine.ErrCut, true},
	} {
		var stderr strings.Builder
		runs := 0
		_, err := program{stderr: &stderr}.twice(func() ([]int, error) {
			runs++
			return nil, c.errs[runs-1]
		})
		if err != c.want || runs != len(c.errs) {
			t.Errorf("%v: %d runs, error %v", c.errs, runs, err)
		}
		if said := strings.Contains(stderr.String(), "oops\nvm: booting once more\n"); said != c.said {
			t.Errorf("%v: said %q", c.errs, stderr.String())
		}
	}
}

func TestMissingPackages(t *testing.T) {
	nothing := func(string) bool { return false }
	old := packages(missing(nothing), []string{"qemu-system-common"})
	want := []string{"qemu-system-x86", "qemu-system-common", "e2fsprogs", "btrfs-progs", "xz-utils"}
	if diff := cmp.Diff(want, old); diff != "" {
		t.Errorf("Debian 12 (-want +got):\n%s", diff)
	}
	if got := packages(missing(nothing), []string{"virtiofsd", "qemu-system-common"})[1]; got != "virtiofsd" {
		t.Errorf("Debian 13 has virtiofsd in %s", got)
	}
	one := func(program string) bool { return program != "xz" }
	if got := packages(missing(one), nil); !cmp.Equal(got, []string{"xz-utils"}) {
		t.Errorf("without xz: %v", got)
	}
}

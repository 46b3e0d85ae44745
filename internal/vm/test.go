package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/larch-project/larch/internal/vm/guest"
	"github.com/larch-project/larch/internal/vm/machine"
)

// Where tests find file systems in a guest. /run is in memory, so the folders are
// the guest's alone.
const (
	ext4Dir  = "/run/vm-ext4"
	btrfsDir = "/run/vm-btrfs"
)

// ending is the time that a test binary gets to say which tests took too long.
const ending = time.Minute

const diskSize = 8 << 30 // bytes; the images have holes

// test runs the tests of packages on each kernel, and prints what came of it.
func (p program) test(ctx context.Context, args []string) (int, error) {
	o, err := parseTest(args)
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "larch-vm-test-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	suites, err := p.build(ctx, dir, o.args)
	if err != nil {
		return statusFailed, err
	}
	var summaries []summary
	for _, series := range o.kernels {
		s, err := p.testOn(ctx, o, series, dir, suites)
		if err != nil {
			s.broken = err.Error()
		}
		summaries = append(summaries, s)
		if ctx.Err() != nil {
			break
		}
	}
	failed := false
	for _, s := range summaries {
		fmt.Fprint(p.stdout, s)
		failed = failed || s.failed()
	}
	if failed {
		return statusFailed, nil
	}
	return 0, nil
}

// A suite is the test binary of a package.
type suite struct {
	ImportPath string
	Dir        string // where its tests run
	binary     string
}

// build makes the test binaries of packages that have tests, in dir.
func (p program) build(ctx context.Context, dir string, packages []string) (suites []suite, err error) {
	list := exec.CommandContext(ctx, "go", append([]string{"list", "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles", "--"}, packages...)...)
	list.Stderr = p.stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	found, err := withTests(bytes.NewReader(out))
	if err != nil {
		return nil, err
	}
	for i, s := range found {
		s.binary = filepath.Join(dir, strconv.Itoa(i)+".test")
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", s.binary, s.ImportPath)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		cmd.Stdout, cmd.Stderr = p.stderr, p.stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("go test -c %s: %w", s.ImportPath, err)
		}
		suites = append(suites, s)
	}
	return suites, nil
}

// withTests reads what go list says of packages, and keeps those with tests.
func withTests(r io.Reader) (suites []suite, err error) {
	for d := json.NewDecoder(r); ; {
		var p struct {
			suite
			TestGoFiles, XTestGoFiles []string
		}
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if len(p.TestGoFiles)+len(p.XTestGoFiles) > 0 {
			suites = append(suites, p.suite)
		}
	}
	if len(suites) == 0 {
		return nil, errors.New("the packages have no tests")
	}
	return suites, nil
}

// testOn boots one kernel, and runs all suites in it.
func (p program) testOn(ctx context.Context, o options, series, dir string, suites []suite) (summary, error) {
	sum := summary{kernel: series}
	disks, err := fileSystems(ctx, dir)
	if err != nil {
		return sum, err
	}
	t := newTally(series, p.stdout)
	job := guest.Job{
		Load:   o.modules,
		Mounts: []guest.Mount{{Device: "/dev/vda", Type: "ext4", Dir: ext4Dir}, {Device: "/dev/vdb", Type: "btrfs", Dir: btrfsDir}},
	}
	env := environment(series, os.Environ())
	for _, s := range suites {
		job.Commands = append(job.Commands, guest.Command{Title: s.ImportPath, Args: s.args(o), Dir: s.Dir, Env: env})
	}
	limit := 2*machine.BootTime + time.Duration(len(suites))*(o.timeout+ending)
	statuses, err := p.boot(ctx, o, series, limit, machine.Config{Job: job, Disks: disks, Stdout: t, Stderr: t.stderr()})
	err = errors.Join(err, t.Close())
	return t.summary(suites, statuses), err
}

func (s suite) args(o options) []string {
	args := []string{s.binary, "-test.v=test2json", "-test.timeout=" + o.timeout.String()}
	if o.run != "" {
		args = append(args, "-test.run="+o.run)
	}
	return args
}

// environment is what tests get beside PATH and HOME.
func environment(series string, environ []string) []string {
	env := slices.DeleteFunc(slices.Clone(environ), func(v string) bool { return !strings.HasPrefix(v, "LARCH_") })
	return append(env, "TMPDIR="+ext4Dir, "LARCH_VM="+series, "LARCH_VM_BTRFS="+btrfsDir)
}

// fileSystems makes the images of the guest's disks, new ones for each boot. It is
// done out here, where the processor is not emulated.
func fileSystems(ctx context.Context, dir string) (images []string, err error) {
	for _, mkfs := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-O", "verity", "-b", "4096"},
		{"mkfs.btrfs", "-q", "-f"},
	} {
		image := filepath.Join(dir, mkfs[0]+".img")
		if err := newImage(image); err != nil {
			return nil, err
		}
		out, err := exec.CommandContext(ctx, mkfs[0], append(mkfs[1:], image)...).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %s", mkfs[0], err, out)
		}
		images = append(images, image)
	}
	return images, nil
}

func newImage(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(diskSize), f.Close())
}

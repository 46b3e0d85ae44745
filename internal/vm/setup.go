package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/larch-project/larch/internal/vm/kernel"
)

// A need is a program that is used here, and Debian's package of it.
type need struct {
	programs []string // any of these
	packages []string // the first that apt has
}

// needs are all of them. Up to Debian 12 virtiofsd is in qemu-system-common, then it
// has a package of its own.
var needs = []need{
	{[]string{"qemu-system-x86_64"}, []string{"qemu-system-x86"}},
	{[]string{"/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"}, []string{"virtiofsd", "qemu-system-common"}},
	{[]string{"mkfs.ext4"}, []string{"e2fsprogs"}},
	{[]string{"mkfs.btrfs"}, []string{"btrfs-progs"}},
	{[]string{"xz"}, []string{"xz-utils"}},
}

// setup installs what is missing, and fetches kernels.
func (p program) setup(ctx context.Context, args []string) (int, error) {
	o, err := parseSetup(args)
	if err != nil {
		return 0, err
	}
	if err := p.install(ctx); err != nil {
		return statusFailed, err
	}
	for _, series := range o.kernels {
		k, err := kernel.Fetch(ctx, o.cache, series, p.stderr)
		if err != nil {
			return statusFailed, err
		}
		fmt.Fprintf(p.stdout, "vm: kernel %s is here: %s\n", k.Series, k.Release)
	}
	return 0, nil
}

// install gets the missing programs' packages with apt.
func (p program) install(ctx context.Context) error {
	lacking := missing(has)
	if len(lacking) == 0 {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("installing %s needs root", strings.Join(packages(lacking, nil), " "))
	}
	if err := p.aptGet(ctx, "update", "-qq"); err != nil {
		return err
	}
	known, err := exec.CommandContext(ctx, "apt-cache", "pkgnames").Output()
	if err != nil {
		return fmt.Errorf("apt-cache pkgnames: %w", err)
	}
	names := packages(lacking, strings.Fields(string(known)))
	return p.aptGet(ctx, append([]string{"-o", "DPkg::Lock::Timeout=300", "install", "-y", "-qq", "--no-install-recommends"}, names...)...)
}

func (p program) aptGet(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = p.stderr, p.stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("apt-get %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

func has(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// missing lists the needs that are not met.
func missing(has func(string) bool) (all []need) {
	for _, n := range needs {
		if !slices.ContainsFunc(n.programs, has) {
			all = append(all, n)
		}
	}
	return all
}

// packages chooses what to install, among the packages that apt knows.
func packages(lacking []need, known []string) (names []string) {
	for _, n := range lacking {
		name := n.packages[len(n.packages)-1]
		for _, p := range slices.Backward(n.packages) {
			if slices.Contains(known, p) {
				name = p
			}
		}
		names = append(names, name)
	}
	return names
}

// ready opens a kernel of the cache, or fetches it first.
func (p program) ready(ctx context.Context, cache, series string) (kernel.Kernel, error) {
	if os.Geteuid() != 0 {
		return kernel.Kernel{}, errors.New("a machine that shows all files to its guest needs root")
	}
	if err := p.install(ctx); err != nil {
		return kernel.Kernel{}, err
	}
	if k, err := kernel.Open(cache, series); err == nil {
		return k, nil
	}
	return kernel.Fetch(ctx, cache, series, p.stderr)
}

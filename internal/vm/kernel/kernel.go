// Package kernel keeps kernels to boot in a cache folder: Debian's, built for the
// clouds, which have what a guest needs and little else.
//
// [Fetch] gets one with apt, and [Open] finds it again. Of each kernel the cache
// has a folder, named by its series ("6.12"), that appears whole or not at all:
//
//	vmlinuz   the kernel
//	release   its full name: "6.12.95+deb12-cloud-amd64"
//	modules/  its modules, not compressed
//	index     of them, as package modules writes it
//
// What comes with a series changes when Debian updates it; what has been fetched
// stays until it is fetched again.
package kernel

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/larch-project/larch/internal/vm/modules"
)

// suites says where in Debian the series of kernels are.
var suites = []struct{ series, suite string }{
	{"6.1", "bookworm"},
	{"6.12", "bookworm-backports"},
	{"7.3", "trixie-backports"},
}

// Series lists the kernels that can be fetched, oldest first.
func Series() (all []string) {
	for _, s := range suites {
		all = append(all, s.series)
	}
	return all
}

// Kernel is one kernel of the cache.
type Kernel struct {
	Series  string // "6.12"
	Release string // as uname(2) gives it
	dir     string
}

// Open finds a kernel in the cache. The error matches fs.ErrNotExist where it has
// not been fetched.
func Open(cache, series string) (Kernel, error) {
	dir := filepath.Join(cache, series)
	release, err := os.ReadFile(filepath.Join(dir, "release"))
	if err != nil {
		return Kernel{}, fmt.Errorf("kernel %s: %w", series, err)
	}
	return Kernel{Series: series, Release: strings.TrimSpace(string(release)), dir: dir}, nil
}

// Image is the path of the kernel itself.
func (k Kernel) Image() string { return filepath.Join(k.dir, "vmlinuz") }

// Modules is the folder of its modules.
func (k Kernel) Modules() string { return filepath.Join(k.dir, "modules") }

// IndexFile is the path of the index of its modules.
func (k Kernel) IndexFile() string { return filepath.Join(k.dir, "index") }

// Index reads the index of its modules.
func (k Kernel) Index() (*modules.Index, error) {
	text, err := os.ReadFile(k.IndexFile())
	if err != nil {
		return nil, err
	}
	return modules.Parse(string(text))
}

// writeIndex reads all modules, and writes down what they need.
func (k Kernel) writeIndex() error {
	x, err := modules.Build(k.Modules())
	if err != nil {
		return err
	}
	f, err := os.Create(k.IndexFile())
	if err != nil {
		return err
	}
	defer f.Close()
	if err := x.Encode(f); err != nil {
		return err
	}
	return f.Close()
}

func suiteOf(series string) (string, error) {
	for _, s := range suites {
		if s.series == series {
			return s.suite, nil
		}
	}
	return "", fmt.Errorf("kernel %q is not one of %s: %w", series, strings.Join(Series(), ", "), fs.ErrNotExist)
}

// pick finds a kernel of a series, and the packages it is made of, among the names
// that the suite's newest kernel depends on. From 7.3 on kernels are split in three:
// linux-base-* (the list of what is built in), linux-binary-* and linux-modules-*.
func pick(series string, names []string) (release string, packages []string, err error) {
	for _, part := range []string{"linux-image-", "linux-base-", "linux-binary-", "linux-modules-"} {
		for _, name := range names {
			rest, ok := strings.CutPrefix(name, part)
			if !ok || !strings.HasPrefix(rest, series+".") || slices.Contains(packages, name) {
				continue
			}
			release = rest
			packages = append(packages, name)
		}
	}
	if packages == nil {
		return "", nil, fmt.Errorf("no kernel %s is there any more, but: %s", series, strings.Join(names, " "))
	}
	return release, packages, nil
}

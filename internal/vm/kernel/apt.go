package kernel

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

const (
	keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	meta    = "linux-image-cloud-amd64" // depends on the newest kernel of a suite
)

// apt asks the machine's apt with lists and sources other than the system's.
type apt struct{ lists, sources string }

func (a apt) options(args ...string) []string {
	return append([]string{
		"-o", "Dir::Etc::SourceList=" + a.sources,
		"-o", "Dir::Etc::SourceParts=-",
		"-o", "Dir::State::Lists=" + a.lists,
		"-o", "Dir::Cache::pkgcache=", // no caches: they would be shared with the system
		"-o", "Dir::Cache::srcpkgcache=",
		"-o", "APT::Sandbox::User=root", // the folder need not be readable for apt's own user
		"-o", "Acquire::Retries=3",
	}, args...)
}

// mirror finds the address of Debian's archive in the machine's own sources.
func (a apt) mirror(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages").Output()
	if err != nil {
		return "", fmt.Errorf("apt-get indextargets: %w", err)
	}
	return mirrorIn(string(out))
}

// mirrorIn picks it out of lines "origin|label|address".
func mirrorIn(targets string) (string, error) {
	for line := range strings.Lines(targets) {
		address, ok := strings.CutPrefix(strings.TrimSpace(line), "Debian|Debian|")
		if ok && address != "" {
			return address, nil
		}
	}
	return "", errors.New("apt has no lists of Debian's archive: is this Debian, and has apt-get update been run?")
}

// kernels lists the packages that the newest kernel is made of.
func (a apt) kernels(ctx context.Context) ([]string, error) {
	out, err := exec.CommandContext(ctx, "apt-cache", a.options("depends", "--recurse", "--important", meta)...).Output()
	if err != nil {
		return nil, fmt.Errorf("apt-cache depends %s: %w", meta, err)
	}
	return kernelsIn(string(out)), nil
}

// kernelsIn keeps the lines that are names of kernels' packages; the others, indented,
// say how they depend on each other.
func kernelsIn(depends string) (names []string) {
	for line := range strings.Lines(depends) {
		name := strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(name, "linux-") && strings.HasSuffix(name, "-cloud-amd64") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

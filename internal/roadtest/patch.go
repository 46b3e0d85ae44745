package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/larch-project/larch/internal/measure"
)

// tarball packs a version into one file.
func (r *rig) tarball(p pair) (f figure, err error) {
	dir := r.path("tarball")
	defer func() { err = errors.Join(err, measure.RemoveAll(dir)) }()
	tree, file := filepath.Join(dir, "tree"), filepath.Join(dir, "tree.tar.zst")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		return f, err
	}
	from := r.family.versions[p.to].dir
	pack := `tar -C "$1" --sort=name --owner=0 --group=0 --numeric-owner -c . | zstd -q -19 --long=27 -T0 -o "$2"`
	if _, _, err := measure.Run(nil, "sh", "-c", pack, "sh", from, file); err != nil {
		return f, err
	}
	unpack := `zstd -q -d --long=27 -c "$1" | tar -C "$2" -x`
	u, _, err := measure.Run(nil, "sh", "-c", unpack, "sh", file, tree)
	if err != nil {
		return f, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return f, err
	}
	return figure{Bytes: info.Size(), Requests: 1, CPU: u.CPU, Memory: u.Memory}, sameTree(from, tree)
}

// patcher makes a patch that leads from one file to another, and applies it.
type patcher struct {
	make, apply func(old, new, patch string) []string // the command
}

var (
	zstdPatch = patcher{
		func(old, new, patch string) []string {
			return []string{"zstd", "-q", "-19", "--long=27", "--patch-from=" + old, new, "-o", patch}
		},
		func(old, new, patch string) []string {
			return []string{"zstd", "-q", "-d", "--long=27", "--patch-from=" + old, patch, "-o", new}
		},
	}
	bsdiffPatch = patcher{
		func(old, new, patch string) []string { return []string{"bsdiff", old, new, patch} },
		func(old, new, patch string) []string { return []string{"bspatch", old, new, patch} },
	}
	// alone compresses a file that is new.
	alone = patcher{
		func(_, new, patch string) []string { return []string{"zstd", "-q", "-19", new, "-o", patch} },
		func(_, new, patch string) []string { return []string{"zstd", "-q", "-d", patch, "-o", new} },
	}
)

// patches adds up the patches of the files that changed, path by path, and what is
// new, compressed. It counts neither names nor what is taken away: a limit.
func (r *rig) patches(by patcher) func(pair) (figure, error) {
	return func(p pair) (sum figure, err error) {
		dir := r.path("patch")
		defer func() { err = errors.Join(err, measure.RemoveAll(dir)) }()
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return sum, err
		}
		before, after := r.family.versions[p.from].dir, r.family.versions[p.to].dir
		sum.Requests = 1
		err = filepath.WalkDir(after, func(file string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			name, err := filepath.Rel(after, file)
			if err != nil {
				return err
			}
			f, err := by.between(filepath.Join(before, name), file, dir)
			sum.Bytes += f.Bytes
			sum.CPU += f.CPU
			sum.Memory = max(sum.Memory, f.Memory)
			return err
		})
		return sum, err
	}
}

// between measures the patch between two files: its size, and applying it.
func (p patcher) between(old, new, dir string) (f figure, err error) {
	info, err := os.Lstat(old)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p = alone
	case err != nil:
		return f, err
	case !info.Mode().IsRegular() || info.Size() == 0:
		p = alone
	default:
		if err := sameFile(old, new); !errors.Is(err, errDiffers) {
			return f, err
		}
	}
	patch, made := filepath.Join(dir, "patch"), filepath.Join(dir, "made")
	defer os.Remove(patch)
	defer os.Remove(made)
	command := p.make(old, new, patch)
	if _, _, err := measure.Run(nil, command[0], command[1:]...); err != nil {
		return f, err
	}
	command = p.apply(old, made, patch)
	u, _, err := measure.Run(nil, command[0], command[1:]...)
	if err != nil {
		return f, err
	}
	if info, err = os.Stat(patch); err != nil {
		return f, err
	}
	return figure{Bytes: info.Size(), CPU: u.CPU, Memory: u.Memory}, sameFile(new, made)
}

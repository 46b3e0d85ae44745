//go:build amd64

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/larch-project/larch/internal/measure"
	"github.com/larch-project/larch/internal/mount"
)

// copyTo makes another world like this one, links and attributes and all.
func (w *world) copyTo(name string) (*world, error) {
	to := w.lab.world(name)
	to.from = w.dir
	if err := to.remove(); err != nil {
		return nil, err
	}
	if out, err := exec.Command("cp", "-a", w.dir, to.dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copying %s: %w: %s", w.dir, err, out)
	}
	return to, nil
}

// remove takes a world away, with what is mounted in it.
func (w *world) remove() error {
	if err := detachBelow(w.dir); err != nil {
		return err
	}
	if w.kind == onBtrfs { // read-only subvolumes, each the folder 256 of its own
		const script = `test ! -e "$1" || find "$1" -depth -inum 256 -exec btrfs -q subvolume delete {} +`
		if out, err := exec.Command("/bin/sh", "-c", script, "sh", w.dir).CombinedOutput(); err != nil {
			return fmt.Errorf("removing %s: %w: %s", w.dir, err, out)
		}
	}
	return measure.RemoveAll(w.dir)
}

// mountsBelow lists what is mounted in a folder, the innermost first.
func mountsBelow(dir string) ([]string, error) {
	table, err := mount.Table()
	if err != nil {
		return nil, err
	}
	var points []string
	for _, e := range slices.Backward(table) {
		if strings.HasPrefix(e.Point, dir+"/") {
			points = append(points, e.Point)
		}
	}
	return points, nil
}

func detachBelow(dir string) error {
	points, err := mountsBelow(dir)
	for _, p := range points {
		if err == nil {
			err = mount.Detach(p)
		}
	}
	return err
}

// age makes the files of a repository as old as if time had passed: what metadata
// replaced stays an hour for readers.
func (w *world) age(by time.Duration) error {
	then := time.Now().Add(-by)
	err := filepath.WalkDir(w.path("repo/trust"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return os.Chtimes(path, then, then)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Names that differ between two worlds that are alike: of what is named by its
// content, which has times and keys in it, and of files of those.
var (
	unlike       = regexp.MustCompile(`[0-9a-f]{62,64}`)
	objectFolder = regexp.MustCompile(`/objects/[0-9a-f]{2}`)
	// Versions of metadata pass over those that an interruption used up.
	version = regexp.MustCompile(`/trust/[0-9]+\.(targets|snapshot|publisher)`)
)

// listing gives all that a world holds, without what may always differ: names, kinds,
// modes, links, attributes' number, and mounts.
func (w *world) listing() (string, error) {
	var lines []string
	mounts, err := mountsBelow(w.dir)
	if err != nil {
		return "", err
	}
	for _, p := range mounts {
		lines = append(lines, "mounted "+strings.TrimPrefix(p, w.dir))
	}
	err = filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s %v", strings.TrimPrefix(path, w.dir), info.Mode())
		if target, err := os.Readlink(path); err == nil {
			line += " -> " + target
		}
		lines = append(lines, line)
		if d.IsDir() && slices.Contains(mounts, path) {
			return fs.SkipDir
		}
		return nil
	})
	for n := range lines {
		lines[n] = unlike.ReplaceAllString(lines[n], "#")
		lines[n] = objectFolder.ReplaceAllString(lines[n], "/objects/#")
		lines[n] = version.ReplaceAllString(lines[n], "/trust/N.$1")
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n"), err
}

// difference gives the lines that only one of two listings has, with + and -.
func difference(have, want string) []string {
	count := map[string]int{}
	for line := range strings.SplitSeq(have, "\n") {
		count[line]++
	}
	for line := range strings.SplitSeq(want, "\n") {
		count[line]--
	}
	var diff []string
	for line, n := range count {
		switch {
		case n > 0:
			diff = append(diff, fmt.Sprintf("+%d %s", n, line))
		case n < 0:
			diff = append(diff, fmt.Sprintf("%d %s", n, line))
		}
	}
	slices.Sort(diff)
	return diff
}

func inode(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

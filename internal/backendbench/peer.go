package main

import (
	"context"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/btrfs"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/measure"
)

// peer measures against what btrfs's own tools do with the same folders.
func (c *comparison) peer() (err error) {
	log.Print("measuring btrfs send and receive")
	p, err := c.newPlace(form{"peer", "btrfs"})
	if err != nil {
		return err
	}
	defer func() {
		if ended := p.end(); err == nil {
			err = ended
		}
	}()
	script := `cd "$0"; mkdir in
for v in "$2" "$3"; do btrfs -q subvolume create $v; cp -r "$1/tree-$v/." $v; btrfs property set $v ro true; done; sync -f .
btrfs -q send -f "$1/full" $2; btrfs -q send -f "$1/delta" -p $2 $3; btrfs -q receive -f "$1/full" in; sync -f .`
	if err := measure.Command("sh", "-ec", script, p.at, c.work, before, after).Run(); err != nil {
		return err
	}
	if _, _, err := c.larch(p, "remote", "add", "here", c.path("repo"), "--root-key", c.fingerprint); err != nil {
		return err
	}
	for _, step := range []func(*place) error{c.compareUpdates, c.compareStreams, c.compareDisk, c.compareRemoval} {
		if err := step(p); err != nil {
			return err
		}
	}
	return nil
}

// compareUpdates takes turns with "btrfs receive", both until all is on the disk: by
// deltas, which are the least to fetch, and by whole contents, which the increment has too.
func (c *comparison) compareUpdates(p *place) error {
	if _, _, err := c.larch(p, "install", c.tree+"@"+before, "--backend", "btrfs", "--yes"); err != nil {
		return err
	}
	for _, way := range []struct {
		name string
		args []string
	}{{"by deltas", nil}, {"by contents", []string{"--no-deltas"}}} {
		larch, receive, err := c.best(
			func() (float64, error) { return c.updateAgain(p, way.args) },
			func() (float64, error) { return c.receiveAgain(p) })
		if err != nil {
			return err
		}
		c.ratios.add("btrfs", "update, Go "+before+" to "+after+", "+way.name, "`btrfs receive` of the increment", larch, receive, 0.5)
	}
	return nil
}

// updateAgain updates as for the first time.
func (c *comparison) updateAgain(p *place, args []string) (float64, error) {
	settle()
	u, _, err := c.larch(p, append([]string{"update", "--yes"}, args...)...)
	for _, back := range [][]string{{"undo"}, {"gc", "--keep", "0"}} {
		if err == nil {
			_, _, err = c.larch(p, back...)
		}
	}
	return u.Wall.Seconds(), err
}

// receiveAgain applies the increment as for the first time.
func (c *comparison) receiveAgain(p *place) (float64, error) {
	script := `cd "$0/in"; [ ! -e "$1" ] || { btrfs -q subvolume delete "$1"; btrfs -q subvolume sync . >/dev/null; }`
	if err := measure.Command("sh", "-ec", script, p.at, after).Run(); err != nil {
		return 0, err
	}
	settle()
	u, _, err := measure.Run(nil, "sh", "-ec", `btrfs -q receive -f "$1/delta" "$0/in"; sync -f "$0"`, p.at, c.work)
	return u.Wall.Seconds(), err
}

// compareStreams takes the processor time of writing the stream of an installed version to
// nowhere, with all in memory.
func (c *comparison) compareStreams(p *place) error {
	_, dir, err := c.larch(p, "path", c.tree)
	if err != nil {
		return err
	}
	dir = filepath.Clean(dir[:len(dir)-1])
	nowhere := func(args ...string) func() (float64, error) {
		return func() (float64, error) {
			u, _, err := measure.Run(c.env(p), "sh", append([]string{"-c", `exec "$@" >/dev/null`, "sh"}, args...)...)
			return u.CPU.Seconds(), err
		}
	}
	export, send := nowhere(c.bench.larch, "export", "--format", "btrfs-send", c.tree, "--output", "-"), nowhere("btrfs", "-q", "send", dir)
	for _, warm := range []func() (float64, error){export, send} {
		if _, err := warm(); err != nil {
			return err
		}
	}
	larch, theirs, err := c.best(export, send)
	if err != nil {
		return err
	}
	c.ratios.add("", "write the stream of Go "+before+", CPU", "`btrfs send`", larch, theirs, 1.5)
	return nil
}

// compareDisk is about all forms.
func (c *comparison) compareDisk(*place) error {
	changed, err := changedBytes(c.path("tree-"+before), c.path("tree-"+after))
	if err != nil {
		return err
	}
	for _, r := range c.rows {
		c.ratios.addBytes(r.backend+" on "+r.fs, "disk of the update", "size of the changed files", r.versions[1].disk, changed, map[string]float64{"btrfs": 1.1}[r.backend])
	}
	return nil
}

// changedBytes is the size of all files of a folder that another one has not.
func changedBytes(old, new string) (sum int64, err error) {
	err = filepath.WalkDir(new, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(new, name)
		if err != nil {
			return err
		}
		if was, err := os.ReadFile(filepath.Join(old, rel)); err != nil || string(was) != string(data) {
			sum += int64(len(data))
		}
		return nil
	})
	return sum, err
}

// compareRemoval compares the removal of a deployment with that of its files, in an
// installation of its own.
func (c *comparison) compareRemoval(p *place) error {
	alone := *p
	alone.root = filepath.Join(p.at, "removal")
	if _, _, err := c.larch(&alone, "remote", "add", "here", c.path("repo"), "--root-key", c.fingerprint); err != nil {
		return err
	}
	least, files := math.Inf(1), math.Inf(1)
	for range c.runs {
		if _, _, err := c.larch(&alone, "install", c.ref, "--backend", "btrfs", "--yes"); err != nil {
			return err
		}
		_, dir, err := c.larch(&alone, "path", c.ref)
		if err != nil {
			return err
		}
		same := filepath.Join(p.at, "same")
		if err := measure.Command("cp", "-r", "--reflink=always", dir[:len(dir)-1], same).Run(); err != nil {
			return err
		}
		if _, _, err := c.larch(&alone, "uninstall", c.ref, "--yes"); err != nil {
			return err
		}
		took, err := removeDeployment(alone.root)
		if err != nil {
			return err
		}
		least = min(least, took)
		settle()
		u, _, err := measure.Run(nil, "rm", "-rf", same)
		if err != nil {
			return err
		}
		files = min(files, u.Wall.Seconds())
	}
	c.ratios.add("btrfs", "remove a deployment of 12,000 files", "`rm -rf` of a copy", least, files, 0.1)
	return nil
}

// removeDeployment takes the time of removing the one deployment that is there.
func removeDeployment(dir string) (float64, error) {
	root, err := beneath.Open(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	all, err := deploy.List(root)
	if err != nil || len(all) != 1 {
		return 0, fmt.Errorf("deployments %v, error %w", all, err)
	}
	settle()
	start := time.Now()
	err = btrfs.Backend{}.Remove(context.Background(), deploy.Site{Root: root}, all[0].Name)
	return time.Since(start).Seconds(), err
}

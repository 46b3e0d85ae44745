package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/larch-project/larch/internal/measure"
)

// The versions that are compared: neighbours of a real tree.
const (
	before = "1.26.7"
	after  = "1.26.8"
)

// form is a backend on a file system.
type form struct{ backend, fs string }

var forms = []form{
	{"hardlink", "ext4"}, {"overlay", "ext4"}, {"composefs", "ext4"}, {"fuse", "ext4"},
	{"hardlink", "btrfs"}, {"btrfs", "btrfs"},
}

// added is what something adds, in bytes.
type added struct {
	disk, data int64 // data: as "btrfs filesystem du" counts it
	memory     int64
}

// footprint is what a form takes and does.
type footprint struct {
	form
	install, update, remove float64  // seconds
	versions                [3]added // of the first version, and what the second one and a copy in another application add
	apps                    [2]added // of an application with its runtime, and what another one with it adds
	use                     remainder
	read                    string // what a program sees of a damaged content
	verified, mended        bool   // whether verifying finds and mends it
	user                    string // what an ordinary user can do
}

// comparison measures all forms with one tree in two versions and an application of
// somebody else's that holds the same tree, and with two applications that have a runtime
// in common.
type comparison struct {
	*bench
	tree, other, runtime string // refs
	apps                 [2]string
	rows                 []footprint
	ratios               table
}

// compare publishes and measures.
func (b *bench) compare(data, only string) (*comparison, error) {
	c := &comparison{bench: b}
	arch := b.ref[strings.Index(b.ref, "Bench/")+len("Bench/"):]
	c.tree, c.other = "app/org.example.Tree/"+arch, "app/org.example.Other/"+arch
	if err := c.publishTrees(data); err != nil {
		return nil, err
	}
	if err := c.publishApps(); err != nil {
		return nil, err
	}
	for _, f := range forms {
		if only != "" && f.backend != only {
			continue
		}
		if err := c.measure(f); err != nil {
			return nil, fmt.Errorf("%s on %s: %w", f.backend, f.fs, err)
		}
	}
	if only == "" || only == "btrfs" {
		return c, c.peer()
	}
	return c, nil
}

// publishTrees publishes both versions, and the other application.
func (c *comparison) publishTrees(data string) error {
	log.Print("publishing two versions of a tree")
	for _, version := range []string{before, after} {
		dir := filepath.Join(data, "gotc", map[string]string{before: "03-", after: "04-"}[version]+version)
		if err := measure.GoToolchain(dir, version); err != nil {
			return err
		}
		app := c.path("tree-" + version)
		if err := measure.Command("cp", "-r", dir, app).Run(); err != nil {
			return err
		}
		if err := addSelf(app); err != nil {
			return err
		}
		if _, _, err := c.do("publish", c.path("repo"), c.tree, app, "--command", "bench", "--version", version); err != nil {
			return err
		}
	}
	other := c.path("other")
	if err := measure.Command("cp", "-r", c.path("tree-"+before), other).Run(); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(other, "NAME"), []byte(strings.Repeat("another application\n", 10)), 0o644); err != nil {
		return err
	}
	_, _, err := c.do("publish", c.path("repo"), c.other, other, "--command", "bench", "--version", before, "--delta-budget", "0")
	return err
}

// addSelf puts this program into a tree.
func addSelf(dir string) error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "bin/bench"), self, 0o755)
}

func (c *comparison) env(p *place) []string {
	return []string{"HOME=" + c.path("home"), "LARCH_ROOT=" + p.root}
}

// larch runs it with the installation at this place.
func (c *comparison) larch(p *place, args ...string) (measure.Usage, string, error) {
	return measure.Run(c.env(p), c.bench.larch, args...)
}

func (c *comparison) measure(f form) (err error) {
	log.Printf("comparing %s on %s", f.backend, f.fs)
	p, err := c.newPlace(f)
	if err != nil {
		return err
	}
	defer func() {
		if ended := p.end(); err == nil {
			err = ended
		}
	}()
	if _, _, err := c.larch(p, "remote", "add", "here", c.path("repo"), "--root-key", c.fingerprint); err != nil {
		return err
	}
	row := footprint{form: f}
	for _, step := range []func(*place, *footprint) error{
		c.measureVersions, c.measureApps, c.useAndRemove, c.damage, c.withoutRoot,
	} {
		if err := step(p, &row); err != nil {
			return err
		}
	}
	c.rows = append(c.rows, row)
	return nil
}

// adds takes down by how much the disk is fuller after something was done.
func (c *comparison) adds(p *place, row *footprint, to *added, do func() error) error {
	if row.fs != "btrfs" {
		return grows(p.used, &to.disk, do)
	}
	return grows(p.data, &to.data, func() error { return grows(p.used, &to.disk, do) })
}

func grows(what func() (int64, error), by *int64, do func() error) error {
	start, err := what()
	if err == nil {
		err = do()
	}
	if err != nil {
		return err
	}
	end, err := what()
	*by = end - start
	return err
}

// measureVersions installs, updates, reads and removes the tree, and another application
// that holds it.
func (c *comparison) measureVersions(p *place, row *footprint) error {
	for n, s := range []struct {
		args []string
		took *float64
	}{
		{[]string{"install", c.tree + "@" + before, "--backend", row.backend, "--yes"}, &row.install},
		{[]string{"update", "--yes"}, &row.update},
		{[]string{"install", c.other, "--backend", row.backend, "--yes"}, new(float64)},
	} {
		err := c.adds(p, row, &row.versions[n], func() error {
			u, _, err := c.larch(p, s.args...)
			*s.took = u.Wall.Seconds()
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := c.inMemory(p, row); err != nil {
		return err
	}
	return c.removal(p, row)
}

// inMemory reads the first version, the second one and the other application, one after
// the other, and takes down what each adds to the page cache.
func (c *comparison) inMemory(p *place, row *footprint) error {
	for range 2 { // the other application, and the update
		if _, _, err := c.larch(p, "undo"); err != nil {
			return err
		}
	}
	if err := dropCaches(); err != nil {
		return err
	}
	for n, step := range []struct {
		first []string
		ref   string
	}{{nil, c.tree}, {[]string{"update", "--yes"}, c.tree}, {[]string{"install", c.other, "--backend", row.backend, "--yes"}, c.other}} {
		if step.first != nil {
			if _, _, err := c.larch(p, step.first...); err != nil {
				return err
			}
		}
		err := grows(p.resident, &row.versions[n].memory, func() error {
			_, _, err := c.larch(p, "run", "--no-sandbox", "--command", "sh", step.ref, "--", "-c", `exec "$LARCH_APP/bin/bench" inside all "$LARCH_APP"`)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// removal takes the time in which two deployments go: the other application, and the
// version before. Then it removes all.
func (c *comparison) removal(p *place, row *footprint) error {
	if _, _, err := c.larch(p, "uninstall", c.other, "--yes"); err != nil {
		return err
	}
	settle()
	start := time.Now()
	if _, _, err := c.larch(p, "gc", "--keep", "0"); err != nil {
		return err
	}
	row.remove = time.Since(start).Seconds()
	return c.removeAll(p)
}

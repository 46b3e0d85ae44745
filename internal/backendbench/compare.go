package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/btrfs"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/measure"
	"github.com/larch-project/larch/internal/pool"
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

// footprint is what a form takes.
type footprint struct {
	form
	install, update, remove float64  // seconds
	disk, memory            [3]int64 // bytes of the first version, and what the second one and another application add
}

// comparison measures all forms with one tree in two versions, and an application of
// somebody else's that holds the same tree.
type comparison struct {
	*bench
	tree, other string // refs
	rows        []footprint
}

// compare publishes and measures.
func (b *bench) compare(data, only string) (*comparison, error) {
	c := &comparison{bench: b}
	arch := b.ref[strings.Index(b.ref, "Bench/")+len("Bench/"):]
	c.tree, c.other = "app/org.example.Tree/"+arch, "app/org.example.Other/"+arch
	log.Print("publishing two versions of a tree")
	for _, version := range []string{before, after} {
		dir := filepath.Join(data, "gotc", map[string]string{before: "03-", after: "04-"}[version]+version)
		if err := measure.GoToolchain(dir, version); err != nil {
			return nil, err
		}
		app := b.path("tree-" + version)
		if err := measure.Command("cp", "-r", dir, app).Run(); err != nil {
			return nil, err
		}
		if err := addSelf(app); err != nil {
			return nil, err
		}
		if _, _, err := b.do("publish", b.path("repo"), c.tree, app, "--command", "bench", "--version", version); err != nil {
			return nil, err
		}
	}
	other := b.path("other")
	if err := measure.Command("cp", "-r", b.path("tree-"+before), other).Run(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(other, "NAME"), []byte(strings.Repeat("another application\n", 10)), 0o644); err != nil {
		return nil, err
	}
	if _, _, err := b.do("publish", b.path("repo"), c.other, other, "--command", "bench", "--version", before, "--delta-budget", "0"); err != nil {
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

// addSelf puts this program into a tree.
func addSelf(dir string) error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "bin/bench"), self, 0o755)
}

// place is a file system of its own for one form.
type place struct {
	root string // of the installation
	end  func() error
}

func (c *comparison) newPlace(f form) (*place, error) {
	p := &place{root: c.path("machine-" + f.backend + "-" + f.fs)}
	file := p.root + ".image"
	if f.fs == "btrfs" {
		_, _, err := c.do("pool", "create", "--root", p.root, "--size", "6G", "--no-units", file)
		p.end = func() error {
			if err := pool.Unmount(p.root); err != nil {
				return err
			}
			return os.Remove(file)
		}
		return p, err
	}
	script := `truncate -s 6G "$1" && mkfs.ext4 -q "$1" && mkdir "$2" && mount -o loop,noatime "$1" "$2" && rmdir "$2/lost+found"`
	p.end = func() error { return measure.Command("sh", "-c", `umount "$2" && rm "$1"`, "sh", file, p.root).Run() }
	return p, measure.Command("sh", "-c", script, "sh", file, p.root).Run()
}

// larch runs it with the installation at this place.
func (c *comparison) larch(p *place, args ...string) (measure.Usage, string, error) {
	return measure.Run([]string{"HOME=" + c.path("home"), "LARCH_ROOT=" + p.root}, c.bench.larch, args...)
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
	empty, err := used(p.root)
	if err != nil {
		return err
	}
	steps := []struct {
		args []string
		took *float64
	}{
		{[]string{"install", c.tree + "@" + before, "--backend", f.backend, "--yes"}, &row.install},
		{[]string{"update", "--yes"}, &row.update},
		{[]string{"install", c.other, "--backend", f.backend, "--yes"}, new(float64)},
	}
	for n, s := range steps {
		settle()
		u, _, err := c.larch(p, s.args...)
		if err != nil {
			return err
		}
		*s.took = u.Wall.Seconds()
		now, err := used(p.root)
		if err != nil {
			return err
		}
		row.disk[n], empty = now-empty, now
	}
	if err := c.inMemory(p, &row); err != nil {
		return err
	}
	if row.remove, err = c.removal(p); err != nil {
		return err
	}
	c.rows = append(c.rows, row)
	return nil
}

// used is how much of a file system is taken, in bytes, with all written.
func used(dir string) (int64, error) {
	settle()
	var st unix.Statfs_t
	err := unix.Statfs(dir, &st)
	return int64(st.Blocks-st.Bfree) * int64(st.Bsize), err
}

// inMemory reads the first version, the second one and the other application, one after
// the other, and takes down what each adds to the page cache.
func (c *comparison) inMemory(p *place, row *footprint) error {
	if _, _, err := c.larch(p, "undo"); err != nil { // the other application
		return err
	}
	if _, _, err := c.larch(p, "undo"); err != nil { // the update
		return err
	}
	// Each is opened once before, so that what opening reads does not count.
	for n, step := range []struct {
		ref  string
		then []string
	}{{c.tree, []string{"update", "--yes"}}, {c.tree, []string{"install", c.other, "--backend", row.backend, "--yes"}}, {c.other, nil}} {
		if n == 0 {
			if err := dropCaches(); err != nil {
				return err
			}
		}
		start, err := cached()
		if err != nil {
			return err
		}
		if _, _, err := c.larch(p, "run", "--no-sandbox", "--command", "sh", step.ref, "--", "-c", `exec "$LARCH_APP/bin/bench" inside all "$LARCH_APP"`); err != nil {
			return err
		}
		end, err := cached()
		if err != nil {
			return err
		}
		row.memory[n] = end - start
		if step.then != nil {
			if _, _, err := c.larch(p, step.then...); err != nil {
				return err
			}
		}
	}
	return nil
}

// cached is what the page cache holds, in bytes.
func cached() (int64, error) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "Cached:" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/meminfo has no line Cached")
}

// removal takes the time in which everything but the objects goes.
func (c *comparison) removal(p *place) (float64, error) {
	if _, _, err := c.larch(p, "uninstall", c.other, "--yes"); err != nil {
		return 0, err
	}
	settle()
	start := time.Now()
	if _, _, err := c.larch(p, "gc", "--keep", "1"); err != nil { // the other application, and the version before
		return 0, err
	}
	took := time.Since(start).Seconds()
	_, _, err := c.larch(p, "uninstall", c.tree, "--yes")
	if err == nil {
		_, _, err = c.larch(p, "gc", "--keep", "0")
	}
	exec.Command("sh", "-c", `umount -l "$0"/deployments/*/mount 2>/dev/null`, p.root).Run()
	return took, err
}

// peer measures what btrfs's own tools do with the same folders.
func (c *comparison) peer() error {
	log.Print("measuring btrfs send and receive")
	p, err := c.newPlace(form{"peer", "btrfs"})
	if err != nil {
		return err
	}
	defer p.end()
	script := `cd "$0"; mkdir in
for v in "$2" "$3"; do btrfs -q subvolume create $v; cp -r "$1/tree-$v/." $v; btrfs property set $v ro true; done; sync -f .
btrfs -q send -f full $2; btrfs -q send -f delta -p $2 $3; btrfs -q receive -f full in; sync -f .`
	if err := measure.Command("sh", "-ec", script, p.root, c.work, before, after).Run(); err != nil {
		return err
	}
	settle()
	start := time.Now()
	if err := measure.Command("sh", "-ec", `cd "$0"; btrfs -q receive -f delta in; sync -f .`, p.root).Run(); err != nil {
		return err
	}
	receive := time.Since(start).Seconds()
	for _, r := range c.rows {
		if r.form == (form{"btrfs", "btrfs"}) {
			c.table.add("btrfs", "update, Go "+before+" to "+after, "btrfs receive of the increment", r.update, receive, 0.5)
		}
	}
	changed, err := changedBytes(c.path("tree-"+before), c.path("tree-"+after))
	if err != nil {
		return err
	}
	for _, r := range c.rows {
		c.table.addBytes(r.backend+" on "+r.fs, "disk of the update", "size of the changed files", r.disk[1], changed, map[string]float64{"btrfs": 1.1}[r.backend])
	}
	return c.removalOfFiles(p)
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

// removalOfFiles compares the removal of a deployment with that of its files.
func (c *comparison) removalOfFiles(p *place) error {
	if _, _, err := c.larch(p, "remote", "add", "here", c.path("repo"), "--root-key", c.fingerprint); err != nil {
		return err
	}
	least, files := 1e9, 1e9
	for range c.runs {
		for _, verb := range [][]string{{"install", c.ref, "--backend", "btrfs", "--yes"}, {"uninstall", c.ref, "--yes"}} {
			if _, _, err := c.larch(p, verb...); err != nil {
				return err
			}
		}
		took, err := removeDeployment(p.root)
		if err != nil {
			return err
		}
		least = min(least, took)
		if err := measure.Command("cp", "-r", c.path("app"), filepath.Join(p.root, "in/app")).Run(); err != nil {
			return err
		}
		settle()
		start := time.Now()
		if err := measure.Command("rm", "-rf", filepath.Join(p.root, "in/app")).Run(); err != nil {
			return err
		}
		files = min(files, time.Since(start).Seconds())
	}
	c.table.add("btrfs", "remove a deployment of 12,000 files", "rm -rf of them", least, files, 0.1)
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

func (c *comparison) print(w io.Writer) {
	fmt.Fprintln(w, "| backend | on | install | update | remove two | disk: first | + second version | + other application | memory: first | + second version | + other application |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|---|")
	mb := func(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }
	for _, r := range c.rows {
		fmt.Fprintf(w, "| %s | %s | %.2f s | %.2f s | %.2f s |", r.backend, r.fs, r.install, r.update, r.remove)
		for _, n := range append(r.disk[:], r.memory[:]...) {
			fmt.Fprintf(w, " %s |", mb(n))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
}

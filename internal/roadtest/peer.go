package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// peer is another way to get from one version to the next, or a limit.
type peer struct {
	name    string   // of its column
	tools   []string // programs that it needs; the first one's version counts
	options string   // how it is asked, so that figures of another way are not taken for these
	limit   bool     // not a way to distribute
	quick   []pair   // measured in any case
	pairs   []pair   // measured with -peers=all, or shown if they are known
	measure func(p pair) (figure, error)
}

// peers lists them all.
func (r *rig) peers() []peer {
	all := result{family: r.family}.pairs()
	few := edges(r.family)
	updates := few[1:]
	neighbours := updates[:r.family.last()]
	o, c := &ostree{rig: r}, &casync{rig: r}
	return []peer{
		{name: ostreePlain, tools: []string{"ostree"}, options: "bare-user", quick: few, pairs: all, measure: o.plain},
		{name: ostreeDelta, tools: []string{"ostree"}, options: "bare-user", pairs: neighbours, measure: o.delta},
		{name: casyncName, tools: []string{"casync"}, options: "unix", pairs: few, measure: c.extract},
		{name: archive, tools: []string{"zstd", "tar"}, options: "-19 --long=27", quick: few[:1], pairs: few[:1], measure: r.tarball},
		{name: "zstd patch", tools: []string{"zstd"}, options: "-19 --patch-from", limit: true, pairs: updates, measure: r.patches(zstdPatch)},
		{name: "bsdiff", tools: []string{"bsdiff", "bspatch", "zstd"}, options: "new files zstd -19", limit: true, pairs: updates, measure: r.patches(bsdiffPatch)},
	}
}

const (
	ostreePlain = "OSTree"
	ostreeDelta = "OSTree static delta"
	casyncName  = "casync"
	archive     = "tar.zst"
)

// edges gives the fresh install of the newest version, the steps from neighbour to
// neighbour, and the one from the first to the last.
func edges(f family) []pair {
	list := []pair{{nothing, f.last()}}
	for i := range f.last() {
		list = append(list, pair{i, i + 1})
	}
	if f.last() > 1 {
		list = append(list, pair{0, f.last()})
	}
	return list
}

// compete measures the peers that were asked for.
func (r *rig) compete(done *result) error {
	if r.options.peers == "none" {
		return nil
	}
	known, err := openFigures(r.data, r.fresh)
	if err != nil {
		return err
	}
	stamps := make([]string, len(r.family.versions))
	for i, v := range r.family.versions {
		if stamps[i], err = treeStamp(v.dir); err != nil {
			return err
		}
	}
	for _, p := range r.peers() {
		c, err := r.column(p, stamps, known)
		if err != nil {
			return err
		}
		done.columns = append(done.columns, c)
	}
	return nil
}

// column measures a peer, and takes what is known. What a tool is not able to do
// is noted in the column; an error is one of ours.
func (r *rig) column(p peer, stamps []string, known *figures) (column, error) {
	c := column{name: p.name, limit: p.limit, figures: map[pair]figure{}}
	for _, tool := range p.tools {
		if _, err := exec.LookPath(tool); err != nil {
			c.missing = tool + " is not installed"
			return c, nil
		}
	}
	kind := strings.Join([]string{r.family.name, p.name, p.options, toolVersion(p.tools[0])}, "|")
	for _, step := range p.pairs {
		key := kind + "|nothing|" + stamps[step.to]
		if step.from != nothing {
			key = kind + "|" + stamps[step.from] + "|" + stamps[step.to]
		}
		if f, ok := known.get(key); ok {
			c.figures[step] = f
		} else if r.options.peers == "all" || slices.Contains(p.quick, step) {
			if err := r.take(p, step, key, known, &c); err != nil {
				return c, err
			}
		}
	}
	if len(c.figures) == 0 && len(c.failed) == 0 {
		c.missing = "measured with -peers=all only"
	}
	return c, nil
}

// take measures a step and remembers the figure.
func (r *rig) take(p peer, step pair, key string, known *figures, c *column) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	label := result{family: r.family}.label(step)
	f, err := p.measure(step)
	if err != nil {
		c.failed = append(c.failed, fmt.Errorf("%s: %w", label, err))
		return nil
	}
	log.Printf("%s: %s: %s: %s in %d requests, %s", r.family.name, label, p.name, size(f.Bytes), f.Requests, seconds(f.CPU))
	c.figures[step] = f
	return known.put(key, f)
}

// toolVersion gives what a program says of itself, if it does.
func toolVersion(tool string) string {
	out, err := exec.Command(tool, "--version").CombinedOutput()
	if err != nil {
		return tool
	}
	return strings.Join(strings.Fields(string(out)), " ")
}

// treeStamp changes when a folder of a version does: names, sizes, run bits, times.
func treeStamp(dir string) (string, error) {
	hash := sha256.New()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && !d.IsDir() {
			fmt.Fprintln(hash, strings.TrimPrefix(p, dir), info.Mode(), info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	return hex.EncodeToString(hash.Sum(nil)[:8]), err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/larch-project/larch/internal/measure"
)

// rig is what a family is measured with.
type rig struct {
	options
	ctx    context.Context
	family family
	dir    string // folder of the family, for what is removed afterwards
	server *measure.Server
	root   string // what the server serves: work, or a folder above
}

// path names something in the working folder.
func (r *rig) path(parts ...string) string {
	return filepath.Join(append([]string{r.dir}, parts...)...)
}

// url is where the server has something of the working folder.
func (r *rig) url(name string) (string, error) {
	rel, err := filepath.Rel(r.root, r.path(name))
	return r.server.URL + "/" + filepath.ToSlash(rel), err
}

// measureAll measures all families.
func measureAll(ctx context.Context, o options) (results []result, err error) {
	for _, dir := range []string{o.data, o.work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	work, err := os.MkdirTemp(o.work, "roadtest-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, measure.RemoveAll(work)) }()
	server, err := measure.Serve(work)
	if err != nil {
		return nil, err
	}
	defer server.Close()
	for _, source := range o.sources {
		f, err := source.prepare(o.data)
		if err != nil {
			return nil, fmt.Errorf("family %s: %w", source.name, err)
		}
		r := &rig{o, ctx, f, filepath.Join(work, f.name), server, work}
		result, err := r.run()
		if err != nil {
			return nil, fmt.Errorf("family %s: %w", f.name, err)
		}
		results = append(results, result)
	}
	return results, nil
}

// run measures a family, and leaves nothing in the working folder.
func (r *rig) run() (result, error) {
	done := result{family: r.family, larch: map[pair]figure{}, plain: map[pair]figure{}}
	var err error
	if done.files, done.bytes, err = treeSize(r.family.versions[r.family.last()].dir); err != nil {
		return done, err
	}
	if err := r.roads(&done); err != nil {
		return done, err
	}
	if err := r.directs(&done); err != nil {
		return done, err
	}
	if err := r.compete(&done); err != nil {
		return done, err
	}
	return done, measure.RemoveAll(r.dir)
}

// roads publishes all versions, and takes every road to each of them.
func (r *rig) roads(done *result) error {
	s, err := newSite(r.larch, r.path("site"), r.root, r.server)
	if err != nil {
		return err
	}
	for to, v := range r.family.versions {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		p, err := s.publish(v)
		if err != nil {
			return err
		}
		done.publications = append(done.publications, p)
		log.Printf("%s: published %s: %s, %s; packs %s, deltas %s, streams %s", r.family.name, v.name, seconds(p.cpu), mebibytes(p.memory), size(p.written.packs), size(p.written.deltas), size(p.written.streams))
		if err := r.arrive(s, to, done); err != nil {
			return fmt.Errorf("version %s: %w", v.name, err)
		}
	}
	all, err := inventory(s.repo())
	done.storage = all.since(nil)
	return errors.Join(err, measure.RemoveAll(s.dir), measure.RemoveAll(r.path("machines")))
}

// machine is where the machine is that has a version.
func (r *rig) machine(at int) string { return r.path("machines", strconv.Itoa(at)) }

// arrive takes all roads to the version just published, and keeps a machine there.
func (r *rig) arrive(s *site, to int, done *result) error {
	v := r.family.versions[to]
	fresh := pair{nothing, to}
	f, err := s.install(r.machine(to), "")
	if err == nil {
		err = s.holds(r.machine(to), v)
	}
	if err != nil {
		return err
	}
	done.larch[fresh] = f
	if to == r.family.last() {
		aside := r.path("machines", "plain")
		if done.plain[fresh], err = s.install(aside, "packs"); err == nil {
			err = s.holds(aside, v)
		}
		if err != nil {
			return err
		}
	}
	for from := range to {
		p := pair{from, to}
		if done.larch[p], err = r.travel(s, p, ""); err != nil {
			return err
		}
		if done.plain[p], err = r.travel(s, p, "packs"); err != nil {
			return err
		}
		log.Printf("%s: %s: %s in %d requests, plain %s in %d", r.family.name, done.label(p), size(done.larch[p].Bytes), done.larch[p].Requests, size(done.plain[p].Bytes), done.plain[p].Requests)
	}
	return nil
}

// travel updates a copy of a machine, and checks where it arrived.
func (r *rig) travel(s *site, p pair, routes string) (figure, error) {
	if err := r.ctx.Err(); err != nil {
		return figure{}, err
	}
	traveller := r.path("machines", "traveller")
	if err := measure.Command("cp", "-a", r.machine(p.from), traveller).Run(); err != nil {
		return figure{}, fmt.Errorf("copying the machine: %w", err)
	}
	f, err := s.update(traveller, routes)
	if err == nil {
		err = s.holds(traveller, r.family.versions[p.to])
	}
	if err != nil {
		return f, fmt.Errorf("updating from %s: %w", r.family.versions[p.from].name, err)
	}
	return f, measure.RemoveAll(traveller)
}

// directs compares chains of deltas with single ones.
func (r *rig) directs(done *result) error {
	for _, p := range spread(r.family, r.direct) {
		dir := r.path("direct")
		single, ok, err := r.single(dir, p)
		if err != nil {
			return fmt.Errorf("directly from %s: %w", done.label(p), err)
		}
		if ok {
			done.directs = append(done.directs, direct{p, done.larch[p].Bytes, single.Bytes})
			log.Printf("%s: %s: by a chain %s, directly %s", r.family.name, done.label(p), size(done.larch[p].Bytes), size(single.Bytes))
		}
		if err := measure.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// single takes a step in a repository that has its two versions alone. It is not
// ok if no delta was made.
func (r *rig) single(dir string, p pair) (f figure, ok bool, err error) {
	if err := r.ctx.Err(); err != nil {
		return f, false, err
	}
	s, err := newSite(r.larch, dir, r.root, r.server)
	if err != nil {
		return f, false, err
	}
	machine := filepath.Join(dir, "machine")
	if _, err := s.publish(r.family.versions[p.from]); err != nil {
		return f, false, err
	}
	if _, err := s.install(machine, ""); err != nil {
		return f, false, err
	}
	second, err := s.publish(r.family.versions[p.to])
	if err != nil || second.written.deltas == 0 {
		return f, false, err
	}
	if f, err = s.update(machine, ""); err == nil {
		err = s.holds(machine, r.family.versions[p.to])
	}
	return f, err == nil, err
}

// spread chooses so many pairs that are no neighbours: from the first to the last,
// and others evenly.
func spread(f family, n int) (list []pair) {
	var others []pair
	for to := range f.versions {
		for from := range to {
			if p := (pair{from, to}); p.steps() > 1 && p.steps() < f.last() {
				others = append(others, p)
			}
		}
	}
	if n > 0 && f.last() > 1 {
		list = append(list, pair{0, f.last()})
	}
	n = min(n-1, len(others))
	for i := range max(n, 0) {
		list = append(list, others[i*len(others)/n])
	}
	return slices.Clip(list)
}

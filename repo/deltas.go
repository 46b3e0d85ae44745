package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/durable"
	"github.com/larch-project/larch/internal/lock"
	"github.com/larch-project/larch/trust"
)

const (
	// savePercent is what a direct delta must save of the chain that it stands
	// beside.
	savePercent = 25
	// evenPercent is how much of a chain its largest delta may be for a direct one
	// to be tried: a direct one is hardly smaller than that.
	evenPercent = 60
	// smallChain is what a chain must cost for anything to be saved, in bytes.
	smallChain = 64 << 10
	// routePrice is what a request counts for when chains are weighed, in bytes.
	routePrice = 64 << 10
)

// directFrom is how many releases back direct deltas are tried.
var directFrom = []int{2, 4, 8, 16}

// DeltaOptions says which deltas to make, and how much may be spent on them.
type DeltaOptions struct {
	// Budget is processor time, on all cores together; 0 makes none.
	Budget time.Duration
	// From are versions of older releases from which a direct delta is made,
	// whatever it saves.
	From []string
}

// ErrUnknownRelease is matched when a repository has no release of a version.
var ErrUnknownRelease = errors.New("no such release")

func findVersion(log []Logged, version string) (*Logged, error) {
	at := slices.IndexFunc(log, func(l Logged) bool { return version == "" || l.Release.Version == version })
	if at < 0 {
		return nil, fmt.Errorf("%w: %.80q", ErrUnknownRelease, version)
	}
	return &log[at], nil
}

// sideOf reads one side of a delta; nil is nothing.
func (r *Repository) sideOf(l *Logged) (*side, error) {
	if l == nil {
		return nothing(), nil
	}
	ix, err := r.Index(l.Digest, l.Release.Tree)
	if err != nil {
		return nil, err
	}
	return r.side(ix, l.Release.Tree)
}

// MakeDelta makes the delta from one release to another, or from nothing if from is
// nil, unless it is there already; that tells made. It needs nothing but the
// repository, and what it makes depends on nothing else. A stream from nothing
// that is made by this is kept until DropDelta.
func (r *Repository) MakeDelta(ctx context.Context, from *Logged, to Logged, limit time.Duration) (made bool, err error) {
	held, err := r.hold(ctx, lock.Shared)
	if err != nil {
		return false, err
	}
	defer held.Close()
	name := digest.Digest{}
	if from != nil {
		name = from.Digest
	}
	if _, err := r.edge(to.Digest, name); err != nil {
		if made, err = r.makeNamed(ctx, from, to, newBudget(limit)); err != nil || !made {
			return made, err
		}
	}
	if from == nil {
		if err := r.pin(to.Digest); err != nil {
			return made, err
		}
	}
	return made, r.refreshMaps(ctx, to)
}

func (r *Repository) makeNamed(ctx context.Context, from *Logged, to Logged, b *budget) (bool, error) {
	old, err := r.sideOf(from)
	if err != nil {
		return false, err
	}
	new, err := r.sideOf(&to)
	if err != nil {
		return false, err
	}
	m, err := r.madeFrom(ctx, from, old, new, b)
	if m == nil || err != nil {
		return false, err
	}
	defer m.file.Close()
	return true, r.nameDelta(m, to.Digest)
}

// madeFrom is makeDelta between releases.
func (r *Repository) madeFrom(ctx context.Context, from *Logged, old, new *side, b *budget) (*made, error) {
	if err := r.dir.MkdirAll(deltasFolder, 0o755); err != nil {
		return nil, err
	}
	m, err := r.makeDelta(ctx, old, new, b)
	if err != nil {
		version := "nothing"
		if from != nil {
			version = from.Release.Version
		}
		return nil, fmt.Errorf("making the delta from %s: %w", version, err)
	}
	if m != nil && from != nil {
		m.from = from.Digest
	}
	return m, nil
}

// nameDelta gives a delta its name.
func (r *Repository) nameDelta(m *made, to digest.Digest) error {
	folder := deltaFolder(to)
	if err := r.dir.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	m.edge.From, m.edge.To = m.from, to
	if err := name(r.dir, m.file, DeltaName(to, m.from)); err != nil {
		return err
	}
	if err := r.syncFolder(folder); err != nil {
		return err
	}
	return r.syncFolder(deltasFolder)
}

func pinName(to digest.Digest) string { return deltaFolder(to) + "/pinned" }

func (r *Repository) pin(to digest.Digest) error {
	if r.pinned(to) {
		return nil
	}
	return durable.WriteFile(r.dir, pinName(to), nil, 0o644)
}

// pinned tells whether the stream of a release stays when there is a newer one.
func (r *Repository) pinned(to digest.Digest) bool {
	_, err := r.dir.Lstat(pinName(to))
	return err == nil
}

// DropDelta removes the delta from one release to another, or from nothing if from
// is nil. It is fs.ErrNotExist if there is none.
func (r *Repository) DropDelta(ctx context.Context, from *Logged, to Logged) error {
	held, err := r.hold(ctx, lock.Exclusive)
	if err != nil {
		return err
	}
	defer held.Close()
	name := digest.Digest{}
	if from != nil {
		name = from.Digest
	}
	if _, err := r.dir.Lstat(DeltaName(to.Digest, name)); err != nil {
		return err
	}
	if err := r.refreshMaps(ctx, to, Edge{From: name, To: to.Digest}); err != nil { // nobody is led there any more
		return err
	}
	if from == nil {
		if err := r.unlink(pinName(to.Digest)); err != nil {
			return err
		}
	}
	return r.unlink(DeltaName(to.Digest, name))
}

// unlink removes a file that may have gone already.
func (r *Repository) unlink(name string) error {
	if err := r.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// refreshMaps writes anew the lists of deltas of the lines that a release is on, as
// the deltas are there now, but for those that will go.
func (r *Repository) refreshMaps(ctx context.Context, changed Logged, going ...Edge) error {
	head, err := trust.Open(r.dir, nil)
	if err != nil {
		return err
	}
	edges, err := r.Edges()
	if err != nil {
		return err
	}
	edges = slices.DeleteFunc(edges, func(e Edge) bool {
		return slices.ContainsFunc(going, func(g Edge) bool { return byEdge(e, g) == 0 })
	})
	target, known := head.Targets()[changed.Release.Ref.String()]
	if !known {
		return nil
	}
	return r.refreshMap(ctx, target.Custom.Release, edges)
}

// refreshMap lists for one line what of all deltas leads to its releases.
func (r *Repository) refreshMap(ctx context.Context, head digest.Digest, edges []Edge) error {
	log, err := r.Log(ctx, head, maxReleases/2)
	if err != nil {
		return err
	}
	var line []Edge
	for _, e := range edges {
		if slices.ContainsFunc(log, func(l Logged) bool { return l.Digest == e.To }) {
			line = append(line, e)
		}
	}
	return r.writeDeltaMap(head, line[:min(len(line), maxEdges)])
}

// deltas makes those of a release that is about to be published: from the release
// before, the stream from nothing, those that were asked for, and those from older
// releases that save enough of the chain.
type deltas struct {
	repo   *Repository
	to     *side
	budget *budget
	edges  []Edge // known between releases before
	made   []*made
}

// makeAll makes what a publication adds. log is the line before it, newest first.
func (d *deltas) makeAll(ctx context.Context, log []Logged, from []string) error {
	if len(log) > 0 {
		if _, err := d.make(ctx, &log[0]); err != nil {
			return err
		}
	}
	if _, err := d.make(ctx, nil); err != nil {
		return err
	}
	for _, version := range from {
		l, err := findVersion(log, version)
		if err != nil {
			return err
		}
		if _, err := d.make(ctx, l); err != nil {
			return err
		}
	}
	for _, back := range directFrom {
		if back > len(log) {
			break
		}
		if err := d.direct(ctx, &log[back-1]); err != nil {
			return err
		}
	}
	return nil
}

// make makes one, unless it is there.
func (d *deltas) make(ctx context.Context, from *Logged) (*made, error) {
	var name digest.Digest
	if from != nil {
		name = from.Digest
	}
	for _, m := range d.made {
		if m.from == name {
			return m, nil
		}
	}
	old, err := d.repo.sideOf(from)
	if err != nil {
		if from != nil { // a damaged release is no base
			return nil, nil
		}
		return nil, err
	}
	m, err := d.repo.madeFrom(ctx, from, old, d.to, d.budget)
	if m != nil {
		d.made = append(d.made, m)
	}
	return m, err
}

// direct makes the delta from an older release if it saves enough.
func (d *deltas) direct(ctx context.Context, from *Logged) error {
	before := len(d.made)
	chain := d.chain(from.Digest)
	largest := int64(0)
	for _, e := range chain {
		largest = max(largest, e.Size)
	}
	cost := Cost(chain, 0)
	if len(chain) < 2 || cost < smallChain || largest*100 > cost*evenPercent {
		return nil
	}
	m, err := d.make(ctx, from)
	if m == nil || err != nil || len(d.made) == before {
		return err
	}
	if m.edge.Size*100 > cost*(100-savePercent) {
		m.file.Close()
		d.made = d.made[:before]
	}
	return nil
}

// chain is the way to the new release from an old one, by the deltas that there are.
func (d *deltas) chain(from digest.Digest) []Edge {
	to := digest.Digest{0: 1} // stands for the release that has no name yet
	edges := slices.DeleteFunc(slices.Clone(d.edges), func(e Edge) bool { return e.From.IsZero() })
	for _, m := range d.made {
		if !m.from.IsZero() {
			edges = append(edges, Edge{From: m.from, To: to, Size: m.edge.Size})
		}
	}
	return Cheapest(edges, func(d digest.Digest) bool { return d == from }, to, routePrice)
}

// name gives all of them their names, and lists them for the readers of the line.
func (d *deltas) name(to digest.Digest, log []Logged) error {
	var line []Edge
	for _, e := range d.edges {
		if !e.From.IsZero() || d.repo.pinned(e.To) {
			line = append(line, e)
		}
	}
	for _, m := range d.made {
		if err := d.repo.nameDelta(m, to); err != nil {
			return err
		}
		line = append(line, m.edge)
	}
	known := func(e Edge) bool {
		return e.To == to || slices.ContainsFunc(log, func(l Logged) bool { return l.Digest == e.To })
	}
	line = slices.DeleteFunc(line, func(e Edge) bool { return !known(e) })
	return d.repo.writeDeltaMap(to, line[:min(len(line), maxEdges)])
}

func (d *deltas) close() {
	for _, m := range d.made {
		m.file.Close()
	}
}

// dropStream removes the stream of a release that is not the newest any more of any
// ref, unless it is pinned. Readers that are under way go on by packs.
func (r *Repository) dropStream(old digest.Digest, targets map[string]trust.Target) error {
	for _, t := range targets {
		if t.Custom.Release == old {
			return nil
		}
	}
	if old.IsZero() || r.pinned(old) {
		return nil
	}
	return r.unlink(DeltaName(old, digest.Digest{}))
}

// lineOf gives the releases before a publication, and the deltas between them.
func (r *Repository) lineOf(ctx context.Context, before trust.Target) ([]Logged, []Edge, error) {
	if before.Custom.Release.IsZero() {
		return nil, nil, nil
	}
	log, err := r.Log(ctx, before.Custom.Release, 0)
	if err != nil {
		return nil, nil, err
	}
	f, err := r.dir.Open(DeltaMapName(before.Custom.Release))
	if errors.Is(err, fs.ErrNotExist) {
		return log, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	edges, err := ReadDeltaMap(f)
	if err != nil {
		return log, nil, nil // a list that nobody signed; DropDelta or MakeDelta write it anew
	}
	return log, edges, nil
}

package repo

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/lock"
	"github.com/larch-project/larch/trust"
)

// Repacked says what Repack did.
type Repacked struct {
	Before, After int   // packs that the newest releases need, before and after
	Retired       int   // packs replaced
	Written       int64 // bytes of new packs
}

// Repack keeps fresh installs cheap as history grows. Small packs are rolled up
// so that sizes form a geometric progression, as git does with its packs, and
// packs of which the newest releases use less than half of what they must fetch
// are rewritten; the newest releases' contents come first, in the order of their
// trees. Every content is checked on the way. The amount of work for each byte
// grows with the logarithm of the history.
//
// Packs that were replaced stay for RetiredFor, so a reader with an index of
// before goes on undisturbed; Prune removes them later. A crash leaves indexes of
// before and after, which are equally good.
func (r *Repository) Repack(ctx context.Context, now time.Time) (*Repacked, error) {
	held, err := r.hold(ctx, lock.Exclusive)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	head, err := trust.Open(r.dir, nil)
	if err != nil {
		return nil, err
	}
	releases, err := r.history(ctx, head.Targets())
	if err != nil {
		return nil, err
	}
	c, err := r.loadCatalog(ctx, releases, strictly)
	if err != nil {
		return nil, err
	}
	p := &repacking{repo: r, catalog: c, releases: releases, heads: len(head.Targets()), moved: map[digest.Digest]Location{}}
	return p.run(ctx, now)
}

type repacking struct {
	repo     *Repository
	catalog  *catalog
	releases []Logged // the heads first
	heads    int
	replaced []bool // by number of the pack
	moved    map[digest.Digest]Location
}

func (p *repacking) run(ctx context.Context, now time.Time) (*Repacked, error) {
	usage, err := p.measure()
	if err != nil {
		return nil, err
	}
	result := &Repacked{Before: usage.needed(), After: usage.needed()}
	p.replaced = choosePacks(usage)
	for _, chosen := range p.replaced {
		if chosen {
			result.Retired++
		}
	}
	if result.Retired == 0 {
		return result, p.listDeltas(ctx) // an interrupted one may not have come so far
	}
	if result.Written, err = p.rewrite(ctx); err != nil {
		return nil, err
	}
	if err := p.retire(now); err != nil {
		return nil, err
	}
	going, err := p.repo.Edges()
	if err != nil {
		return nil, err
	}
	if err := p.listDeltas(ctx, going...); err != nil { // nobody is led by what is about to change
		return nil, err
	}
	for _, l := range p.releases {
		if err := p.reindex(l); err != nil {
			return nil, err
		}
	}
	if err := p.listDeltas(ctx); err != nil {
		return nil, err
	}
	after, err := p.repo.loadCatalog(ctx, p.releases[:p.heads], strictly)
	if err != nil {
		return nil, err
	}
	result.After = len(after.packs)
	return result, nil
}

// listDeltas writes anew the lists of deltas that readers have, but for those that go.
func (p *repacking) listDeltas(ctx context.Context, going ...Edge) error {
	for _, l := range p.releases[:p.heads] {
		if err := p.repo.refreshMaps(ctx, l, going...); err != nil {
			return err
		}
	}
	return nil
}

// packUsage tells how much of a pack is of use, in bytes before compression.
type packUsage struct {
	size    int64 // stored
	frames  int64 // all frames that any release uses
	touched int64 // frames that the newest releases must fetch
	useful  int64 // contents of the newest releases in them
}

type packUsages []packUsage

// needed counts the packs that the newest releases use.
func (u packUsages) needed() (n int) {
	for _, p := range u {
		if p.touched > 0 {
			n++
		}
	}
	return n
}

// measure finds out what the newest releases use of each pack.
func (p *repacking) measure() (packUsages, error) {
	c := p.catalog
	usage := make(packUsages, len(c.packs))
	for i, pack := range c.packs {
		usage[i].size = pack.Size
	}
	for _, f := range c.frames {
		usage[f.Pack].frames += int64(f.Raw)
	}
	touched := make([]bool, len(c.frames))
	seen := map[digest.Digest]struct{}{}
	for _, l := range p.releases[:p.heads] {
		for e, err := range Contents(p.repo.Tree(l.Release.Tree.Info())) {
			if err != nil {
				return nil, err
			}
			if _, again := seen[e.Digest]; again {
				continue
			}
			seen[e.Digest] = struct{}{}
			at, _ := c.find(e.Digest)
			left := e.Size
			for n := at.Frame; n < at.Frame+(placedContent{at, e.Size}).frames(); n++ {
				f := c.frames[n]
				usage[f.Pack].useful += min(left, int64(f.Raw))
				left -= int64(f.Raw)
				if !touched[n] {
					touched[n] = true
					usage[f.Pack].touched += int64(f.Raw)
				}
			}
		}
	}
	return usage, nil
}

// fullPack is from where a pack is left alone by the roll-up: two such do not fit
// into one.
const fullPack = MaxPack / 2

// choosePacks says which packs to replace: of those that are not full, the
// smallest whose sizes are no geometric progression (each at least twice the sum
// of all smaller ones), and all that are half dead.
func choosePacks(usage packUsages) []bool {
	chosen := make([]bool, len(usage))
	var small []int
	for i, u := range usage {
		switch {
		case u.size == 0:
		case u.touched > 0 && 2*u.useful < u.touched:
			chosen[i] = true
		case u.size < fullPack:
			small = append(small, i)
		}
	}
	slices.SortFunc(small, func(a, b int) int { return int(usage[a].size - usage[b].size) })
	var sum int64
	roll := 0 // small[:roll] are rolled up
	for i, n := range small {
		if i > 0 && usage[n].size < 2*sum {
			roll = i + 1
		}
		sum += usage[n].size
	}
	for _, n := range small[:roll] {
		chosen[n] = true
	}
	return chosen
}

// rewrite puts all contents of the chosen packs into new ones.
func (p *repacking) rewrite(ctx context.Context) (int64, error) {
	c := p.catalog
	old, err := newContentReader(p.repo.dir, slices.Clone(c.packs), slices.Clone(c.frames))
	if err != nil {
		return 0, err
	}
	defer old.Close()
	packs := newPacker(ctx, p.repo.dir, c)
	if err := p.moveAll(old, packs); err != nil {
		packs.abort()
		return 0, err
	}
	if err := packs.close(); err != nil {
		return 0, err
	}
	return packs.Bytes, p.repo.syncFolder("packs")
}

func (p *repacking) moveAll(old *ContentReader, packs *packer) error {
	buf := make([]byte, LargeSize)
	for _, l := range p.releases {
		for e, err := range Contents(p.repo.Tree(l.Release.Tree.Info())) {
			if err != nil {
				return err
			}
			at, _ := p.catalog.find(e.Digest)
			if !p.leaves(old.frames, placedContent{at, e.Size}) {
				continue
			}
			if _, done := p.moved[e.Digest]; done {
				continue
			}
			to, err := move(old.Content(at, e.Size), e.Digest, e.Size, packs, buf)
			if err != nil {
				return fmt.Errorf("content %s of %s %s: %w", e.Digest.Short(), l.Release.Ref, l.Release.Version, err)
			}
			p.moved[e.Digest] = to
		}
		if err := packs.flush(); err != nil { // releases do not share frames
			return err
		}
	}
	return nil
}

// leaves tells whether any part of a content is in a pack that is replaced.
func (p *repacking) leaves(frames []Frame, at placedContent) bool {
	return slices.ContainsFunc(frames[at.Frame:at.Frame+at.frames()], func(f Frame) bool { return p.replaced[f.Pack] })
}

// move adds a content to packs, checked by its digest.
func move(r io.Reader, d digest.Digest, size int64, packs *packer, buf []byte) (Location, error) {
	if size >= LargeSize {
		return packs.addLarge(r, d, size)
	}
	if _, err := io.ReadFull(r, buf[:size]); err != nil {
		return Location{}, err
	}
	if have := digest.Of(buf[:size]); have != d {
		return Location{}, &digest.MismatchError{Want: d, Have: have, WantSize: size, HaveSize: size}
	}
	return packs.addSmall(buf[:size])
}

// retire writes down which packs are being replaced, before any index changes.
func (p *repacking) retire(now time.Time) error {
	list, err := p.repo.retired()
	if err != nil {
		return err
	}
	for n, chosen := range p.replaced {
		if chosen {
			list[PackName(p.catalog.packs[n].Digest)] = now.UTC().Truncate(time.Second)
		}
	}
	return p.repo.writeRetired(list)
}

// reindex writes the index of a release anew if any of its contents moved.
func (p *repacking) reindex(l Logged) error {
	var objects []placedContent
	changed := false
	for e, err := range Contents(p.repo.Tree(l.Release.Tree.Info())) {
		if err != nil {
			return err
		}
		at, _ := p.catalog.find(e.Digest)
		if to, moved := p.moved[e.Digest]; moved {
			at, changed = to, true
		}
		objects = append(objects, placedContent{at, e.Size})
	}
	if !changed {
		return nil
	}
	if err := p.repo.writeIndex(l.Digest, p.catalog.index(objects)); err != nil {
		return err
	}
	return p.repo.moveDeltas(l)
}

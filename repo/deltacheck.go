package repo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/release"
)

// CheckDelta makes everything that a delta leads to, out of the packs of the release
// that it starts from, and compares it with what the tree says. A delta from a
// release that the repository has not any more is looked at from outside alone.
// What is wrong with the delta matches ErrDelta or digest.ErrMismatch.
func (r *Repository) CheckDelta(ctx context.Context, to Logged, from digest.Digest) error {
	old := nothing()
	if !from.IsZero() {
		rel, err := r.Release(from)
		if errors.Is(err, fs.ErrNotExist) {
			_, err = r.edge(to.Digest, from)
			return err
		}
		if err == nil {
			old, err = r.sideOf(&Logged{from, rel})
		}
		if err != nil {
			return err
		}
	}
	new, err := r.sideOf(&to)
	if err != nil {
		return err
	}
	if _, err := r.edge(to.Digest, from); err != nil {
		return err
	}
	f, err := r.dir.Open(DeltaName(to.Digest, from))
	if err != nil {
		return err
	}
	defer f.Close()
	t := &trial{differ: differ{repo: r, from: old, to: new, fresh: new.lacking(old)}, file: bufio.NewReaderSize(f, 1<<20)}
	return t.run(ctx)
}

// trial is a delta being tried.
type trial struct {
	differ
	file  *bufio.Reader
	delta *Delta
	made  map[int32]bool
}

func (t *trial) run(ctx context.Context) (err error) {
	info := t.to.tree
	if t.delta, err = ReadDelta(t.file, MaxDeltaPlan(info.Files+t.from.tree.Files, info.Bytes)); err != nil {
		return err
	}
	if t.delta.Tree != info.Digest || t.delta.Size != info.Size {
		return fmt.Errorf("%w: it leads to another tree", ErrDelta)
	}
	if err := t.tree(ctx); err != nil {
		return err
	}
	old, err := t.repo.Reader(t.from.index)
	if err != nil {
		return err
	}
	defer old.Close()
	t.made = map[int32]bool{}
	for i := range t.delta.Groups {
		if err := t.group(ctx, old, &t.delta.Groups[i]); err != nil {
			return fmt.Errorf("the frame at %d: %w", t.delta.Groups[i].Offset, err)
		}
	}
	return t.places()
}

// tree makes the text of the tree.
func (t *trial) tree(ctx context.Context) error {
	var base *io.SectionReader
	if !t.from.empty() {
		text, err := t.repo.treeText(t.from.tree)
		if err != nil {
			return err
		}
		defer text.close()
		base = text.reader()
	}
	v := &verifier{contents: []LocatedContent{{Digest: t.delta.Tree, Size: t.delta.Size}}}
	if err := Unpack(ctx, v, base, io.LimitReader(t.file, t.delta.tree), t.delta.Size); err != nil {
		return err
	}
	return v.end()
}

// group makes the contents of a group.
func (t *trial) group(ctx context.Context, old *ContentReader, g *Group) error {
	if err := inRange(g.Bases, len(t.from.contents)); err != nil {
		return err
	}
	if sorted := slices.Sorted(slices.Values(g.Bases)); len(slices.Compact(sorted)) < len(g.Bases) {
		return fmt.Errorf("%w: a base is there twice", ErrDelta)
	}
	if err := inRange(g.News, len(t.to.contents)); err != nil {
		return err
	}
	for _, n := range g.News {
		if t.made[n] {
			return fmt.Errorf("%w: content %d is made twice", ErrDelta, n)
		}
		t.made[n] = true
	}
	j := t.job(g.Bases, g.News)
	base := &blob{dir: t.repo.dir}
	defer base.close()
	if err := load(ctx, base, old, pick(t.from.contents, g.Bases)); err != nil {
		return err
	}
	return t.verify(ctx, j, base, io.LimitReader(t.file, g.Length))
}

func inRange(numbers []int32, count int) error {
	for _, n := range numbers {
		if int(n) >= count {
			return fmt.Errorf("%w: content %d of %d", ErrDelta, n, count)
		}
	}
	return nil
}

// places compares what the delta says of packs with the index, if it is of the same
// packs: a delta may be older than the last repacking.
func (t *trial) places() error {
	ix := t.delta.Index
	if len(ix.Objects) != len(t.fresh) {
		return fmt.Errorf("%w: it places %d new contents of %d", ErrDelta, len(ix.Objects), len(t.fresh))
	}
	for i, n := range t.fresh {
		if _, _, err := ix.Span(ix.Objects[i], t.to.contents[n].Size); err != nil {
			return fmt.Errorf("%w: %v", ErrDelta, err)
		}
	}
	return nil
}

// moveDelta writes a delta anew whose contents were moved to other packs. What it
// makes stays as it is.
func (r *Repository) moveDelta(e Edge, old, new *side) error {
	f, err := r.dir.Open(DeltaName(e.To, e.From))
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	d, err := ReadDelta(in, MaxDeltaPlan(new.tree.Files+old.tree.Files, new.tree.Bytes))
	if err != nil {
		return err
	}
	d.Index = new.index.part(new.contents, new.lacking(old))
	head, err := d.encode()
	if err != nil {
		return err
	}
	out, err := temp(r.dir, deltasFolder)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := r.dir.Change("write", deltasFolder); err != nil {
		return err
	}
	if _, err = out.Write(head); err == nil {
		_, err = io.Copy(out, in)
	}
	if err != nil {
		return err
	}
	return r.nameDelta(&made{from: e.From, file: out}, e.To)
}

// moveDeltas has the deltas that lead to a release name the packs that its index
// names now. One whose other side is not there any more is left: its readers find
// out, and read the index.
func (r *Repository) moveDeltas(to Logged) error {
	edges, err := r.edgesTo(to.Digest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || len(edges) == 0 {
		return err
	}
	new, err := r.sideOf(&to)
	if err != nil {
		return err
	}
	for _, e := range edges {
		old := nothing()
		if !e.From.IsZero() {
			var rel *release.Release
			if rel, err = r.Release(e.From); err == nil {
				old, err = r.sideOf(&Logged{e.From, rel})
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = r.moveDelta(e, old, new)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

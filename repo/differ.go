package repo

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/larch-project/larch/delta"
	"github.com/larch-project/larch/digest"
)

// differ makes one delta.
type differ struct {
	repo     *Repository
	from, to *side
	budget   *budget
	fresh    []int32
	memory   *semaphore.Weighted
}

// job is a group that may be worth having.
type job struct {
	Group
	plain int64 // what the contents cost in packs, bytes
	raw   int64 // bytes of the larger side
	frame *blob // nil if it is not worth it
}

// made is a delta that has no name yet.
type made struct {
	from digest.Digest // release
	file *os.File
	edge Edge // but To
}

// makeDelta makes the delta between two sides in an unnamed file, as far as the
// budget lasts; nil if it does not last for anything. What leads to the new release
// was read through the index, and checked; so is what the delta makes.
func (r *Repository) makeDelta(ctx context.Context, from, to *side, b *budget) (*made, error) {
	d := &differ{repo: r, from: from, to: to, budget: b, memory: semaphore.NewWeighted(makeMemory)}
	d.fresh = to.lacking(from)
	if b.exhausted() {
		return nil, nil
	}
	jobs, err := d.groups(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, j := range jobs {
			j.frame.close()
		}
	}()
	text, err := d.treeFrame(ctx)
	if err != nil {
		return nil, err
	}
	defer text.close()
	return d.write(text, jobs)
}

// groups makes all groups that are worth it, in the order of the new tree.
func (d *differ) groups(ctx context.Context) ([]*job, error) {
	if d.from.empty() {
		jobs := d.streams()
		err := d.make(ctx, jobs)
		return kept(jobs), err
	}
	bases, err := d.match(ctx)
	if err != nil {
		return nil, err
	}
	jobs := d.based(bases)
	if err := d.make(ctx, jobs); err != nil {
		return jobs, err
	}
	var without []int32
	for _, n := range d.fresh {
		if _, has := bases[n]; !has {
			without = append(without, n)
		}
	}
	for _, j := range jobs {
		if j.frame == nil {
			without = append(without, j.News...)
		}
	}
	additions := d.additions(without)
	err = d.make(ctx, additions)
	all := kept(append(jobs, additions...))
	slices.SortFunc(all, func(a, b *job) int { return cmp.Compare(a.News[0], b.News[0]) })
	return all, err
}

func kept(jobs []*job) []*job {
	return slices.DeleteFunc(jobs, func(j *job) bool { return j.frame == nil })
}

// match finds the bases.
func (d *differ) match(ctx context.Context) (map[int32]int32, error) {
	old, new, err := d.readers()
	if err != nil {
		return nil, err
	}
	defer old.Close()
	defer new.Close()
	m := &matcher{old: &d.from.listing, new: &d.to.listing, fresh: d.fresh, gone: d.from.lacking(d.to), sketches: map[listed]sketch{}}
	m.sketch = func(l listed) (sketch, error) {
		reader, c := new, &d.to.contents
		if l.old {
			reader, c = old, &d.from.contents
		}
		b := &blob{dir: d.repo.dir}
		defer b.close()
		if err := load(ctx, b, reader, (*c)[l.number:l.number+1]); err != nil {
			return nil, err
		}
		data := b.data
		if b.file != nil {
			data = make([]byte, blobMemory) // its beginning stands for it
			if _, err := b.file.ReadAt(data, 0); err != nil {
				return nil, err
			}
		}
		return newSketch(data), nil
	}
	return m.match(ctx)
}

// readers opens the packs of both sides.
func (d *differ) readers() (old, new *ContentReader, err error) {
	if old, err = d.repo.Reader(d.from.index); err != nil {
		return nil, nil, err
	}
	if new, err = d.repo.Reader(d.to.index); err != nil {
		old.Close()
	}
	return old, new, err
}

// load reads contents one behind the other, each checked.
func load(ctx context.Context, b *blob, from *ContentReader, contents []LocatedContent) error {
	for _, c := range contents {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := io.Copy(b, digest.NewReader(from.Content(c.Location, c.Size), c.Digest, c.Size)); err != nil {
			return fmt.Errorf("content %s: %w", c.Digest.Short(), err)
		}
	}
	return nil
}

// make makes the frames of groups, those first that may save most, on all cores, as
// long as the budget lasts.
func (d *differ) make(ctx context.Context, jobs []*job) error {
	order := slices.Clone(jobs)
	slices.SortStableFunc(order, func(a, b *job) int { return cmp.Compare(b.plain, a.plain) })
	group, ctx := errgroup.WithContext(ctx)
	work := make(chan *job)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			old, new, err := d.readers()
			if err != nil {
				return err
			}
			defer old.Close()
			defer new.Close()
			for j := range work {
				if err := d.makeOne(ctx, j, old, new); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(work)
		for _, j := range order {
			if d.budget.exhausted() {
				return nil
			}
			select {
			case work <- j:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	return group.Wait()
}

// makeOne makes the frame of a group, and drops it if it is not worth it.
func (d *differ) makeOne(ctx context.Context, j *job, old, new *ContentReader) error {
	weight := min(j.memory(), makeMemory)
	if err := d.memory.Acquire(ctx, weight); err != nil {
		return err
	}
	defer d.memory.Release(weight)
	base, target, frame := &blob{dir: d.repo.dir}, &blob{dir: d.repo.dir}, &blob{dir: d.repo.dir}
	defer base.close()
	defer target.close()
	if err := load(ctx, base, old, pick(d.from.contents, j.Bases)); err != nil {
		return err
	}
	if err := load(ctx, target, new, pick(d.to.contents, j.News)); err != nil {
		return err
	}
	err := d.encode(ctx, j, base, target, frame)
	if err == nil && (len(j.Bases) > 0 && frame.size*100 > j.plain*worthPercent || frame.size == 0) {
		frame.close()
		return nil
	}
	if err == nil {
		err = d.selfCheck(ctx, j, base, frame)
	}
	if err != nil {
		frame.close()
		return err
	}
	j.frame, j.Length = frame, frame.size
	return nil
}

// memory is what making the group takes, in bytes.
func (j *job) memory() int64 {
	if len(j.Bases) == 0 {
		return 4*StreamWindow + min(j.raw, 2*blobMemory)
	}
	return 10*j.raw + 64<<20
}

func pick(contents []LocatedContent, numbers []int32) []LocatedContent {
	picked := make([]LocatedContent, len(numbers))
	for i, n := range numbers {
		picked[i] = contents[n]
	}
	return picked
}

func (d *differ) encode(ctx context.Context, j *job, base, target, frame *blob) error {
	if len(j.Bases) == 0 {
		return stream(frame, target)
	}
	return delta.Encode(ctx, frame, base.reader(), target.reader())
}

// selfCheck makes the group again: an encoder with a fault must not reach a
// repository.
func (d *differ) selfCheck(ctx context.Context, j *job, base, frame *blob) error {
	if err := d.verify(ctx, j, base, frame.reader()); err != nil {
		return fmt.Errorf("making a delta: it does not make what it should (%w); please report this", err)
	}
	return nil
}

// verify makes the contents of a group out of its frame, and checks them.
func (d *differ) verify(ctx context.Context, j *job, base *blob, frame io.Reader) error {
	v := &verifier{contents: pick(d.to.contents, j.News)}
	var size int64
	for _, c := range v.contents {
		size += c.Size
	}
	var from *io.SectionReader
	if len(j.Bases) > 0 {
		from = base.reader()
	}
	if err := Unpack(ctx, v, from, frame, size); err != nil {
		return err
	}
	return v.end()
}

// treeFrame makes the frame of the tree's text.
func (d *differ) treeFrame(ctx context.Context) (*blob, error) {
	frame := &blob{dir: d.repo.dir}
	text, err := d.repo.treeText(d.to.tree)
	if err != nil {
		return nil, err
	}
	defer text.close()
	if d.from.empty() {
		return frame, stream(frame, text)
	}
	old, err := d.repo.treeText(d.from.tree)
	if err != nil {
		return nil, err
	}
	defer old.close()
	return frame, delta.Encode(ctx, frame, old.reader(), text.reader())
}

// write puts plan and frames into an unnamed file.
func (d *differ) write(text *blob, jobs []*job) (*made, error) {
	plan := &Delta{Tree: d.to.tree.Digest, Size: d.to.tree.Size, tree: text.size, Index: d.to.index.part(d.to.contents, d.fresh)}
	frames := []*blob{text}
	for _, j := range jobs {
		plan.Groups = append(plan.Groups, j.Group)
		frames = append(frames, j.frame)
	}
	head, err := plan.encode()
	if err != nil {
		return nil, err
	}
	f, err := temp(d.repo.dir, deltasFolder)
	if err != nil {
		return nil, err
	}
	if err := d.repo.dir.Change("write", deltasFolder); err != nil {
		f.Close()
		return nil, err
	}
	parts := []io.Reader{bytes.NewReader(head)}
	for _, b := range frames {
		parts = append(parts, b.reader())
	}
	if _, err := io.Copy(f, io.MultiReader(parts...)); err != nil {
		f.Close()
		return nil, err
	}
	return &made{file: f, edge: Edge{Head: plan.Head, Size: plan.End()}}, nil
}

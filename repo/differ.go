package repo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"runtime"
	"slices"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/larch-project/larch/delta"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/sealed"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/tree"
)

// How contents are put into groups, in bytes before compression, and which groups
// are worth having; spec/5-repository.md §5.6.
const (
	// aloneSize is from where a content with a base is a group of its own.
	aloneSize = 1 << 20
	// groupSize and groupFiles close a group of smaller ones.
	groupSize  = 2 << 20
	groupFiles = 1024
	// addSize closes a group of contents without a base.
	addSize = 8 << 20
	// streamSize closes a group of a fresh install: what an interruption may lose.
	streamSize = 64 << 20
	// worthPercent is what a group may cost of the frames that it stands for.
	worthPercent = 80
	// addPercent and addFloor bound the contents without a base that travel in the
	// delta, of the frames of all that is new.
	addPercent = 25
	addFloor   = 64 << 10
	// makeMemory bounds what is used for making groups at once, bytes.
	makeMemory = 1400 << 20
)

// side is one of two releases between which a delta is made.
type side struct {
	listing
	index *Index
	tree  release.Tree
}

// side reads which contents a release has, and where.
func (r *Repository) side(ix *Index, t release.Tree) (*side, error) {
	s := &side{listing: listing{paths: map[tree.Path]int32{}}, index: ix, tree: t}
	numbers := map[digest.Digest]int32{}
	for e, err := range r.Tree(t.Info()) {
		if err != nil {
			return nil, err
		}
		if e.Kind != tree.Regular || e.Size <= tree.InlineMax {
			continue
		}
		n, known := numbers[e.Digest]
		if !known {
			n = int32(len(s.contents))
			if int(n) >= len(ix.Objects) {
				return nil, fmt.Errorf("%w: it has fewer contents than the tree", ErrIndex)
			}
			if _, _, err := ix.Span(ix.Objects[n], e.Size); err != nil {
				return nil, err
			}
			numbers[e.Digest] = n
			s.contents = append(s.contents, LocatedContent{e.Path, e.Digest, e.Size, ix.Objects[n]})
		}
		s.paths[e.Path] = n
	}
	return s, nil
}

// nothing is the side that a fresh install starts from.
func nothing() *side { return &side{index: &Index{}} }

func (s *side) empty() bool { return s.tree.Digest.IsZero() }

// lacking gives the numbers of the contents that other has not.
func (s *side) lacking(other *side) (list []int32) {
	has := make(map[digest.Digest]struct{}, len(other.contents))
	for _, c := range other.contents {
		has[c.Digest] = struct{}{}
	}
	for n, c := range s.contents {
		if _, common := has[c.Digest]; !common {
			list = append(list, int32(n))
		}
	}
	return list
}

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

// based puts contents that have a base into groups: large ones alone, small ones
// with their neighbours in the tree.
func (d *differ) based(bases map[int32]int32) (jobs []*job) {
	var open *job
	seen := map[int32]bool{} // bases of the open group
	var old, new int64
	for _, n := range d.fresh {
		base, has := bases[n]
		if !has {
			continue
		}
		a, b := d.from.contents[base].Size, d.to.contents[n].Size
		if max(a, b) >= aloneSize {
			jobs = append(jobs, d.job([]int32{base}, []int32{n}))
			continue
		}
		if open == nil || old+a > groupSize || new+b > groupSize || len(open.News) == groupFiles {
			open, old, new = &job{}, 0, 0
			jobs = append(jobs, open)
			clear(seen)
		}
		if !seen[base] {
			seen[base] = true
			open.Bases = append(open.Bases, base)
			old += a
		}
		open.News = append(open.News, n)
		new += b
	}
	for i, j := range jobs {
		jobs[i] = d.job(j.Bases, j.News)
	}
	return jobs
}

// job weighs a group.
func (d *differ) job(bases, news []int32) *job {
	j := &job{Group: Group{Bases: bases, News: news}}
	var old, new int64
	for _, n := range bases {
		old += d.from.contents[n].Size
	}
	for _, n := range news {
		new += d.to.contents[n].Size
		j.plain += d.to.index.Cost(d.to.contents[n].Location, d.to.contents[n].Size)
	}
	j.raw = max(old, new)
	return j
}

// Cost is what a content takes in packs, in bytes; of a frame that several share,
// its part.
func (ix *Index) Cost(at Location, size int64) (bytes int64) {
	for n, left := at.Frame, size; left > 0 && int(n) < len(ix.Frames); n++ {
		f := ix.Frames[n]
		part := min(left, int64(f.Raw))
		bytes += (int64(f.Length)*part + int64(f.Raw) - 1) / int64(f.Raw)
		left -= part
	}
	return bytes
}

// additions groups the small ones of the contents that come without a base: as many
// as may travel in the delta.
func (d *differ) additions(without []int32) []*job {
	var all int64
	for _, n := range d.fresh {
		all += d.to.index.Cost(d.to.contents[n].Location, d.to.contents[n].Size)
	}
	limit := max(all*addPercent/100, addFloor)
	cost := func(n int32) int64 { return d.to.index.Cost(d.to.contents[n].Location, d.to.contents[n].Size) }
	slices.SortFunc(without, func(a, b int32) int { return cmp.Or(cmp.Compare(cost(a), cost(b)), cmp.Compare(a, b)) })
	chosen := 0
	for sum := int64(0); chosen < len(without); chosen++ {
		if sum += cost(without[chosen]); sum > limit {
			break
		}
	}
	without = without[:chosen]
	slices.Sort(without)
	return d.cut(without, addSize)
}

// streams groups everything for a fresh install, like beside like.
func (d *differ) streams() []*job {
	all := slices.Clone(d.fresh)
	key := func(n int32) (string, tree.Path) {
		p := d.to.contents[n].Path
		return extension(p), p
	}
	slices.SortStableFunc(all, func(a, b int32) int {
		x, p := key(a)
		y, q := key(b)
		return cmp.Or(cmp.Compare(x, y), p.Compare(q))
	})
	return d.cut(all, streamSize)
}

// cut makes groups without bases of a list of contents.
func (d *differ) cut(list []int32, limit int64) (jobs []*job) {
	var size int64
	first := 0
	for i, n := range list {
		if s := d.to.contents[n].Size; i > first && size+s > limit {
			jobs = append(jobs, d.job(nil, list[first:i:i]))
			first, size = i, 0
		}
		size += d.to.contents[n].Size
	}
	if first < len(list) {
		jobs = append(jobs, d.job(nil, list[first:]))
	}
	return jobs
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

// stream compresses what needs no base. Its window, which readers have to make room
// for, is no larger than what there is.
func stream(w io.Writer, b *blob) error {
	window, level := 1<<max(bits.Len64(uint64(max(b.size, 1)-1)), 10), zstd.SpeedBestCompression
	if b.size < 64<<10 {
		level = zstd.SpeedBetterCompression // whose tables are a hundredth
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(level), zstd.WithWindowSize(min(window, StreamWindow)),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return err
	}
	_, err = io.Copy(z, b.reader())
	return errors.Join(err, z.Close())
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

// treeText gives the text of a tree.
func (r *Repository) treeText(t release.Tree) (*blob, error) {
	f, err := r.dir.Open(TreeName(t.Digest))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := sealed.NewReader(f, t.Size)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	b := &blob{dir: r.dir}
	if _, err := io.Copy(b, digest.NewReader(text, t.Digest, t.Size)); err != nil {
		b.close()
		return nil, fmt.Errorf("%s: %w", TreeName(t.Digest), err)
	}
	return b, nil
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

// part gives the index of some of the contents.
func (ix *Index) part(contents []LocatedContent, numbers []int32) *Index {
	c := &catalog{packs: ix.Packs, frames: ix.Frames}
	objects := make([]placedContent, len(numbers))
	for i, n := range numbers {
		objects[i] = placedContent{contents[n].Location, contents[n].Size}
	}
	return c.index(objects)
}

// extension gives what follows the last dot of a name, or nothing.
func extension(p tree.Path) string {
	name := p.Base()
	if i := bytes.LastIndexByte([]byte(name), '.'); i > 0 {
		return name[i:]
	}
	return ""
}

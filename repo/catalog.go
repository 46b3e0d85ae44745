package repo

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/tree"
)

// catalog knows where the contents of some releases are: the union of their
// indexes, by digest.
type catalog struct {
	mu      sync.Mutex // while a packer adds to packs and frames
	packs   []Pack
	frames  []Frame // Pack is a number in packs
	objects []placed

	packNumbers  map[digest.Digest]int32
	frameNumbers map[Frame]int32 // by all that an index says of it
}

// placed is a content and where it begins.
type placed struct {
	digest digest.Digest
	Location
}

// Contents gives the distinct contents of a tree above tree.InlineMax bytes, in
// the order in which they first appear: the order of an Index's Objects. Each is
// given as the entry in which it appears first.
func Contents(entries iter.Seq2[*tree.Entry, error]) iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		seen := map[digest.Digest]struct{}{}
		for e, err := range entries {
			if err != nil {
				yield(nil, err)
				return
			}
			if e.Kind != tree.Regular || e.Size <= tree.InlineMax {
				continue
			}
			if _, again := seen[e.Digest]; again {
				continue
			}
			seen[e.Digest] = struct{}{}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// loadCatalog reads the trees and indexes of these releases. What is wrong with one
// goes to skip, which may end it.
func (r *Repository) loadCatalog(ctx context.Context, releases []Logged, skip func(Logged, error) error) (*catalog, error) {
	c := &catalog{packNumbers: map[digest.Digest]int32{}, frameNumbers: map[Frame]int32{}}
	loaded := map[digest.Digest]bool{}
	for _, l := range releases {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if loaded[l.Release.Tree.Digest] {
			continue
		}
		before := len(c.objects)
		err := c.load(r, l)
		if err != nil {
			c.objects = c.objects[:before]
			if err := skip(l, err); err != nil {
				return nil, err
			}
		}
		loaded[l.Release.Tree.Digest] = err == nil
		c.sort()
	}
	return c, nil
}

// load adds the contents of one release.
func (c *catalog) load(r *Repository, l Logged) error {
	ix, err := r.Index(l.Digest, l.Release.Tree)
	if err != nil {
		return err
	}
	numbers := c.adopt(ix)
	for o, err := range r.Located(ix, l.Release.Tree) {
		if err == nil && !consecutive(numbers, placedContent{o.Location, o.Size}) {
			err = fmt.Errorf("%w: it shares a part of a large content with another", ErrIndex)
		}
		if err != nil {
			return fmt.Errorf("release %s: %w", l.Digest.Short(), err)
		}
		c.objects = append(c.objects, placed{o.Digest, Location{numbers[o.Frame], o.Offset}})
	}
	return nil
}

// strictly ends at the first release that cannot be read.
func strictly(l Logged, err error) error {
	return fmt.Errorf("%s %s: %w", l.Release.Ref, l.Release.Version, err)
}

// dropMissing forgets contents in packs that are not there, or not of their size.
func (c *catalog) dropMissing(r *Repository) {
	there := make([]bool, len(c.packs))
	for i, p := range c.packs {
		st, err := r.dir.Lstat(PackName(p.Digest))
		there[i] = err == nil && st.Size == p.Size
	}
	c.objects = slices.DeleteFunc(c.objects, func(o placed) bool { return !there[c.frames[o.Frame].Pack] })
}

// consecutive tells whether the frames of a content follow each other in the
// catalog as they do in their index.
func consecutive(numbers []int32, p placedContent) bool {
	for i := range p.frames() {
		if numbers[p.Frame+i] != numbers[p.Frame]+i {
			return false
		}
	}
	return true
}

// adopt gives the catalog's numbers of an index's frames.
func (c *catalog) adopt(ix *Index) []int32 {
	numbers := make([]int32, len(ix.Frames))
	for i, f := range ix.Frames {
		f.Pack = c.addPack(ix.Packs[f.Pack])
		n, known := c.frameNumbers[f]
		if !known {
			n = c.addFrame(f)
			c.frameNumbers[f] = n
		}
		numbers[i] = n
	}
	return numbers
}

func (c *catalog) addPack(p Pack) int32 {
	n, known := c.packNumbers[p.Digest]
	if !known {
		n = int32(len(c.packs))
		c.packs = append(c.packs, p)
		c.packNumbers[p.Digest] = n
	}
	return n
}

// reservePack takes a number for a pack whose digest is not known yet.
func (c *catalog) reservePack() int32 {
	c.packs = append(c.packs, Pack{})
	return int32(len(c.packs) - 1)
}

// namePack says what a reserved pack became.
func (c *catalog) namePack(n int32, p Pack) {
	c.packs[n] = p
	c.packNumbers[p.Digest] = n
}

func (c *catalog) addFrame(f Frame) int32 {
	c.frames = append(c.frames, f)
	return int32(len(c.frames) - 1)
}

func byDigest(a, b placed) int { return bytes.Compare(a.digest[:], b.digest[:]) }

// sort makes the objects searchable; of several places of one content, the first
// that was loaded stays.
func (c *catalog) sort() {
	slices.SortStableFunc(c.objects, byDigest)
	c.objects = slices.CompactFunc(c.objects, func(a, b placed) bool { return a.digest == b.digest })
}

// find tells where a content is.
func (c *catalog) find(d digest.Digest) (Location, bool) {
	i, found := slices.BinarySearchFunc(c.objects, placed{digest: d}, byDigest)
	if !found {
		return Location{}, false
	}
	return c.objects[i].Location, true
}

// index makes the index of a release whose contents are at these locations, with
// only the packs and frames that it needs, numbered as the contents meet them.
func (c *catalog) index(objects []placedContent) *Index {
	ix := &Index{Objects: make([]Location, len(objects))}
	frames := make([]int32, len(c.frames)) // number in ix.Frames, from 1
	packs := make([]int32, len(c.packs))   // number in ix.Packs, from 1
	for i, o := range objects {
		for n := o.Frame; n < o.Frame+o.frames(); n++ {
			if frames[n] > 0 {
				continue
			}
			f := c.frames[n]
			if packs[f.Pack] == 0 {
				ix.Packs = append(ix.Packs, c.packs[f.Pack])
				packs[f.Pack] = int32(len(ix.Packs))
			}
			f.Pack = packs[f.Pack] - 1
			ix.Frames = append(ix.Frames, f)
			frames[n] = int32(len(ix.Frames))
		}
		ix.Objects[i] = Location{frames[o.Frame] - 1, o.Offset}
	}
	return ix
}

// placedContent is where a content of a known size begins; the frames that it
// fills follow each other in the catalog.
type placedContent struct {
	Location
	size int64
}

// frames is how many frames the content touches.
func (p placedContent) frames() int32 {
	return max(1, int32((int64(p.Offset)+p.size+FrameSize-1)/FrameSize))
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

package fetch

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/store"
)

// pageSize is how many contents are kept in one piece of memory: enough that
// pages cost nothing, few enough that a small tree is small.
const pageSize = 1 << 11

// contents are the distinct contents of a tree above tree.InlineMax bytes,
// numbered from 0 in the order in which they first appear, as those of an index.
// One takes 41 bytes, and 5 to 11 more to be found by its digest; pages are never
// moved, so that growing costs no more. Marks of different contents may be
// changed concurrently.
type contents struct {
	pages []*page
	count int32
	slots []int32 // number+1 of a content, at its hash or behind; a power of two of them
	seed  maphash.Seed
}

type page struct {
	digests [pageSize]digest.Digest
	sizes   [pageSize]int64
	marks   [pageSize]mark
}

// mark says in which forms a content is wanted, in which it is here, and where
// it can come from.
type mark uint8

const (
	wantPlain mark = 1 << iota
	wantRun        // with the run bit
	havePlain
	haveRun
	seeded // a local file has it
	remote // what is on this machine turned out not to be right
	byRoad // deltas bring it

	wanted   = wantPlain | wantRun
	had      = havePlain | haveRun
	haveStep = 2 // bits from a wanted form to the same form that is here
)

func wantOf(executable bool) mark {
	if executable {
		return wantRun
	}
	return wantPlain
}

func haveOf(executable bool) mark { return wantOf(executable) << haveStep }

// lacks gives the forms that are wanted and not here.
func (m mark) lacks() mark { return m & wanted &^ (m >> haveStep) }

// byTwin: a form that is here can be copied to those that are not.
func (m mark) byTwin() bool { return m.lacks() != 0 && m&had != 0 && m&remote == 0 }

// bySeed: a local file can be copied.
func (m mark) bySeed() bool { return m.lacks() != 0 && m&(had|seeded) == seeded && m&remote == 0 }

// byNetwork: it has to be fetched.
func (m mark) byNetwork() bool { return m.lacks() != 0 && !m.byTwin() && !m.bySeed() }

// byPacks: it has to be fetched, and no delta brings it.
func (m mark) byPacks() bool { return m.byNetwork() && m&byRoad == 0 }

func newContents() *contents {
	return &contents{seed: maphash.MakeSeed(), slots: make([]int32, 1<<10)}
}

func (c *contents) digest(n int32) digest.Digest { return c.pages[n/pageSize].digests[n%pageSize] }

func (c *contents) size(n int32) int64 { return c.pages[n/pageSize].sizes[n%pageSize] }

// mark gives access to the mark of a content.
func (c *contents) mark(n int32) *mark { return &c.pages[n/pageSize].marks[n%pageSize] }

func (c *contents) object(n int32, executable bool) store.Object {
	return store.Object{Digest: c.digest(n), Size: c.size(n), Executable: executable}
}

// lacking gives the objects of a content that are wanted and not here.
func (c *contents) lacking(n int32) []store.Object {
	var list []store.Object
	for _, executable := range []bool{false, true} {
		if c.mark(n).lacks()&wantOf(executable) != 0 {
			list = append(list, c.object(n, executable))
		}
	}
	return list
}

var errTwoSizes = errors.New("one content with two sizes")

// add gives the number of a content, a new one if it is new.
func (c *contents) add(d digest.Digest, size int64) (int32, error) {
	at, n := c.locate(d)
	if n >= 0 {
		if c.size(n) != size {
			return 0, fmt.Errorf("content %s: %w", d.Short(), errTwoSizes)
		}
		return n, nil
	}
	if c.count == math.MaxInt32 {
		return 0, errors.New("too many contents")
	}
	n = c.count
	if n%pageSize == 0 {
		c.pages = append(c.pages, new(page))
	}
	c.count++
	p := c.pages[n/pageSize]
	p.digests[n%pageSize], p.sizes[n%pageSize] = d, size
	c.slots[at] = n + 1
	if int(c.count) > len(c.slots)/4*3 {
		c.grow()
	}
	return n, nil
}

// find gives the number of a content, or -1.
func (c *contents) find(d digest.Digest) int32 {
	_, n := c.locate(d)
	return n
}

// locate gives the slot of a content and its number, or the slot that it would
// have and -1. Digests in a tree can be made up, so the hash is a keyed one.
func (c *contents) locate(d digest.Digest) (slot int, number int32) {
	last := len(c.slots) - 1
	for i := int(maphash.Bytes(c.seed, d[:])) & last; ; i = (i + 1) & last {
		n := c.slots[i] - 1
		if n < 0 || c.digest(n) == d {
			return i, n
		}
	}
}

func (c *contents) grow() {
	c.slots = make([]int32, 2*len(c.slots))
	for n := range c.count {
		at, _ := c.locate(c.digest(n))
		c.slots[at] = n + 1
	}
}

package content

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/larch-project/larch/repo"
)

// grouped is a release whose large file comes by a group of the delta, made from that
// of the first release; change may change the delta.
func (w *world) grouped(t *testing.T, change func(*rawDelta)) *lie {
	t.Helper()
	old := []byte(program("1")["files/share/large"])
	new := bytes.Clone(old)
	copy(new[500_000:], "a change in the middle")
	new = append(new, "and at the end"...)
	w.p.keep(new)
	text := application(file("/files/large", string(new)))
	from := int64(-1)
	for i, data := range w.p.contentsOf(w.p.old) {
		if bytes.Equal(data, old) {
			from = int64(i)
		}
	}
	if from < 0 {
		t.Fatal("the base is not there")
	}
	return &lie{text: text, delta: func(d *rawDelta) {
		d.groups = []rawGroup{{bases: []int64{from}, news: []int64{0}, frame: patch(t, old, new)}}
		if change != nil {
			change(d)
		}
	}}
}

// TestDeltas is about deltas: none that is wrong does more than cost bytes.
func TestDeltas(t *testing.T) {
	old, next := []byte(program("1")["files/share/large"]), []byte(program("2")["files/share/large"])
	group := func(change func(*rawGroup)) func(*rawDelta) {
		return func(d *rawDelta) { change(&d.groups[0]) }
	}
	t.Run("G-01 a delta for another base", func(t *testing.T) {
		w := newWorld(t)
		w.accept(t, "the right one", w.grouped(t, nil), byDelta)
		if len(w.notes) > 0 {
			t.Errorf("the right one: %q", w.notes)
		}
		w.falls(t, "a patch of another content", w.grouped(t, group(func(g *rawGroup) { g.frame = patch(t, []byte(noise(77, len(old))), next) })))
		w.falls(t, "another base", w.grouped(t, group(func(g *rawGroup) { g.bases[0]++ })))
		w.falls(t, "a tree made from another", w.grouped(t, func(d *rawDelta) { d.frame = patch(t, []byte("another text\n"), []byte("and its change\n")) }))
		w.heal(t)
	})
	t.Run("G-02 copies from where nothing is", func(t *testing.T) {
		w := newWorld(t)
		for what, bases := range map[string][]int64{"none of the tree": {99}, "2^31": {1 << 31}, "the largest": {1<<31 - 2}, "negative": {-1}, "twice the same": {1, 1}} {
			w.falls(t, "base "+what, w.grouped(t, group(func(g *rawGroup) { g.bases = bases })))
		}
		for n := range 24 {
			w.either(t, fmt.Sprintf("patch byte %d/24", n), w.grouped(t, group(func(g *rawGroup) {
				g.frame = bytes.Clone(g.frame)
				g.frame[n*len(g.frame)/24] ^= 0xff
			})), nil, byDelta)
		}
		w.heal(t)
	})
	t.Run("G-03 sizes behind what 32 bits hold", func(t *testing.T) {
		w := newWorld(t)
		for _, size := range []int64{1<<31 - 1, 1 << 31, 1<<32 - 1, 1<<32 + 1, 1<<50 - 1, 1<<62 + 1} {
			w.falls(t, fmt.Sprintf("a tree of %d", size), w.grouped(t, func(d *rawDelta) { d.size = size }))
			w.falls(t, fmt.Sprintf("its frame of %d", size), w.grouped(t, func(d *rawDelta) { d.length = size }))
			w.falls(t, fmt.Sprintf("a group of %d", size), w.grouped(t, func(d *rawDelta) { d.groups[0].length = size }))
			w.falls(t, fmt.Sprintf("base %d", size), w.grouped(t, func(d *rawDelta) { d.groups[0].bases[0] = size }))
		}
		w.heal(t)
	})
	t.Run("G-04 more or less than declared", func(t *testing.T) {
		w := newWorld(t)
		for what, frame := range map[string][]byte{
			"more": patch(t, old, append(bytes.Clone(old), noise(5, 100_000)...)), "a byte more": patch(t, old, append(bytes.Clone(old), 0)), "less": patch(t, old, old[:1000]), "nothing": patch(t, old, nil),
			"cut": patch(t, old, next)[:20], "garbage behind": append(patch(t, old, old), "garbage"...), "no patch": []byte("nonsense"), "one byte": {0},
		} {
			w.falls(t, what, w.grouped(t, group(func(g *rawGroup) { g.frame = frame })))
		}
		w.falls(t, "an empty group", w.grouped(t, group(func(g *rawGroup) { g.news = nil })))
		w.falls(t, "a frame of no bytes", w.grouped(t, func(d *rawDelta) { d.groups[0].frame = nil }))
		w.heal(t)
	})
	t.Run("G-05 a little that takes long", func(t *testing.T) {
		w := newWorld(t)
		w.falls(t, "one base a million times", w.grouped(t, group(func(g *rawGroup) { g.bases = make([]int64, 1<<20) })))
		twice := w.grouped(t, nil)
		made := w.p.contentsOf(twice.text)[0]
		twice = w.grouped(t, group(func(g *rawGroup) {
			g.bases = append(g.bases, g.bases...)
			g.frame = patch(t, append(bytes.Clone(old), old...), made)
		}))
		w.falls(t, "one base twice, and a patch that is made for that", twice)
		told := w.p.tell(t, twice, byDelta)
		to := repo.Logged{Digest: told.release, Release: w.p.document(t, told.release)}
		if err := w.p.repo.CheckDelta(t.Context(), to, w.p.first.Release); !errors.Is(err, repo.ErrDelta) {
			t.Errorf("the publisher's check says %v", err)
		}
		w.p.sign(t, w.p.first.Signature)
		w.falls(t, "one content a million times", w.grouped(t, group(func(g *rawGroup) { g.news = make([]int64, 1<<20) })))
		w.falls(t, "a million groups", w.grouped(t, func(d *rawDelta) {
			for len(d.groups) < 1<<20 {
				d.groups = append(d.groups, rawGroup{news: []int64{0}, frame: []byte{0}})
			}
		}))
		w.heal(t)
	})
	t.Run("G-08 other bytes of the right length", func(t *testing.T) {
		w := newWorld(t)
		l := w.grouped(t, nil)
		made := w.p.contentsOf(l.text)[0]
		other := bytes.Clone(made)
		other[len(other)/2] ^= 1
		w.falls(t, "a bit", w.grouped(t, group(func(g *rawGroup) { g.frame = patch(t, old, other) })))
		w.falls(t, "all", w.grouped(t, group(func(g *rawGroup) { g.frame = patch(t, old, []byte(noise(78, len(made)))) })))
		w.falls(t, "another tree", w.grouped(t, func(d *rawDelta) {
			d.frame = patch(t, w.p.old, bytes.Replace(l.text, []byte("large"), []byte("LARGE"), 1))
		}))
		w.heal(t)
	})
	t.Run("G-09 contents that the release does not have", func(t *testing.T) {
		w := newWorld(t)
		for what, news := range map[string][]int64{"one too many": {0, 1}, "another": {7}, "twice": {0, 0}, "negative": {-1}, "huge": {1<<31 - 2}} {
			w.falls(t, what, w.grouped(t, group(func(g *rawGroup) { g.news = news })))
		}
		w.falls(t, "a second group of the same", w.grouped(t, func(d *rawDelta) { d.groups = append(d.groups, d.groups[0]) }))
		w.falls(t, "places of none", w.grouped(t, func(d *rawDelta) { d.index = &repo.Index{} }))
		w.falls(t, "places of too many", w.grouped(t, func(d *rawDelta) {
			ix := *d.index
			ix.Objects = append(ix.Objects, ix.Objects[0])
			d.index = &ix
		}))
		w.heal(t)
	})
	t.Run("G-10 a base that has changed on the disk", func(t *testing.T) {
		w := newWorld(t)
		path := w.object(t, old)
		data := bytes.Clone(old)
		data[700_000] ^= 1
		before, err := os.Stat(path)
		if err == nil {
			err = firstOf(os.Chmod(path, 0o644), os.WriteFile(path, data, 0o644), os.Chmod(path, 0o444), os.Chtimes(path, before.ModTime(), before.ModTime()))
		}
		if err != nil {
			t.Fatal(err)
		}
		w.p.tell(t, w.grouped(t, nil), byDelta)
		if err := w.m.update(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(w.m.notes) == 0 {
			t.Error("nothing was noted")
		}
		w.m.mend(t)
		w.back(t)
		w.heal(t)
	})
	t.Run("G-11 a delta that is larger than the list said", func(t *testing.T) {
		w := newWorld(t)
		more := func(d *rawDelta) {
			d.file = func(b []byte) []byte { return append(b, make([]byte, 10*len(b))...) }
			d.declared = func(e *repo.Edge) { e.Size /= 11 }
		}
		w.falls(t, "ten times", w.grouped(t, more))
		w.falls(t, "shorter than its plan", w.grouped(t, func(d *rawDelta) { d.file = func(b []byte) []byte { return b[:len(b)/2] } }))
		w.falls(t, "empty", w.grouped(t, func(d *rawDelta) { d.file = func(b []byte) []byte { return nil } }))
		w.heal(t)
	})
}

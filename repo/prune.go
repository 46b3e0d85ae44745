package repo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/durable"
	"github.com/larch-project/larch/internal/escape"
	"github.com/larch-project/larch/internal/lock"
	"github.com/larch-project/larch/internal/sealed"
	"github.com/larch-project/larch/trust"
)

// RetiredFor is how long a pack stays after Repack has replaced it, for readers
// that still go by the index of before.
const RetiredFor = 24 * time.Hour

// headGrace is how long metadata stays that newer metadata replaced, for readers
// that go by the head of a moment ago.
const headGrace = time.Hour

// MaxRetired bounds the list of retired packs, in bytes.
const MaxRetired = 16 << 20

// Pruned says what Prune removed, or would remove.
type Pruned struct {
	Files    []string // relative names, sorted
	Bytes    int64
	Releases int // of those, release documents
}

// Prune removes what no release needs that the head names or that is among the
// newest keep of its line (0 keeps all), and what interrupted publishers left.
// What stays is read first, and checked; if anything of it is wrong, nothing is
// removed. Packs that Repack replaced stay for RetiredFor, replaced metadata for an
// minutes. With dry it removes nothing. It
// waits for publishers to end; readers of releases that stay are not disturbed.
func (r *Repository) Prune(ctx context.Context, keep int, now time.Time, dry bool) (*Pruned, error) {
	held, err := r.hold(ctx, lock.Exclusive)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	head, err := trust.Open(r.dir, nil)
	if err != nil {
		return nil, err
	}
	needed, err := r.needed(ctx, head, keep)
	if err != nil {
		return nil, err
	}
	retired, err := r.retired()
	if err != nil {
		return nil, err
	}
	for name, since := range retired {
		if now.Sub(since) < RetiredFor {
			needed[name] = true
		}
	}
	pruned, err := r.unneeded(ctx, head, needed, now)
	if err != nil || dry {
		return pruned, err
	}
	if _, err := head.Prune(ctx, now.Add(-headGrace)); err != nil {
		return nil, err
	}
	if err := r.forget(ctx, head, pruned.Files); err != nil {
		return nil, err
	}
	return pruned, r.remove(pruned.Files, retired)
}

// remove deletes files, what names others before what it names: a release that is
// there at all is whole, however far this came.
func (r *Repository) remove(files []string, retired map[string]time.Time) error {
	order := []string{"releases/", "deltas/", "index/", "trees/", "packs/", ""}
	rank := func(name string) int {
		return slices.IndexFunc(order, func(folder string) bool { return strings.HasPrefix(name, folder) })
	}
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b string) int { return rank(a) - rank(b) })
	left := len(retired)
	for _, name := range files {
		if strings.HasPrefix(name, "trust/") {
			continue // removed by package trust, under its own lock
		}
		if err := r.dir.RemoveAll(name); err != nil {
			return err
		}
		delete(retired, name)
	}
	if len(retired) < left {
		if err := r.writeRetired(retired); err != nil {
			return err
		}
	}
	return r.removeEmpty()
}

// removeEmpty removes the folders of deltas that have nothing in them, be it that
// an interruption left them.
func (r *Repository) removeEmpty() error {
	for _, folder := range r.deltaFolders() {
		left, err := r.dir.ReadDir(folder)
		if err == nil && len(left) == 0 {
			err = r.dir.RemoveAll(folder)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// forget takes the deltas that will go, and those that have gone, from the lists that
// readers have.
func (r *Repository) forget(ctx context.Context, head *trust.Repository, files []string) error {
	edges, err := r.Edges()
	if err != nil {
		return err
	}
	edges = slices.DeleteFunc(edges, func(e Edge) bool { return slices.Contains(files, DeltaName(e.To, e.From)) })
	for _, target := range head.Targets() {
		if err := r.refreshMap(ctx, target.Custom.Release, edges); err != nil {
			return err
		}
	}
	return nil
}

// needed gives the names of all files that stay.
func (r *Repository) needed(ctx context.Context, head *trust.Repository, keep int) (map[string]bool, error) {
	read := map[Place]struct{}{}
	needed := map[string]bool{FormatName: true, RetiredName: true, lockName: true}
	for ref, target := range head.Targets() {
		log, err := r.Log(ctx, target.Custom.Release, keep)
		if err != nil {
			return nil, fmt.Errorf("reading the releases of %s: %w", ref, err)
		}
		for i, l := range log {
			if err := r.need(ctx, l, needed, read); err != nil {
				return nil, err
			}
			if err := r.needDeltas(l.Digest, i == 0, needed); err != nil {
				return nil, err
			}
		}
	}
	return needed, nil
}

func (r *Repository) need(ctx context.Context, l Logged, needed map[string]bool, read map[Place]struct{}) error {
	needed[ReleaseName(l.Digest)] = true
	needed[TreeName(l.Release.Tree.Digest)] = true
	needed[SpansName(l.Release.Tree.Digest)] = true
	needed[IndexName(l.Digest)] = true
	ix, err := r.Index(l.Digest, l.Release.Tree)
	if err != nil {
		return err
	}
	if err := r.readAll(ctx, l, ix, read); err != nil {
		return fmt.Errorf("%s %s is not whole, so nothing is removed: larch check says more: %w", l.Release.Ref, l.Release.Version, err)
	}
	for _, p := range ix.Packs {
		needed[PackName(p.Digest)] = true
	}
	return nil
}

// needDeltas keeps what leads to a release that stays, from releases that go too:
// machines may have them. The stream from nothing and the list are for the newest.
func (r *Repository) needDeltas(to digest.Digest, newest bool, needed map[string]bool) error {
	edges, err := r.edgesTo(to)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	pinned := r.pinned(to)
	for _, e := range edges {
		if !e.From.IsZero() || newest || pinned {
			needed[DeltaName(to, e.From)] = true
		}
	}
	needed[pinName(to)] = needed[pinName(to)] || pinned
	needed[DeltaMapName(to)] = needed[DeltaMapName(to)] || newest
	return nil
}

// readAll reads the contents of a release through its index, which nobody has
// signed: what it does not name is about to be removed. read are those that were
// read before.
func (r *Repository) readAll(ctx context.Context, l Logged, ix *Index, read map[Place]struct{}) error {
	reader, err := r.Reader(ix)
	if err != nil {
		return err
	}
	defer reader.Close()
	for o, err := range r.Located(ix, l.Release.Tree) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		place := ix.Place(o)
		if _, done := read[place]; done {
			continue
		}
		if err := digest.Verify(reader.Content(o.Location, o.Size), o.Digest, o.Size); err != nil {
			return err
		}
		read[place] = struct{}{}
	}
	return nil
}

func (r *Repository) unneeded(ctx context.Context, head *trust.Repository, needed map[string]bool, now time.Time) (*Pruned, error) {
	pruned := &Pruned{}
	signed, err := head.Unreferenced(ctx, now.Add(-headGrace))
	if err != nil {
		return nil, err
	}
	for _, name := range signed {
		if err := r.judge(name, needed, pruned); err != nil {
			return nil, err
		}
	}
	for _, folder := range append([]string{"."}, append(folders, r.deltaFolders()...)...) {
		names, err := r.dir.ReadDir(folder)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if folder != "." {
				name = folder + "/" + name
			}
			if err := r.judge(name, needed, pruned); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(pruned.Files)
	return pruned, nil
}

// deltaFolders lists the folders that have deltas.
func (r *Repository) deltaFolders() (list []string) {
	names, err := r.dir.ReadDir(deltasFolder)
	if err != nil {
		return nil
	}
	for _, name := range names {
		list = append(list, deltasFolder+"/"+name)
	}
	return list
}

// judge adds a file to pruned unless it is needed. At the top only what durable
// writing may have left is ours to remove.
func (r *Repository) judge(name string, needed map[string]bool, pruned *Pruned) error {
	st, err := r.dir.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	top := !strings.Contains(name, "/")
	if err != nil || needed[name] || (top && !strings.HasPrefix(name, ".new-")) {
		return err
	}
	pruned.Files = append(pruned.Files, name)
	pruned.Bytes += st.Size
	if strings.HasPrefix(name, "releases/") {
		pruned.Releases++
	}
	return nil
}

// retired reads which packs were replaced, and when.
func (r *Repository) retired() (map[string]time.Time, error) {
	data, err := r.dir.ReadFile(RetiredName, MaxRetired)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]time.Time{}, nil
	}
	if err != nil {
		return nil, err
	}
	return ParseRetired(data)
}

// ParseRetired reads a retired.json: the names of packs with the time from which
// no index names them.
func ParseRetired(data []byte) (map[string]time.Time, error) {
	list := map[string]time.Time{}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("%s: %s", RetiredName, escape.Short(err.Error(), 300))
	}
	again, err := encodeRetired(list)
	if err != nil || !bytes.Equal(again, data) {
		return nil, fmt.Errorf("%s: not in canonical form", RetiredName)
	}
	for name := range list {
		hex, ok := strings.CutPrefix(name, "packs/")
		d, err := digest.Parse(strings.TrimSuffix(hex, ".pack"))
		if !ok || err != nil || name != PackName(d) {
			return nil, fmt.Errorf("%s: %.80q is not a pack", RetiredName, name)
		}
	}
	return list, nil
}

func encodeRetired(list map[string]time.Time) ([]byte, error) {
	data, err := json.Marshal(list) // keys sorted
	return append(data, '\n'), err
}

func (r *Repository) writeRetired(list map[string]time.Time) error {
	data, err := encodeRetired(list)
	if err != nil {
		return err
	}
	return durable.WriteFile(r.dir, RetiredName, data, 0o644)
}

// writeIndex publishes the index of a release, in place of one that is there.
func (r *Repository) writeIndex(d digest.Digest, ix *Index) error {
	var b bytes.Buffer
	w, err := sealed.NewWriter(&b)
	if err != nil {
		return err
	}
	if err := errors.Join(ix.Encode(w), w.Close()); err != nil {
		return err
	}
	return durable.WriteFile(r.dir, IndexName(d), b.Bytes(), 0o644)
}

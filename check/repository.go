package check

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/tree"
	"github.com/larch-project/larch/trust"
)

// Repository reads all of a repository and reports everything that is wrong with
// it: each file against its name or its signatures, each release down to the last
// byte of its contents. Memory: tens of bytes for each distinct content. An error
// means that the check itself could not go on.
func Repository(ctx context.Context, r *repo.Repository, now time.Time, report func(Finding)) error {
	c := &repositoryCheck{repo: r, report: report, checked: map[repo.Place]struct{}{}, packs: map[digest.Digest]*packUse{}, trees: map[digest.Digest]bool{}, wrong: map[digest.Digest]bool{}, uses: map[digest.Digest][]repo.Pack{}}
	c.format()
	signed, err := trust.Check(ctx, r.Dir(), now)
	if err != nil {
		return err
	}
	for _, f := range signed {
		report(Finding{Where: f.File, Problem: f.Problem, Affects: f.Affects, Fix: f.Fix})
	}
	head, err := trust.Open(r.Dir(), nil)
	if err != nil {
		return nil // and trust.Check has said why
	}
	for _, ref := range slices.Sorted(maps.Keys(head.Targets())) {
		if err := c.line(ctx, head.Targets()[ref]); err != nil {
			return err
		}
	}
	if err := c.readPacks(ctx); err != nil {
		return err
	}
	for _, to := range c.log {
		if err := c.deltas(ctx, to); err != nil {
			return err
		}
	}
	return nil
}

type repositoryCheck struct {
	repo    *repo.Repository
	report  func(Finding)
	checked map[repo.Place]struct{}
	packs   map[digest.Digest]*packUse
	trees   map[digest.Digest]bool // whether a tree was right
	log     []repo.Logged          // releases whose documents are right
	uses    map[digest.Digest][]repo.Pack
	wrong   map[digest.Digest]bool // releases and packs of which something was found
}

// packUse is a pack that releases need.
type packUse struct {
	size    int64
	affects []string
}

func (c *repositoryCheck) find(where string, affects []string, fix string, err error) {
	problem := err.Error()
	if errors.Is(err, fs.ErrNotExist) {
		problem = "is missing"
	}
	c.report(Finding{Where: where, Problem: problem, Affects: affects, Fix: fix})
}

const (
	fixRestore = "restore the file from a mirror or a backup; or remove it, and publish the release's folder again as a new version"
	fixIndex   = "restore the file from a mirror or a backup; or remove it, and publish the release's folder again as a new version"
)

func (c *repositoryCheck) format() {
	data, err := c.repo.Dir().ReadFile(repo.FormatName, 4096)
	if err == nil {
		err = repo.ParseFormat(data)
	}
	if err != nil {
		c.find(repo.FormatName, nil, "restore the file: it is the same in every repository of this format", err)
	}
	data, err = c.repo.Dir().ReadFile(repo.RetiredName, repo.MaxRetired)
	if err == nil {
		_, err = repo.ParseRetired(data)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.find(repo.RetiredName, nil, "remove the file: packs that were replaced go a day earlier then", err)
	}
}

// line checks the releases of one ref, from the newest on.
func (c *repositoryCheck) line(ctx context.Context, target trust.Target) error {
	c.deltaMap(target.Custom.Release)
	for d, newest := target.Custom.Release, true; ; newest = false {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		affects := []string{target.Name}
		data, err := c.repo.Dir().ReadFile(repo.ReleaseName(d), release.MaxSize)
		if errors.Is(err, fs.ErrNotExist) && !newest {
			return nil // pruned
		}
		if err == nil {
			err = named(data, d, target, newest)
		}
		var rel *release.Release
		if err == nil {
			rel, err = release.Decode(data)
		}
		if err == nil && rel.Ref.String() != target.Name {
			err = fmt.Errorf("is a release of %s", rel.Ref)
		}
		if err != nil {
			c.find(repo.ReleaseName(d), affects, fixRestore, err)
			c.wrong[d] = true
			return nil
		}
		if err := c.release(ctx, d, rel); err != nil {
			return err
		}
		c.log = append(c.log, repo.Logged{Digest: d, Release: rel})
		if len(rel.Previous) == 0 {
			return nil
		}
		d = rel.Previous[0].Release
	}
}

// named checks a release document against its name and, for the newest, against
// what the head says.
func named(data []byte, d digest.Digest, target trust.Target, newest bool) error {
	if have := digest.Of(data); have != d {
		return &digest.MismatchError{Want: d, Have: have, WantSize: int64(len(data)), HaveSize: int64(len(data))}
	}
	if newest && (int64(len(data)) != target.Length || sha256.Sum256(data) != target.SHA256) {
		return errors.New("is not the document that the signed head names")
	}
	return nil
}

// release checks tree, index and contents of one release.
func (c *repositoryCheck) release(ctx context.Context, d digest.Digest, rel *release.Release) error {
	affects := []string{rel.Ref.String() + "@" + rel.Version}
	whole, known := c.trees[rel.Tree.Digest]
	if !known {
		err := c.tree(rel)
		if err != nil {
			c.find(repo.TreeName(rel.Tree.Digest), affects, fixRestore, err)
		}
		whole = err == nil
		c.trees[rel.Tree.Digest] = whole
		if whole {
			c.spans(rel, affects)
		}
	}
	c.wrong[d] = !whole
	ix, err := c.repo.Index(d, rel.Tree)
	if err != nil {
		c.find(repo.IndexName(d), affects, fixIndex, err)
		c.wrong[d] = true
		return nil
	}
	c.uses[d] = ix.Packs
	for _, p := range ix.Packs {
		use := c.packs[p.Digest]
		if use != nil && use.size != p.Size {
			c.find(repo.IndexName(d), affects, fixIndex, fmt.Errorf("says that %s has %d bytes, and another index %d", repo.PackName(p.Digest), p.Size, use.size))
		}
		if use == nil {
			use = &packUse{size: p.Size}
			c.packs[p.Digest] = use
		}
		use.affects = append(use.affects, affects...)
	}
	if !whole {
		return nil
	}
	return c.contents(ctx, d, rel, ix, affects)
}

// spans checks what is published for programs that start before they are whole.
func (c *repositoryCheck) spans(rel *release.Release, affects []string) {
	info := rel.Tree.Info()
	if err := c.repo.CheckSpans(info, c.repo.Tree(info)); err != nil {
		c.find(repo.SpansName(info.Digest), affects, "remove the file: machines then fetch large files whole", err)
	}
}

// tree checks the text of a tree against all that its release says of it.
func (c *repositoryCheck) tree(rel *release.Release) error {
	rules := tree.ApplicationRules()
	if rel.Ref.Kind == release.OS {
		rules = tree.OSRules()
	}
	rules.KeepTimes = true
	var metadata digest.Digest
	image, err := tree.ImageDigest(c.repo.Tree(rel.Tree.Info()))
	if err == nil && image != rel.Image {
		err = fmt.Errorf("its composefs image has the digest %s, not the one that its release states", image.Short())
	}
	if err != nil {
		return err
	}
	for e, err := range c.repo.Tree(rel.Tree.Info()) {
		if err == nil {
			err = rules.Check(e)
		}
		if err != nil {
			return err
		}
		if e.Path == "/metadata" {
			metadata = e.Digest
		}
	}
	if rel.Metadata != "" && digest.Of([]byte(rel.Metadata)) != metadata {
		return errors.New("its /metadata is not the one that its release shows")
	}
	return nil
}

// contents reads every content of a release that was not read before.
func (c *repositoryCheck) contents(ctx context.Context, d digest.Digest, rel *release.Release, ix *repo.Index, affects []string) error {
	reader, err := c.repo.Reader(ix)
	if err != nil {
		return err
	}
	defer reader.Close()
	missing := c.missing(ix)
	for o, err := range c.repo.Located(ix, rel.Tree) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			c.find(repo.IndexName(d), affects, fixIndex, err)
			c.wrong[d] = true
			return nil
		}
		frame := ix.Frames[o.Frame]
		pack := ix.Packs[frame.Pack]
		place := ix.Place(o)
		// Of several frames only the first is in the place: read them for each index.
		if _, done := c.checked[place]; done && o.Size <= repo.FrameSize || missing[frame.Pack] {
			continue
		}
		c.checked[place] = struct{}{}
		if err := digest.Verify(reader.Content(o.Location, o.Size), o.Digest, o.Size); err != nil {
			c.find(repo.PackName(pack.Digest), affects, fixRestore, fmt.Errorf("content %s at %d: %w", o.Digest.Short(), frame.Offset, err))
		}
	}
	return nil
}

// missing tells which packs of an index are not there; readPacks reports them.
func (c *repositoryCheck) missing(ix *repo.Index) []bool {
	missing := make([]bool, len(ix.Packs))
	for i, p := range ix.Packs {
		st, err := c.repo.Dir().Lstat(repo.PackName(p.Digest))
		missing[i] = err != nil || st.Size != p.Size
	}
	return missing
}

// readPacks checks each pack that a release needs against its name, so that no
// byte is left out, between frames neither.
func (c *repositoryCheck) readPacks(ctx context.Context) error {
	names := slices.SortedFunc(maps.Keys(c.packs), func(a, b digest.Digest) int { return slices.Compare(a[:], b[:]) })
	for _, d := range names {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		use := c.packs[d]
		if err := c.readPack(d, use.size); err != nil {
			c.find(repo.PackName(d), use.affects, fixRestore, err)
			c.wrong[d] = true
		}
	}
	return nil
}

func (c *repositoryCheck) readPack(d digest.Digest, size int64) error {
	f, err := c.repo.Dir().Open(repo.PackName(d))
	if err != nil {
		return err
	}
	defer f.Close()
	return digest.Verify(io.Reader(f), d, size)
}

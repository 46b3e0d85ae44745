package repo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/lock"
	"github.com/larch-project/larch/internal/pipeline"
	"github.com/larch-project/larch/internal/sealed"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/tree"
	"github.com/larch-project/larch/trust"
)

// Errors of Publish that callers decide on.
var (
	// ErrVersion means that the line has a release of this version already, or
	// that no version can be derived from the last one.
	ErrVersion = errors.New("version cannot be published")
)

// PublishRequest says what to publish.
type PublishRequest struct {
	Ref         release.Ref
	Version     string // "" counts on from the last release, if that is a number
	Message     string
	Command     string        // for the metadata that is made for a plain folder
	Requires    []release.Ref // such as the runtime
	Annotations map[string]string
	Source      tree.Source
	Now         time.Time
	Deltas      DeltaOptions
	Progress    func(bytes int64) // called with the content bytes read so far; may be nil
}

// Published says what Publish did.
type Published struct {
	Release   digest.Digest
	Version   string
	Tree      tree.Info
	New       int64  // distinct contents that the repository did not have
	Written   int64  // bytes of packs, tree and index
	Deltas    []Edge // that lead to it; To is Release
	Signature trust.Target
}

// Publish makes a release of a tree and moves its ref to it. Contents are read
// once each, but for new ones above 4 MiB, which are read again to be compressed
// and checked against what they were. Nothing is visible before the signed head
// names the release, in the last step; on return it survives power loss. Two
// publishers may run at once; both releases stay.
//
// Deltas are made before that, so that the first reader finds them: from the release
// before, from nothing, and from older ones (DeltaOptions).
func (r *Repository) Publish(ctx context.Context, keys *trust.KeyStore, req PublishRequest) (*Published, error) {
	held, err := r.hold(ctx, lock.Shared)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	head, err := trust.Open(r.dir, keys)
	if err != nil {
		return nil, err
	}
	if err := signable(head, req.Ref.String()); err != nil {
		return nil, err
	}
	catalog, err := r.known(ctx, head)
	if err != nil {
		return nil, err
	}
	source, metadata, err := layout(ctx, &req)
	if err != nil {
		return nil, err
	}
	p := &publication{repo: r, req: &req, source: source, metadata: metadata, catalog: catalog, seen: map[digest.Digest]struct{}{}}
	defer p.deltas.close()
	err = p.readLine(ctx, head.Targets()[req.Ref.String()])
	if err == nil {
		err = p.store(ctx)
	}
	if err == nil {
		err = p.makeDeltas(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("publishing %s: %w", req.Ref, err)
	}
	return p.commit(ctx, head)
}

// readLine reads what was published before, and looks whether what deltas are asked
// from is there.
func (p *publication) readLine(ctx context.Context, before trust.Target) (err error) {
	p.deltas.repo = p.repo
	if p.line, p.deltas.edges, err = p.repo.lineOf(ctx, before); err != nil {
		return err
	}
	for _, version := range p.req.Deltas.From {
		if _, err := findVersion(p.line, version); err != nil {
			return err
		}
	}
	return nil
}

// makeDeltas makes what leads to the release that is being published.
func (p *publication) makeDeltas(ctx context.Context) (err error) {
	opt := p.req.Deltas
	if opt.Budget <= 0 {
		return nil
	}
	if p.deltas.to, err = p.repo.side(p.catalog.index(p.objects), release.NewTree(p.info)); err != nil {
		return err
	}
	p.deltas.budget = newBudget(opt.Budget)
	return p.deltas.makeAll(ctx, p.line, opt.From)
}

// signable tells before the work whether one of the publisher keys that are here
// may sign for a ref.
func signable(head *trust.Repository, ref string) error {
	for _, key := range head.Keys() {
		for _, pattern := range key.Paths {
			if may, _ := path.Match(pattern, ref); may && key.Held {
				return nil
			}
		}
	}
	return fmt.Errorf("publishing %s: %w: none of the publisher keys here may sign for it; larch key list shows which may", ref, trust.ErrKey)
}

// known loads what the repository has. What is damaged or lost counts as not there,
// so that publishing it again brings it back.
func (r *Repository) known(ctx context.Context, head *trust.Repository) (*catalog, error) {
	releases, err := r.history(ctx, head.Targets())
	if err != nil {
		return nil, err
	}
	c, err := r.loadCatalog(ctx, releases, func(Logged, error) error { return nil })
	if err != nil {
		return nil, err
	}
	c.dropMissing(r)
	return c, nil
}

// publication is one Publish under way.
type publication struct {
	repo     *Repository
	req      *PublishRequest
	source   tree.Source
	metadata string
	catalog  *catalog
	packer   *packer
	spans    spansWriter

	seen    map[digest.Digest]struct{} // distinct contents of this tree
	added   map[digest.Digest]Location // those that are new to the repository
	objects []placedContent            // in index order
	read    int64
	info    tree.Info
	image   digest.Digest // of the tree's composefs image
	written int64
	line    []Logged // the releases before, newest first
	deltas  deltas
}

// store writes packs and tree: all that does not depend on the release before.
func (p *publication) store(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.added = map[digest.Digest]Location{}
	p.packer = newPacker(ctx, p.repo.dir, p.catalog)
	if err := p.writeTree(ctx); err != nil {
		p.packer.abort()
		return err
	}
	if err := p.packer.close(); err != nil {
		return err
	}
	p.written += p.packer.Bytes
	p.image, err = tree.ImageDigest(p.repo.Tree(p.info))
	return err
}

// writeTree reads all contents in the order of the tree and writes its text.
func (p *publication) writeTree(ctx context.Context) error {
	f, err := temp(p.repo.dir, "trees")
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := sealed.NewWriter(f)
	if err != nil {
		return err
	}
	p.spans.dir = p.repo.dir
	defer p.spans.close()
	encoder := tree.NewEncoder(text)
	reader := &reader{source: p.source}
	for item, err := range pipeline.Ordered(ctx, runtime.GOMAXPROCS(0)+1, p.source.Entries(ctx), reader.read) {
		if err == nil {
			err = p.checkPlace(item.entry)
		}
		if err == nil {
			err = p.add(ctx, item)
		}
		if err == nil {
			err = encoder.Write(item.entry)
		}
		if err != nil {
			return err
		}
		item.release()
	}
	if err := errors.Join(encoder.Close(), text.Close(), p.spans.finish()); err != nil {
		return err
	}
	p.info = encoder.Info()
	if p.spans.file != nil {
		if err := p.name(p.spans.file, SpansName(p.info.Digest)); err != nil {
			return err
		}
	}
	return p.name(f, TreeName(p.info.Digest))
}

// checkPlace keeps to the layout that installations rely on; spec/3-release.md §3.4.
func (p *publication) checkPlace(e *tree.Entry) error {
	if p.req.Ref.Kind == release.OS {
		return nil
	}
	want := tree.Directory
	switch e.Path {
	case metadataPath:
		want = tree.Regular
	case filesPath, "/export":
	default:
		return nil
	}
	if e.Kind != want {
		return fmt.Errorf("%w: %q is a %s, not a %s", ErrMetadata, string(e.Path), e.Kind, want)
	}
	return nil
}

// name gives a file its immutable name, and counts it.
func (p *publication) name(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	p.written += info.Size()
	return name(p.repo.dir, f, path)
}

// add sees to it that a file's content is in a pack.
func (p *publication) add(ctx context.Context, item *item) error {
	e := item.entry
	if e.Kind != tree.Regular {
		return nil
	}
	p.progress(e.Size)
	if e.Size <= tree.InlineMax {
		return nil
	}
	if _, again := p.seen[e.Digest]; again {
		return nil
	}
	p.seen[e.Digest] = struct{}{}
	if HasSpans(e.Size) {
		if err := p.spans.add(item.spans); err != nil {
			return err
		}
	}
	at, known := p.catalog.find(e.Digest)
	if !known {
		var err error
		if at, err = p.pack(ctx, item); err != nil {
			return err
		}
		p.added[e.Digest] = at
	}
	p.objects = append(p.objects, placedContent{at, e.Size})
	return nil
}

func (p *publication) progress(n int64) {
	p.read += n
	if p.req.Progress != nil {
		p.req.Progress(p.read)
	}
}

// pack writes a new content.
func (p *publication) pack(ctx context.Context, item *item) (Location, error) {
	e := item.entry
	if item.data != nil && e.Size < LargeSize {
		return p.packer.addSmall(item.data)
	}
	if item.data != nil {
		return p.packer.addLarge(bytes.NewReader(item.data), e.Digest, e.Size)
	}
	content, err := p.source.Open(ctx, e)
	if err != nil {
		return Location{}, err
	}
	at, err := p.packer.addLarge(content, e.Digest, e.Size)
	if closed := content.Close(); err == nil {
		err = closed
	}
	if errors.Is(err, digest.ErrMismatch) {
		err = &tree.ChangedError{Path: e.Path, Err: err}
	}
	return at, err
}

// commit makes the release document and moves the ref, again if another
// publisher was faster.
func (p *publication) commit(ctx context.Context, head *trust.Repository) (*Published, error) {
	for {
		before := head.Targets()[p.req.Ref.String()]
		rel, err := p.document(before)
		if err != nil {
			return nil, err
		}
		target, err := p.describe(rel)
		if err != nil {
			return nil, err
		}
		err = head.Commit(ctx, p.req.Now, func(edit *trust.Edit) error {
			if edit.Targets()[target.Name].Custom.Release != before.Custom.Release {
				return errMoved
			}
			return edit.Set(target)
		})
		if errors.Is(err, errMoved) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("signing the release %s of %s: %w", rel.Version, p.req.Ref, err)
		}
		published := &Published{
			Release: target.Custom.Release, Version: rel.Version, Tree: p.info,
			New: int64(len(p.added)), Written: p.written, Signature: target,
		}
		for _, m := range p.deltas.made {
			published.Deltas = append(published.Deltas, m.edge)
		}
		p.repo.dropStream(before.Custom.Release, head.Targets()) // or Prune does it
		return published, nil
	}
}

// errMoved says that the ref's newest release is not the one that was read.
var errMoved = errors.New("another release was published meanwhile")

// document makes the release that follows the one that the head names.
func (p *publication) document(before trust.Target) (*release.Release, error) {
	var last *Logged
	if !before.Custom.Release.IsZero() {
		rel, err := p.repo.Release(before.Custom.Release)
		if err != nil {
			return nil, err
		}
		last = &Logged{before.Custom.Release, rel}
	}
	version, err := nextVersion(p.req.Version, last)
	if err != nil {
		return nil, err
	}
	return &release.Release{
		Ref: p.req.Ref, Version: version, Message: p.req.Message, Created: p.req.Now.UTC().Truncate(time.Second),
		Tree: release.NewTree(p.info), Image: p.image, Metadata: p.metadata, Requires: p.req.Requires,
		Previous: previous(last), Annotations: p.req.Annotations,
	}, nil
}

// nextVersion gives the version to publish.
func nextVersion(wanted string, last *Logged) (string, error) {
	switch {
	case wanted == "" && last == nil:
		return "1", nil
	case wanted == "":
		n, err := strconv.ParseUint(last.Release.Version, 10, 32)
		if err != nil {
			return "", fmt.Errorf("%w: say one with --version (the last is %s)", ErrVersion, last.Release.Version)
		}
		return strconv.FormatUint(n+1, 10), nil
	case last == nil:
		return wanted, nil
	}
	taken := wanted == last.Release.Version
	for _, p := range last.Release.Previous {
		taken = taken || wanted == p.Version
	}
	if taken {
		return "", fmt.Errorf("%w: there is a release %s of %s already; choose another version", ErrVersion, wanted, last.Release.Ref)
	}
	return wanted, nil
}

// describe writes index and document, makes all names durable, and gives the
// target that the head will name.
func (p *publication) describe(rel *release.Release) (trust.Target, error) {
	doc, d, err := rel.Encode()
	if err != nil {
		return trust.Target{}, err
	}
	if err := p.repo.writeIndex(d, p.catalog.index(p.objects)); err != nil {
		return trust.Target{}, err
	}
	if err := p.writeDocument(doc, ReleaseName(d)); err != nil {
		return trust.Target{}, err
	}
	if err := p.deltas.name(d, p.line); err != nil {
		return trust.Target{}, err
	}
	for _, folder := range folders {
		if err := p.repo.syncFolder(folder); err != nil {
			return trust.Target{}, err
		}
	}
	return trust.Target{
		Name: rel.Ref.String(), SHA256: sha256.Sum256(doc), Length: int64(len(doc)),
		Custom: trust.Custom{Release: d, Version: rel.Version, Title: rel.Annotations["title"]},
	}, nil
}

func (p *publication) writeDocument(doc []byte, path string) error {
	f, err := temp(p.repo.dir, "releases")
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(doc); err != nil {
		return err
	}
	return p.name(f, path)
}

func (r *Repository) syncFolder(folder string) error {
	dir, err := r.dir.OpenDir(folder)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// item is an entry of the tree on its way, with its content if that is not too
// large to be kept.
type item struct {
	entry  *tree.Entry
	spans  *digest.Spans // of content that has them
	data   []byte
	buffer *[]byte // that data is in
}

// buffers are reused, for contents come by the thousand.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// take makes room for a content.
func (i *item) take(size int64) {
	i.buffer = buffers.Get().(*[]byte)
	if int64(cap(*i.buffer)) < size {
		*i.buffer = make([]byte, size)
	}
	i.data = (*i.buffer)[:size]
}

// release gives the room back: data is not used any more.
func (i *item) release() {
	if i.buffer != nil {
		buffers.Put(i.buffer)
	}
}

// keepSize is up to where a content is kept in memory between naming and
// packing it, in bytes.
const keepSize = 4 << 20

// reader reads contents and names them.
type reader struct {
	source tree.Source
}

// read reads one file; its error is a *tree.ChangedError if that was not the same
// all the time.
func (r *reader) read(ctx context.Context, e *tree.Entry) (*item, error) {
	i := &item{entry: e}
	if e.Kind != tree.Regular {
		return i, nil
	}
	content, err := r.source.Open(ctx, e)
	if err != nil {
		return nil, err
	}
	if e.Size > keepSize {
		err = i.nameLarge(content)
	} else {
		err = i.keep(content)
	}
	if closed := content.Close(); err == nil {
		err = closed
	}
	return i, err
}

// keep reads and names a content that is small enough to stay in memory.
func (i *item) keep(content io.Reader) error {
	e := i.entry
	i.take(e.Size)
	n, err := io.ReadFull(content, i.data)
	if err == nil {
		var more int
		var one [1]byte
		if more, err = content.Read(one[:]); more == 0 && err == io.EOF {
			if HasSpans(e.Size) {
				e.Digest, i.spans, err = digest.SumSpans(bytes.NewReader(i.data))
				return err
			}
			e.Digest = digest.Of(i.data)
			if e.Size > 0 && e.Size <= tree.InlineMax {
				e.Inline = bytes.Clone(i.data)
			}
			return nil
		}
		n += more
	}
	if err == nil || err == io.EOF || err == io.ErrUnexpectedEOF {
		return &tree.ChangedError{Path: e.Path, Err: fmt.Errorf("it had %d bytes, then %d", e.Size, n)}
	}
	return err
}

// nameLarge names a content without keeping it.
func (i *item) nameLarge(content io.Reader) (err error) {
	e := i.entry
	e.Digest, i.spans, err = digest.SumSpans(content)
	if err == nil && i.spans.Size() != e.Size {
		err = &tree.ChangedError{Path: e.Path, Err: fmt.Errorf("it had %d bytes, then %d", e.Size, i.spans.Size())}
	}
	return err
}

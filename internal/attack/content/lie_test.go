package content

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/sealed"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/tree"
)

// lie is a release that can be wrong anywhere. Names, digests and signatures that
// cover what was changed are made anew, unless they are what is wrong.
type lie struct {
	text     []byte                 // of the tree
	contents [][]byte               // of the index, in order; nil for those of the tree
	declare  func(*release.Tree)    // changes what the document says of the tree
	document func(*release.Release) // changes the document; it must stay one
	raw      func([]byte) []byte    // changes the document's bytes, whatever becomes of them
	index    func(*repo.Index)      // changes the index
	columns  func([]byte) []byte    // changes the index's bytes before compression
	packs    func([]byte) []byte    // changes each pack before it is named
	frame    func([]byte) []byte    // compresses a frame instead of compress
	delta    func(*rawDelta)        // changes the delta from the first release
	deep     bool                   // has paths that a test cannot walk
	after    func(*told)            // changes files when all are written
}

// told is a lie as it was published.
type told struct {
	publisher *publisher
	release   digest.Digest
	tree      tree.Info
	packs     []digest.Digest
}

// path gives where a file of the repository is.
func (p *publisher) file(name string) string { return filepath.Join(p.path, name) }

// road is a way by which a release can come.
type road string

const (
	byFiles  road = "files"  // tree, index and packs, each by itself
	byDelta  road = "delta"  // all in the delta from the release before
	byStream road = "stream" // all in the delta from nothing, found in the list; for machines that have nothing
)

// tell publishes a lie, to come by one road.
func (p *publisher) tell(t testing.TB, l *lie, by road) *told {
	t.Helper()
	made := &told{publisher: p, tree: count(l.text)}
	rel := *p.document(t, p.next.Release)
	rel.Version, rel.Tree = "3", release.NewTree(made.tree)
	if by != byDelta {
		rel.Previous = nil
	}
	if l.declare != nil {
		l.declare(&rel.Tree)
	}
	if by == byDelta {
		rel.Previous = []release.Previous{{Release: p.first.Release, Version: "1"}}
	}
	if l.document != nil {
		l.document(&rel)
	}
	data := encodeRelease(t, &rel)
	if l.raw != nil {
		data = l.raw(data)
	}
	made.release = digest.Of(data)
	p.write(t, repo.TreeName(made.tree.Digest), seal(t, l.text))
	ix := p.pack(t, l, made)
	columns := encodeIndex(t, ix)
	if l.columns != nil {
		columns = l.columns(columns)
	}
	p.write(t, repo.IndexName(made.release), seal(t, columns))
	p.remove(t, "deltas/"+made.release.String()) // of a lie with the same document
	p.writeDelta(t, l, made, by, ix)
	p.signDocument(t, data, rel.Version)
	if l.after != nil {
		l.after(made)
	}
	return made
}

// encodeRelease writes a document by its canonical form, and one that its own encoder
// refuses too.
func encodeRelease(t testing.TB, rel *release.Release) []byte {
	t.Helper()
	data, _, err := rel.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func encodeIndex(t testing.TB, ix *repo.Index) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := ix.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func seal(t testing.TB, data []byte) []byte {
	t.Helper()
	doc, err := sealed.Encode(data)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// pack writes the contents of a lie, each into frames of its own, and gives where they
// are.
func (p *publisher) pack(t testing.TB, l *lie, made *told) *repo.Index {
	t.Helper()
	contents := l.contents
	if contents == nil {
		contents = p.contentsOf(l.text)
	}
	frame := l.frame
	if frame == nil {
		frame = compress
	}
	ix := &repo.Index{}
	var pack []byte
	for _, data := range contents {
		ix.Objects = append(ix.Objects, repo.Location{Frame: int32(len(ix.Frames))})
		for rest := data; len(rest) > 0; {
			part := rest[:min(len(rest), repo.FrameSize)]
			rest = rest[len(part):]
			stored := frame(part)
			ix.Frames = append(ix.Frames, repo.Frame{Offset: int64(len(pack)), Length: int32(len(stored)), Raw: int32(len(part))})
			pack = append(pack, stored...)
		}
	}
	if len(pack) > 0 {
		if l.packs != nil {
			pack = l.packs(pack)
		}
		d := digest.Of(pack)
		p.write(t, repo.PackName(d), pack)
		ix.Packs = []repo.Pack{{Digest: d, Size: int64(len(pack))}}
		made.packs = append(made.packs, d)
	}
	if l.index != nil {
		l.index(ix)
	}
	return ix
}

// contentsOf gives those contents of a tree that are known, in the order of an index;
// of a text that is no tree, as far as it is one.
func (p *publisher) contentsOf(text []byte) (list [][]byte) {
	for e, err := range repo.Contents(tree.Decode(bytes.NewReader(text))) {
		if err != nil {
			break
		}
		if data, known := p.contents[e.Digest.String()]; known {
			list = append(list, data)
		}
	}
	return list
}

var encoder, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(repo.FrameSize), zstd.WithLowerEncoderMem(true))

func compress(p []byte) []byte { return encoder.EncodeAll(p, nil) }

// count says of a text what a release has to say of it, however wrong it is.
func count(text []byte) tree.Info {
	info := tree.Info{Digest: digest.Of(text), Size: int64(len(text)), Entries: int64(bytes.Count(text, []byte{'\n'}))}
	for e, err := range tree.Decode(bytes.NewReader(text)) {
		if err != nil {
			break
		}
		if e.Kind == tree.Regular {
			info.Files++
			info.Bytes += e.Size
		}
	}
	info.Entries, info.Files = max(info.Entries, 1), min(info.Files, max(info.Entries, 1))
	info.Bytes = min(info.Bytes, math.MaxInt64/4)
	return info
}

// remove takes files of the repository away.
func (p *publisher) remove(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.RemoveAll(p.file(name)); err != nil {
			t.Fatal(err)
		}
	}
}

// replace gives text with the only place where old stands changed.
func replace(t testing.TB, text []byte, old, with string) []byte {
	t.Helper()
	if strings.Count(string(text), old) != 1 {
		t.Fatalf("%q is not there once: %.2000s", old, text)
	}
	return []byte(strings.Replace(string(text), old, with, 1))
}

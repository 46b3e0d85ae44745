package repo

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/durable"
	"github.com/larch-project/larch/internal/sealed"
)

const (
	mapMagic    = "larch deltas 1\n"
	maxReleases = 1 << 14
	maxEdges    = 1 << 16
	maxDelta    = 1 << 50 // bytes of a file
	// MaxDeltaMap bounds the list of the deltas of a line, before compression.
	MaxDeltaMap = 4 << 20
)

// Edge is a delta that the repository has.
type Edge struct {
	From digest.Digest // zero: nothing is needed
	To   digest.Digest
	Head int64 // bytes: plan, and the frame of the tree
	Size int64 // bytes of the file
}

func byEdge(a, b Edge) int {
	return cmp.Or(bytes.Compare(a.To[:], b.To[:]), bytes.Compare(a.From[:], b.From[:]))
}

// DeltaMapName is where the list is of the deltas between releases of a line, by
// the newest of them.
func DeltaMapName(head digest.Digest) string { return deltaFolder(head) + "/map" }

// EncodeDeltaMap gives the sealed list of some deltas, in any order.
func EncodeDeltaMap(edges []Edge) ([]byte, error) {
	edges = slices.Clone(edges)
	slices.SortFunc(edges, byEdge)
	var releases []digest.Digest
	for _, e := range edges {
		releases = append(releases, e.From, e.To)
	}
	slices.SortFunc(releases, func(a, b digest.Digest) int { return bytes.Compare(a[:], b[:]) })
	releases = slices.Compact(releases)
	number := func(d digest.Digest) uint64 {
		n, _ := slices.BinarySearchFunc(releases, d, func(a, b digest.Digest) int { return bytes.Compare(a[:], b[:]) })
		return uint64(n)
	}
	var plain bytes.Buffer
	out := columns{w: bufio.NewWriter(&plain)}
	out.text(mapMagic)
	out.number(uint64(len(releases)))
	out.number(uint64(len(edges)))
	for _, d := range releases {
		out.text(string(d[:]))
	}
	for _, e := range edges {
		out.number(number(e.To))
		out.number(number(e.From))
		out.number(uint64(e.Head))
		out.number(uint64(e.Size))
	}
	if err := errors.Join(out.err, out.w.Flush()); err != nil {
		return nil, err
	}
	return sealed.Encode(plain.Bytes())
}

// ReadDeltaMap reads the list of deltas. Input untrusted: what it says is a hint,
// and at most MaxDeltaMap bytes; errors of form match ErrDelta.
func ReadDeltaMap(r io.Reader) ([]Edge, error) {
	doc, err := sealed.NewReader(r, MaxDeltaMap)
	if err != nil {
		return nil, err
	}
	defer doc.Close()
	in := columnReader{r: bufio.NewReader(doc)}
	edges, err := in.deltaMap()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrIndex) || errors.Is(err, sealed.ErrBroken) {
		err = fmt.Errorf("%w: %v", ErrDelta, err)
	}
	return edges, err
}

func (c *columnReader) deltaMap() ([]Edge, error) {
	magic := make([]byte, len(mapMagic))
	if _, err := io.ReadFull(c.r, magic); err != nil {
		return nil, err
	}
	if string(magic) != mapMagic {
		return nil, fmt.Errorf("%w: the list begins with %.40q", ErrDelta, magic)
	}
	releases := make([]digest.Digest, c.number(maxReleases))
	edges := make([]Edge, c.number(maxEdges))
	for i := range releases {
		if c.err == nil {
			_, c.err = io.ReadFull(c.r, releases[i][:])
		}
	}
	if c.err == nil && len(releases) == 0 && len(edges) > 0 {
		c.fail(fmt.Errorf("%w: deltas between no releases", ErrDelta))
	}
	for i := range edges {
		if c.err != nil {
			return nil, c.err
		}
		to, from := c.number(int64(len(releases))-1), c.number(int64(len(releases))-1)
		e := Edge{Head: c.number(maxDelta), Size: c.number(maxDelta)}
		if c.err != nil {
			return nil, c.err
		}
		e.To, e.From = releases[to], releases[from]
		if e.To.IsZero() || e.Head > e.Size || i > 0 && byEdge(edges[i-1], e) >= 0 {
			return nil, fmt.Errorf("%w: the list is not in order", ErrDelta)
		}
		edges[i] = e
	}
	if c.err != nil {
		return nil, c.err
	}
	if _, err := c.r.ReadByte(); err != io.EOF {
		return nil, cmp.Or(err, fmt.Errorf("%w: something follows the list", ErrDelta))
	}
	return edges, nil
}

// Edges lists all deltas that are in the repository, by what they lead to. Files
// that are no deltas are left out.
func (r *Repository) Edges() ([]Edge, error) {
	targets, err := r.dir.ReadDir(deltasFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var edges []Edge
	for _, name := range targets {
		to, bad := digest.Parse(name)
		if bad != nil {
			continue
		}
		some, failed := r.edgesTo(to)
		edges, err = append(edges, some...), errors.Join(err, failed)
	}
	slices.SortFunc(edges, byEdge)
	return edges, err
}

func (r *Repository) edgesTo(to digest.Digest) ([]Edge, error) {
	names, err := r.DeltasTo(to)
	var edges []Edge
	for _, from := range names {
		e, wrong := r.edge(to, from)
		if wrong == nil {
			edges = append(edges, e)
		} else if !errors.Is(wrong, ErrDelta) {
			err = errors.Join(err, wrong)
		}
	}
	return edges, err
}

// DeltasTo gives the releases from which deltas lead to one, by the names of their
// files; the zero digest is nothing. Whether they are right is not looked at. It is
// fs.ErrNotExist if there is not even a folder.
func (r *Repository) DeltasTo(to digest.Digest) ([]digest.Digest, error) {
	names, err := r.dir.ReadDir(deltaFolder(to))
	var list []digest.Digest
	for _, name := range names {
		from, bad := digest.Parse(name)
		if name == "empty" {
			from, bad = digest.Digest{}, nil
		} else if from.IsZero() {
			continue
		}
		if bad == nil {
			list = append(list, from)
		}
	}
	return list, err
}

// edge looks at one delta.
func (r *Repository) edge(to, from digest.Digest) (Edge, error) {
	d, size, err := r.Delta(to, from)
	if err != nil {
		return Edge{}, err
	}
	if d.End() != size {
		return Edge{}, fmt.Errorf("%s: %w: it has %d bytes instead of %d", DeltaName(to, from), ErrDelta, size, d.End())
	}
	return Edge{From: from, To: to, Head: d.Head, Size: size}, nil
}

// Delta reads the plan of a delta, and the length of its file.
func (r *Repository) Delta(to, from digest.Digest) (*Delta, int64, error) {
	f, err := r.dir.Open(DeltaName(to, from))
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	d, err := ReadDelta(bufio.NewReader(f), min(info.Size()*64+1<<20, 1<<30))
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", DeltaName(to, from), err)
	}
	return d, info.Size(), nil
}

// writeDeltaMap lists for the readers of a line, by its newest release, the deltas
// between its releases, other additions included; it removes the list if there are
// none.
func (r *Repository) writeDeltaMap(head digest.Digest, edges []Edge) error {
	name := DeltaMapName(head)
	if len(edges) == 0 {
		if err := r.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	data, err := EncodeDeltaMap(edges)
	if err != nil {
		return err
	}
	if old, err := r.dir.ReadFile(name, MaxDeltaMap); err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := r.dir.MkdirAll(deltaFolder(head), 0o755); err != nil {
		return err
	}
	return durable.WriteFile(r.dir, name, data, 0o644)
}

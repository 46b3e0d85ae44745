package repo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/durable"
	"github.com/larch-project/larch/internal/sealed"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/tree"
	"github.com/larch-project/larch/trust"
)

// Format is the version of the repository format that this package writes.
const Format = 1

// Errors that callers decide on.
var (
	// ErrFormat means that the folder is no repository, or one of another format.
	ErrFormat = errors.New("not a larch repository of a known format")
	// ErrExists means that there is something already where one would be made.
	ErrExists = errors.New("folder is not empty")
)

// folders are what a repository has besides files at its top and trust/.
var folders = []string{"releases", "trees", "packs", "index", spansFolder}

// trustFolder is what package trust keeps.
const trustFolder = "trust"

// Repository is a published folder as its publisher sees it.
type Repository struct {
	dir *beneath.Dir
}

// format is the content of larch.json: what a reader must know of, or leave.
type format struct {
	Features []string `json:"features"` // required; none are defined yet
	Format   int      `json:"format"`
}

// Init makes an empty repository in a folder that is missing or empty, or in which
// making one was interrupted before there was a root of trust.
func Init(path string) (*Repository, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	dir, err := beneath.Open(path)
	if err != nil {
		return nil, err
	}
	r := &Repository{dir: dir}
	if err := r.init(); err != nil {
		dir.Close()
		return nil, fmt.Errorf("making a repository in %q: %w", path, err)
	}
	return r, nil
}

func (r *Repository) init() error {
	names, err := r.dir.ReadDir(".")
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := r.takeOver(name); err != nil {
			return err
		}
	}
	for _, name := range folders {
		if err := r.dir.MkdirAll(name, 0o755); err != nil {
			return err
		}
	}
	data, err := json.Marshal(format{Features: []string{}, Format: Format})
	if err != nil {
		return err
	}
	return durable.WriteFile(r.dir, FormatName, append(data, '\n'), 0o644)
}

// takeOver accepts what an interrupted Init has left, and nothing else: empty folders,
// a format, trust without a root. It removes files that never got their names.
func (r *Repository) takeOver(name string) error {
	switch {
	case strings.HasPrefix(name, ".new-"):
		return r.dir.Remove(name)
	case (name == FormatName || name == trustFolder) && checkFormat(r.dir) == nil:
		if _, err := trust.Fingerprint(r.dir); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	case slices.Contains(folders, name):
		inside, err := r.dir.ReadDir(name)
		if err == nil && len(inside) == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.ENOTDIR) {
			return err
		}
	}
	return fmt.Errorf("%w: it has %q", ErrExists, name)
}

// Open opens a repository in a folder.
func Open(path string) (*Repository, error) {
	dir, err := beneath.Open(path)
	if err != nil {
		return nil, err
	}
	if err := checkFormat(dir); err != nil {
		dir.Close()
		return nil, fmt.Errorf("opening the repository %q: %w", path, err)
	}
	return &Repository{dir: dir}, nil
}

func checkFormat(dir *beneath.Dir) error {
	data, err := dir.ReadFile(FormatName, 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: no %s; larch init makes one", ErrFormat, FormatName)
	}
	if err != nil {
		return err
	}
	return ParseFormat(data)
}

// ParseFormat accepts a larch.json that this version of Larch can read. Input
// untrusted.
func ParseFormat(data []byte) error {
	var f format
	if err := json.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("%w: %s: %v", ErrFormat, FormatName, err)
	}
	switch {
	case f.Format != Format:
		return fmt.Errorf("%w: format %d; this larch reads %d: a newer larch may read it", ErrFormat, f.Format, Format)
	case len(f.Features) > 0:
		return fmt.Errorf("%w: it needs %.80q: a newer larch may read it", ErrFormat, f.Features[0])
	}
	again, err := json.Marshal(f)
	if err != nil || !bytes.Equal(append(again, '\n'), data) {
		return fmt.Errorf("%w: %s is not in canonical form", ErrFormat, FormatName)
	}
	return nil
}

// Close releases the folder.
func (r *Repository) Close() error { return r.dir.Close() }

// Dir is the folder, owned by r.
func (r *Repository) Dir() *beneath.Dir { return r.dir }

// Release reads a release document and checks it against its name.
func (r *Repository) Release(d digest.Digest) (*release.Release, error) {
	data, err := r.dir.ReadFile(ReleaseName(d), release.MaxSize)
	if err != nil {
		return nil, err
	}
	if have := digest.Of(data); have != d {
		return nil, fmt.Errorf("%s: %w", ReleaseName(d), &digest.MismatchError{Want: d, Have: have, WantSize: int64(len(data)), HaveSize: int64(len(data))})
	}
	return release.Decode(data)
}

// Tree reads the entries of a tree; by its end its text, and all numbers that info
// has of it, were checked.
func (r *Repository) Tree(info tree.Info) iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		f, err := r.dir.Open(TreeName(info.Digest))
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		text, err := sealed.NewReader(f, info.Size)
		if err != nil {
			yield(nil, err)
			return
		}
		defer text.Close()
		for e, err := range tree.Verified(text, info) {
			if err != nil {
				err = fmt.Errorf("%s: %w", TreeName(info.Digest), err)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Index reads the index of a release.
func (r *Repository) Index(d digest.Digest, t release.Tree) (*Index, error) {
	f, err := r.dir.Open(IndexName(d))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	ix, err := ReadSealedIndex(f, t.Files, t.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", IndexName(d), err)
	}
	return ix, nil
}

// Located gives the distinct contents of a release's tree with their locations in
// its index. It is an error that matches ErrIndex if they do not match one to one,
// or if a content does not lie within its frames.
func (r *Repository) Located(ix *Index, t release.Tree) iter.Seq2[LocatedContent, error] {
	return func(yield func(LocatedContent, error) bool) {
		i := 0
		for e, err := range Contents(r.Tree(t.Info())) {
			if err == nil && i == len(ix.Objects) {
				err = fmt.Errorf("%w: it has fewer contents than the tree", ErrIndex)
			}
			if err == nil {
				_, _, err = ix.Span(ix.Objects[i], e.Size)
			}
			if err != nil {
				yield(LocatedContent{}, err)
				return
			}
			if !yield(LocatedContent{e.Path, e.Digest, e.Size, ix.Objects[i]}, nil) {
				return
			}
			i++
		}
		if i < len(ix.Objects) {
			yield(LocatedContent{}, fmt.Errorf("%w: it has more contents than the tree", ErrIndex))
		}
	}
}

// LocatedContent is a content and where it begins.
type LocatedContent struct {
	Path   tree.Path // at which it appears first
	Digest digest.Digest
	Size   int64
	Location
}

// hold takes the repository's lock, shared for those who add to it and exclusive
// for those who remove, until the returned file is closed.
func (r *Repository) hold(ctx context.Context, take func(context.Context, *os.File) error) (*os.File, error) {
	f, err := r.dir.OpenFile(lockName, unix.O_RDWR|unix.O_CREAT, 0o644)
	if err != nil {
		return nil, err
	}
	if err := take(ctx, f); err != nil {
		f.Close()
		return nil, fmt.Errorf("waiting for another publisher: %w", err)
	}
	return f, nil
}

// Place is a content with all that an index says of where it begins.
type Place struct {
	Content, Pack digest.Digest
	Frame         Frame // Pack is 0: numbers differ from index to index
	Start         int32
}

// Place is the place of a content in this index.
func (ix *Index) Place(o LocatedContent) Place {
	f := ix.Frames[o.Frame]
	pack := ix.Packs[f.Pack].Digest
	f.Pack = 0
	return Place{o.Digest, pack, f, o.Offset}
}

package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"

	"github.com/larch-project/larch/internal/bounded"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/tree"
)

// metadataPath is where a tree has its keyfile.
const metadataPath = tree.Path("/metadata")

// ErrMetadata is matched when a tree's metadata does not fit its release.
var ErrMetadata = errors.New("metadata does not fit the release")

// layout gives the source as it is published. A folder with a file "metadata" at
// its top has the layout of spec/3-release.md already, and an OS tree has its
// own; anything else becomes files/ beside a metadata made from the request.
func layout(ctx context.Context, req *PublishRequest) (tree.Source, string, error) {
	text, err := readMetadata(ctx, req.Source)
	if err != nil {
		return nil, "", err
	}
	if req.Ref.Kind == release.OS && text == nil {
		return req.Source, "", nil
	}
	source := req.Source
	if text == nil {
		text = req.metadata()
		source = &wrapped{Source: req.Source, metadata: text}
	} else if req.Command != "" {
		return nil, "", fmt.Errorf("%w: the folder has a metadata file of its own; say the command there", ErrMetadata)
	}
	m, err := release.ParseMetadata(text)
	if err != nil {
		return nil, "", fmt.Errorf("metadata: %w", err)
	}
	if m.Name != req.Ref.ID {
		return nil, "", fmt.Errorf("%w: its name is %q, the ref's is %q", ErrMetadata, m.Name, req.Ref.ID)
	}
	return source, string(text), nil
}

// metadata makes the keyfile of a plain folder. An application runs on the first
// runtime that it requires, or on the host's /usr.
func (req *PublishRequest) metadata() []byte {
	if req.Ref.Kind != release.App {
		return []byte("[Runtime]\nname=" + req.Ref.ID + "\n")
	}
	runtime := release.HostRuntime
	for _, ref := range req.Requires {
		if ref.Kind == release.Runtime {
			runtime = ref.String()
			break
		}
	}
	return release.NewMetadata(req.Ref.ID, runtime, req.Command)
}

// readMetadata finds the file "metadata" at a source's top; nil if there is none.
func readMetadata(ctx context.Context, source tree.Source) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := source.Open(ctx, &tree.Entry{Path: metadataPath, Kind: tree.Regular})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := bounded.ReadAll(r, release.MaxMetadata)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", metadataPath, err)
	}
	return text, nil
}

// wrapped puts a source below /files and a metadata beside it.
type wrapped struct {
	tree.Source
	metadata []byte
}

const filesPath = "/files"

// Entries implements tree.Source.
func (w *wrapped) Entries(ctx context.Context) iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		top := &tree.Entry{Path: "/", Kind: tree.Directory, Mode: 0o755, Nlink: 1}
		if !yield(top, nil) {
			return
		}
		for e, err := range w.Source.Entries(ctx) {
			if err != nil {
				yield(nil, err)
				return
			}
			inner := *e
			inner.Path = wrap(e.Path)
			if e.Kind == tree.Hardlink {
				inner.Target = string(wrap(tree.Path(e.Target)))
			}
			if !yield(&inner, nil) {
				return
			}
		}
		yield(&tree.Entry{Path: metadataPath, Kind: tree.Regular, Mode: 0o644, Nlink: 1, Size: int64(len(w.metadata))}, nil)
	}
}

func wrap(p tree.Path) tree.Path {
	if p == "/" {
		return filesPath
	}
	return filesPath + p
}

// Open implements tree.Source.
func (w *wrapped) Open(ctx context.Context, e *tree.Entry) (io.ReadCloser, error) {
	if e.Path == metadataPath {
		return io.NopCloser(bytes.NewReader(w.metadata)), nil
	}
	inner := *e
	if inner.Path = tree.Path(strings.TrimPrefix(string(e.Path), filesPath)); inner.Path == "" {
		inner.Path = "/"
	}
	return w.Source.Open(ctx, &inner)
}

// Totals implements tree.Source.
func (w *wrapped) Totals(ctx context.Context) (files, bytes int64, err error) {
	files, bytes, err = w.Source.Totals(ctx)
	return files + 1, bytes + int64(len(w.metadata)), err
}

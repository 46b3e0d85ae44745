package fetch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/bounded"
	"github.com/larch-project/larch/internal/sealed"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/tree"
)

// Named is a release document as a signed head names it.
type Named struct {
	Digest digest.Digest
	SHA256 [sha256.Size]byte
	Length int64
}

// Release fetches a release document and checks it against all that the head
// says of it.
func Release(ctx context.Context, t transport.Transport, named Named) (*release.Release, []byte, error) {
	data, err := document(ctx, t, repo.ReleaseName(named.Digest), min(named.Length, release.MaxSize))
	if err != nil {
		return nil, nil, err
	}
	if int64(len(data)) != named.Length || sha256.Sum256(data) != named.SHA256 {
		return nil, nil, fmt.Errorf("%s: it is not what the signed head names: %w", repo.ReleaseName(named.Digest), digest.ErrMismatch)
	}
	return decode(data, named.Digest)
}

// Previous fetches a release document that a later one names.
func Previous(ctx context.Context, t transport.Transport, d digest.Digest) (*release.Release, []byte, error) {
	data, err := document(ctx, t, repo.ReleaseName(d), release.MaxSize)
	if err != nil {
		return nil, nil, err
	}
	return decode(data, d)
}

func decode(data []byte, d digest.Digest) (*release.Release, []byte, error) {
	if have := digest.Of(data); have != d {
		size := int64(len(data))
		return nil, nil, fmt.Errorf("%s: %w", repo.ReleaseName(d), &digest.MismatchError{Want: d, Have: have, WantSize: size, HaveSize: size})
	}
	rel, err := release.Decode(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", repo.ReleaseName(d), err)
	}
	return rel, data, nil
}

// document fetches a file of at most limit bytes.
func document(ctx context.Context, t transport.Transport, name string, limit int64) ([]byte, error) {
	answer, err := t.Fetch(ctx, transport.Request{Name: name})
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	data, err := bounded.ReadAll(answer.Body, limit)
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", name, err)
	}
	return data, nil
}

// Tree fetches the text of a tree into the store, unless it is there.
func Tree(ctx context.Context, t transport.Transport, info tree.Info, to *store.Store) error {
	if to.HasTree(info.Digest, info.Size) {
		return nil
	}
	name := repo.TreeName(info.Digest)
	answer, err := t.Fetch(ctx, transport.Request{Name: name})
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if err := to.PutTree(ctx, answer.Body, info); err != nil {
		return fmt.Errorf("fetching %s: %w", name, err)
	}
	return nil
}

// Index fetches the index of a release. It is a hint: see repo.Index.
func Index(ctx context.Context, t transport.Transport, d digest.Digest, of release.Tree) (*repo.Index, error) {
	name := repo.IndexName(d)
	answer, err := t.Fetch(ctx, transport.Request{Name: name})
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	stored := repo.MaxIndexSize(of.Files, of.Bytes) + 1<<16 // incompressible, with frame headers
	ix, err := repo.ReadSealedIndex(bounded.Reader(io.Reader(answer.Body), stored), of.Files, of.Bytes)
	if errors.Is(err, sealed.ErrBroken) {
		err = fmt.Errorf("%w: %w", repo.ErrIndex, err)
	}
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", name, err)
	}
	return ix, nil
}

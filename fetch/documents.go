package fetch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/bounded"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/tree"
)

// Target is a release document as signed metadata names it.
type Target struct {
	Digest digest.Digest // its name in the repository
	SHA256 [32]byte      // of its bytes
	Length int64         // bytes
}

// Release fetches the release document that signed metadata names, and gives it
// together with its bytes. A document with another length or another of both
// hashes matches digest.ErrMismatch. That its ref is the one that was asked for
// is for the caller to check.
func Release(ctx context.Context, t transport.Transport, target Target) (*release.Release, []byte, error) {
	data, err := releaseBytes(ctx, t, target.Digest, min(target.Length, release.MaxSize))
	if err == nil && (int64(len(data)) != target.Length || sha256.Sum256(data) != target.SHA256) {
		err = fmt.Errorf("%w: signed metadata describes another document", digest.ErrMismatch)
	}
	return decodeRelease(target.Digest, data, err)
}

// Previous fetches an earlier release, which a release names by its digest alone.
// Another document matches digest.ErrMismatch.
func Previous(ctx context.Context, t transport.Transport, d digest.Digest) (*release.Release, []byte, error) {
	data, err := releaseBytes(ctx, t, d, release.MaxSize)
	return decodeRelease(d, data, err)
}

// releaseBytes fetches a document of at most limit bytes and compares it with its
// digest.
func releaseBytes(ctx context.Context, t transport.Transport, d digest.Digest, limit int64) (data []byte, err error) {
	err = whole(ctx, t, repo.ReleaseName(d), func(body io.Reader) error {
		data, err = readRelease(body, d, limit)
		return err
	})
	return data, err
}

// whole fetches a file and has it used, which fails with an error for a wrong file: then
// those are asked who have not given one yet.
func whole(ctx context.Context, t transport.Transport, name string, use func(io.Reader) error) error {
	for {
		res, err := t.Fetch(ctx, transport.Request{Name: name})
		if err != nil {
			return err
		}
		err = use(res.Body)
		res.Body.Close()
		if err == nil || ctx.Err() != nil || !isWrong(err) || !res.Refused() {
			return err
		}
	}
}

// isWrong tells an error about what a file is from one of the network or the disk.
func isWrong(err error) bool {
	for _, kind := range []error{digest.ErrMismatch, bounded.ErrTooLarge, repo.ErrIndex, repo.ErrDelta} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

func readRelease(body io.Reader, d digest.Digest, limit int64) ([]byte, error) {
	data, err := bounded.ReadAll(body, limit)
	switch {
	case errors.Is(err, bounded.ErrTooLarge):
		return nil, &digest.MismatchError{Want: d, WantSize: limit, HaveSize: limit + 1}
	case err != nil:
		return nil, err
	}
	if have := digest.Of(data); have != d {
		size := int64(len(data))
		return nil, &digest.MismatchError{Want: d, Have: have, WantSize: size, HaveSize: size}
	}
	return data, nil
}

func decodeRelease(d digest.Digest, data []byte, err error) (*release.Release, []byte, error) {
	var rel *release.Release
	if err == nil {
		rel, err = release.Decode(data)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("release %s: %w", d.Short(), err)
	}
	return rel, data, nil
}

// Tree sees to it that the store has the text of a tree: it asks for nothing if
// the store has it, whole. Another text matches digest.ErrMismatch, and is not
// kept.
func Tree(ctx context.Context, t transport.Transport, info tree.Info, st *store.Store) error {
	if st.HasTree(info.Digest, info.Size) {
		return nil
	}
	err := whole(ctx, t, repo.TreeName(info.Digest), func(body io.Reader) error { return st.PutTree(ctx, body, info) })
	if err != nil {
		return fmt.Errorf("tree %s: %w", info.Digest.Short(), err)
	}
	return nil
}

// Index fetches the index of a release, which has this tree. It is untrusted, and
// bounded by the size of the tree. One of another form matches repo.ErrIndex.
func Index(ctx context.Context, t transport.Transport, rel digest.Digest, info tree.Info) (*repo.Index, error) {
	ix, err := index(ctx, t, rel, info)
	if err != nil {
		return nil, fmt.Errorf("index of release %s: %w", rel.Short(), err)
	}
	return ix, nil
}

func index(ctx context.Context, t transport.Transport, rel digest.Digest, info tree.Info) (ix *repo.Index, err error) {
	err = whole(ctx, t, repo.IndexName(rel), func(body io.Reader) error {
		ix, err = readIndex(body, info)
		return err
	})
	return ix, err
}

func readIndex(body io.Reader, info tree.Info) (*repo.Index, error) {
	ix, err := repo.ReadSealedIndex(limited(body, info), info.Files, info.Bytes)
	if err != nil {
		return nil, err
	}
	for _, p := range ix.Packs {
		if p.Size > repo.MaxPack {
			return nil, fmt.Errorf("%w: a pack of %d bytes, limit %d", repo.ErrIndex, p.Size, repo.MaxPack)
		}
	}
	return ix, nil
}

// limited bounds what is read of an index before decompression, since a stream of
// frames without content would have no end.
func limited(r io.Reader, info tree.Info) io.Reader {
	size := repo.MaxIndexSize(info.Files, info.Bytes)
	return bounded.Reader(r, size+size/64+64<<10)
}

package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/trust"
)

// Logged is a release of the repository, with its name.
type Logged struct {
	Digest  digest.Digest
	Release *release.Release
}

// Log gives the releases of the line that starts with head, newest first, at most
// limit of them; 0 means all. Releases that were pruned end it.
func (r *Repository) Log(ctx context.Context, head digest.Digest, limit int) ([]Logged, error) {
	var log []Logged
	for d := head; limit == 0 || len(log) < limit; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rel, err := r.Release(d)
		if errors.Is(err, fs.ErrNotExist) && len(log) > 0 {
			return log, nil
		}
		if err != nil {
			return nil, err
		}
		log = append(log, Logged{d, rel})
		if len(rel.Previous) == 0 {
			return log, nil
		}
		d = rel.Previous[0].Release
	}
	return log, nil
}

// history gives all releases that can be reached from these heads, the heads
// first, so that who reads on finds new contents before old ones.
func (r *Repository) history(ctx context.Context, targets map[string]trust.Target) ([]Logged, error) {
	var heads, older []Logged
	for _, ref := range slices.Sorted(maps.Keys(targets)) {
		log, err := r.Log(ctx, targets[ref].Custom.Release, 0)
		if err != nil {
			return nil, fmt.Errorf("reading the releases of %s: %w", ref, err)
		}
		heads = append(heads, log[0])
		older = append(older, log[1:]...)
	}
	return append(heads, older...), nil
}

// previous is what a new release of a line says about those before it.
func previous(head *Logged) []release.Previous {
	if head == nil {
		return nil
	}
	list := append([]release.Previous{{Release: head.Digest, Version: head.Release.Version}}, head.Release.Previous...)
	return list[:min(len(list), release.MaxPrevious)]
}

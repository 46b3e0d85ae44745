package trust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
)

// Unreferenced lists files of the trust folder, as paths within the repository,
// that the metadata does not name and that were last changed before a moment: what
// newer versions replaced and what interrupted commits left. All roots are
// referenced for ever. Leave what is young: a client may be reading by the head of
// a minute ago.
func (r *Repository) Unreferenced(ctx context.Context, before time.Time) ([]string, error) {
	return r.sweep(ctx, before, nil)
}

// Prune removes what Unreferenced lists, and returns it.
func (r *Repository) Prune(ctx context.Context, before time.Time) ([]string, error) {
	return r.sweep(ctx, before, (*beneath.Dir).Remove)
}

// sweep works under the lock, so that no commit is under way. Without remove it
// only looks.
func (r *Repository) sweep(ctx context.Context, before time.Time, remove func(trust *beneath.Dir, name string) error) ([]string, error) {
	trust, err := r.dir.OpenDir(folder)
	if err != nil {
		return nil, err
	}
	defer trust.Close()
	release, err := hold(ctx, trust)
	switch {
	case err == nil:
		defer release()
	case remove == nil && (errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS)):
		// nobody who reads the list here can act on it
	default:
		return nil, err
	}
	state, err := readStable(ctx, trust)
	if err != nil {
		return nil, err
	}
	names, err := trust.ReadDir(".")
	if err != nil {
		return nil, err
	}
	old, err := unreferenced(trust, state, names, before)
	if err != nil {
		return nil, err
	}
	var swept []string
	for _, name := range old {
		if remove != nil {
			if err := remove(trust, name); err != nil {
				return swept, fmt.Errorf("pruning: %w", err)
			}
		}
		swept = append(swept, published(name))
	}
	return swept, nil
}

// unreferenced picks what may go. Old targets stay as long as an old publisher's
// document does: Check finds the keys of the one in the other.
func unreferenced(trust *beneath.Dir, state *set, names []string, before time.Time) ([]string, error) {
	var old []string
	kept := false
	for _, name := range names {
		if state.references(name) {
			continue
		}
		if strings.HasPrefix(name, ".new-") { // durable writing's, interrupted: others are kept out
			old = append(old, name)
			continue
		}
		st, err := trust.Lstat(name)
		if err != nil {
			return nil, err
		}
		if time.Unix(st.Mtim.Unix()).Before(before) {
			old = append(old, name)
		} else if role, _, ok := parseVersioned(name); ok && isPublisherRole(role) {
			kept = true
		}
	}
	return slices.DeleteFunc(old, func(name string) bool {
		role, _, _ := parseVersioned(name)
		return kept && role == metadata.TARGETS
	}), nil
}

// references tells whether a file of the folder belongs to the state.
func (s *set) references(name string) bool {
	if role, _, ok := parseVersioned(name); ok && role == metadata.ROOT {
		return true
	}
	return s.files[name] != nil || name == lockFile
}

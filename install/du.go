package install

import (
	"cmp"
	"context"
	"slices"

	"github.com/larch-project/larch/release"
)

// Usage is what installed refs and the store take up.
type Usage struct {
	Refs    []RefUsage
	Objects int64 // in the store, whoever needs them
	Bytes   int64 // content of these
	Disk    int64 // bytes of blocks of these
}

// RefUsage is what one ref takes up in the store, in bytes of content.
type RefUsage struct {
	Ref       release.Ref
	Version   string
	Installed int64 // sizes of all its files, each hardlinked one once
	Exclusive int64 // in objects that nothing else installed needs: what gc would free without it
	Shared    int64 // in objects that something else installed needs too
}

// DU adds up what refs take up: those that are named, or all that are installed.
// Generations of the past do not count as users.
func (i *Installation) DU(ctx context.Context, refs []string) (*Usage, error) {
	current, err := i.Current()
	if err != nil {
		return nil, err
	}
	wanted := map[release.Ref]bool{}
	for _, short := range refs {
		in, err := current.Resolve(short)
		if err != nil {
			return nil, err
		}
		wanted[in.Ref] = true
	}
	u := &Usage{}
	users := map[uint64]uint32{} // how many refs need an object
	for _, in := range current.Installed {
		if err := i.countUsers(ctx, in, users); err != nil {
			return nil, err
		}
	}
	for _, in := range current.Installed {
		if len(refs) > 0 && !wanted[in.Ref] {
			continue
		}
		one, err := i.refUsage(ctx, in, users)
		if err != nil {
			return nil, err
		}
		u.Refs = append(u.Refs, one)
	}
	all, err := i.store.Usage(ctx)
	u.Objects, u.Bytes, u.Disk = all.Objects, all.Bytes, all.Disk
	return u, err
}

// sized is an object by its mark, with its size.
type sized struct {
	mark uint64
	size int64
}

// distinct gives the objects of a release, each once.
func (i *Installation) distinct(ctx context.Context, in Installed) (*release.Release, []sized, error) {
	rel, err := i.document(in.Release)
	if err != nil {
		return nil, nil, err
	}
	var list []sized
	for e, err := range i.store.Tree(rel.Tree.Digest, rel.Tree.Size) {
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return nil, nil, err
		}
		if o, ok := objectOf(e); ok {
			list = append(list, sized{mark(o), o.Size})
		}
	}
	slices.SortFunc(list, func(a, b sized) int { return cmp.Compare(a.mark, b.mark) })
	return rel, slices.CompactFunc(list, func(a, b sized) bool { return a.mark == b.mark }), nil
}

func (i *Installation) countUsers(ctx context.Context, in Installed, users map[uint64]uint32) error {
	_, list, err := i.distinct(ctx, in)
	for _, s := range list {
		users[s.mark]++
	}
	return err
}

func (i *Installation) refUsage(ctx context.Context, in Installed, users map[uint64]uint32) (RefUsage, error) {
	rel, list, err := i.distinct(ctx, in)
	if err != nil {
		return RefUsage{}, err
	}
	u := RefUsage{Ref: in.Ref, Version: in.Version, Installed: rel.Tree.Bytes}
	for _, s := range list {
		if users[s.mark] > 1 {
			u.Shared += s.size
		} else {
			u.Exclusive += s.size
		}
	}
	return u, nil
}

package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/fetch"
	"github.com/larch-project/larch/release"
)

// maxHistory is how many release documents a search for a version reads.
const maxHistory = 4096

// Wanted is a release that is asked for.
type Wanted struct {
	Ref     string // full or short
	Version string // "" for the newest
	Remote  string // "" for the one that it came from, or the only one that has it
}

// ParseWanted reads REF or REF@VERSION.
func ParseWanted(s string) Wanted {
	ref, version, _ := strings.Cut(s, "@")
	return Wanted{Ref: ref, Version: version}
}

// offers lists what all remotes have.
func (all *sources) offers() []offer {
	var list []offer
	for _, s := range all.list {
		list = append(list, s.offers()...)
	}
	return list
}

// choose finds the one ref, and the one remote, that a request stands for. What is
// installed stays with the remote that it came from.
func (all *sources) choose(w Wanted, current *Generation) (offer, error) {
	candidates := all.offers()
	if w.Remote != "" {
		if all.named(w.Remote) == nil {
			return offer{}, fmt.Errorf("%.80q: %w", w.Remote, ErrUnknownRemote)
		}
		candidates = slices.DeleteFunc(candidates, func(o offer) bool { return o.Name != w.Remote })
	}
	var refs []release.Ref
	for _, o := range candidates {
		if !slices.Contains(refs, o.ref) {
			refs = append(refs, o.ref)
		}
	}
	ref, err := release.Resolve(refs, w.Ref)
	if err != nil {
		return offer{}, all.explain(err, w.Ref)
	}
	if in := current.Find(ref); in != nil {
		if w.Remote != "" && w.Remote != in.Remote {
			return offer{}, fmt.Errorf("%s: %w, %q: uninstall it first", ref, ErrOtherRemote, in.Remote)
		}
		return all.same(*in)
	}
	return all.only(ref, w.Remote)
}

// same gives what the remote that a ref came from has of it now. A remote is the
// same if trust in it began by the same key, or by one that is its root key today.
func (all *sources) same(in Installed) (offer, error) {
	o, err := all.only(in.Ref, in.Remote)
	if err == nil && in.RootKey != o.Fingerprint && !slices.Contains(o.client.Fingerprints(), in.RootKey) {
		err = fmt.Errorf("%s: %w: the one called %q has another root key now: uninstall it first, if that is right", in.Ref, ErrOtherRemote, in.Remote)
	}
	return o, err
}

// explain tells why a ref may be unknown though a remote has it: its publisher's
// metadata has expired.
func (all *sources) explain(err error, short string) error {
	for _, s := range all.list {
		if _, expired := s.client.Target(short); expired != nil && !errors.Is(expired, fs.ErrNotExist) {
			return expired
		}
	}
	return err
}

// only gives a ref's offer of the named remote, or of the only one that has it.
func (all *sources) only(ref release.Ref, remote string) (offer, error) {
	var found []offer
	var first error
	for _, s := range all.list {
		if remote != "" && s.Name != remote {
			continue
		}
		o, err := s.find(ref)
		if err == nil {
			found = append(found, o)
		}
		first = cmp.Or(first, err)
	}
	switch {
	case len(found) == 0 && first == nil:
		return offer{}, fmt.Errorf("%s: %q: %w", ref, remote, ErrUnknownRemote)
	case len(found) == 0:
		return offer{}, first
	case len(found) > 1:
		return offer{}, fmt.Errorf("%s: %w: the remotes %q and %q have it; say which one", ref, release.ErrAmbiguous, found[0].Name, found[1].Name)
	}
	return found[0], nil
}

// head gives the newest release of a ref, as the remote's signed metadata names
// it; from the store if it is there.
func (i *Installation) head(ctx context.Context, o offer) (*release.Release, []byte, error) {
	d := o.target.Custom.Release
	rel, err := i.local(d)
	var data []byte
	if err != nil {
		t, err := o.files(ctx)
		if err != nil {
			return nil, nil, err
		}
		rel, data, err = fetch.Release(ctx, t, fetch.Target{Digest: d, SHA256: o.target.SHA256, Length: o.target.Length})
		if err != nil {
			return nil, nil, fmt.Errorf("remote %q: %w", o.Name, err)
		}
	}
	if rel.Ref != o.ref || rel.Version != o.target.Custom.Version {
		return nil, nil, fmt.Errorf("remote %q: %w: what is signed as %s %.80q is %s %s",
			o.Name, ErrRelease, o.ref, o.target.Custom.Version, rel.Ref, rel.Version)
	}
	return rel, data, nil
}

// found is a release that was looked up.
type found struct {
	offer
	digest  digest.Digest
	release *release.Release
	data    []byte // the document, nil if the store has it
}

// look finds the release of a version, going back from the newest along what each
// release says about those before it.
func (i *Installation) look(ctx context.Context, o offer, version string) (*found, error) {
	rel, data, err := i.head(ctx, o)
	if err != nil {
		return nil, err
	}
	f := &found{o, o.target.Custom.Release, rel, data}
	for range maxHistory {
		if version == "" || f.release.Version == version {
			return f, nil
		}
		if len(f.release.Previous) == 0 {
			break
		}
		at := slices.IndexFunc(f.release.Previous, func(p release.Previous) bool { return p.Version == version })
		if at < 0 {
			at = len(f.release.Previous) - 1 // the oldest that it knows
		}
		if err := i.step(ctx, f, f.release.Previous[at]); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s: %w: %.80q", o.ref, ErrUnknownVersion, version)
}

// step goes from a release to one before it.
func (i *Installation) step(ctx context.Context, f *found, p release.Previous) error {
	rel, err := i.local(p.Release)
	var data []byte
	if err != nil {
		t, err := f.files(ctx)
		if err != nil {
			return err
		}
		rel, data, err = fetch.Previous(ctx, t, p.Release)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w: the repository does not keep %s any more", f.ref, ErrUnknownVersion, p.Version)
		}
		if err != nil {
			return fmt.Errorf("remote %q: %w", f.Name, err)
		}
	}
	if rel.Ref != f.ref || rel.Version != p.Version {
		return fmt.Errorf("remote %q: %w: what is listed as %s %s is %s %s", f.Name, ErrRelease, f.ref, p.Version, rel.Ref, rel.Version)
	}
	f.digest, f.release, f.data = p.Release, rel, data
	return nil
}

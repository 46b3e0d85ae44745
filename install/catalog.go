package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/tree"
)

// Available is the newest release of a ref in a remote.
type Available struct {
	Ref     release.Ref
	Remote  string
	Version string
	Title   string // for people; a stranger's text
	Release digest.Digest
}

// Refresh brings the trust in remotes up to date: in those that are named, or in
// all. Two small requests each if there is nothing new.
func (i *Installation) Refresh(ctx context.Context, names ...string) error {
	all := &sources{inst: i}
	return errors.Join(all.use(ctx, names), all.Close())
}

// Available lists what the remotes have, as the last refresh left it, by ref and
// remote.
func (i *Installation) Available(ctx context.Context) ([]Available, error) {
	all := &sources{inst: i}
	defer all.Close()
	if err := all.open(ctx, nil); err != nil {
		return nil, err
	}
	var list []Available
	for _, o := range all.offers() {
		list = append(list, o.available())
	}
	slices.SortFunc(list, func(a, b Available) int {
		return cmp.Or(cmp.Compare(a.Ref.String(), b.Ref.String()), cmp.Compare(a.Remote, b.Remote))
	})
	return list, nil
}

func (o offer) available() Available {
	c := o.target.Custom
	return Available{o.ref, o.Name, c.Version, c.Title, c.Release}
}

// Details are what can be known about one ref.
type Details struct {
	Ref       release.Ref
	Installed *Installed       // nil if it is not installed
	Current   *release.Release // what is installed, or nil
	Newest    *Available       // what its remote has, or nil
	Release   *release.Release // the newest, or nil
	Remote    error            // why the remotes could not be asked; nil if they were
}

// Info finds out what is installed of a ref and what its remote has. It changes
// nothing but the cached metadata of remotes. While something is installed it works without
// the network.
func (i *Installation) Info(ctx context.Context, short string) (*Details, error) {
	current, err := i.Current()
	if err != nil {
		return nil, err
	}
	d, err := i.installedDetails(current, short)
	if err != nil && !errors.Is(err, ErrNotInstalled) {
		return nil, err
	}
	asked := i.remoteDetails(ctx, current, short, d)
	if d.Installed == nil && asked != nil {
		return nil, asked
	}
	d.Remote = asked
	return d, nil
}

func (i *Installation) installedDetails(current *Generation, short string) (*Details, error) {
	in, err := current.Resolve(short)
	if err != nil {
		return &Details{}, err
	}
	rel, err := i.document(in.Release)
	return &Details{Ref: in.Ref, Installed: in, Current: rel}, err
}

// remoteDetails fills in what remotes say.
func (i *Installation) remoteDetails(ctx context.Context, current *Generation, short string, d *Details) error {
	var names []string
	if d.Installed != nil {
		names, short = []string{d.Installed.Remote}, d.Ref.String()
	}
	all := &sources{inst: i}
	defer all.Close()
	if err := all.use(ctx, names); err != nil {
		return err
	}
	o, err := all.choose(Wanted{Ref: short}, current)
	if err != nil {
		return err
	}
	newest := o.available()
	d.Ref, d.Newest = o.ref, &newest
	d.Release, _, err = i.head(ctx, o)
	return err
}

// document reads a release document that is here.
func (i *Installation) document(d digest.Digest) (*release.Release, error) {
	data, err := i.store.Release(d)
	if err != nil {
		return nil, err
	}
	return release.Decode(data)
}

// releases implements store.Releases for those that are here, whose names are their
// digests.
type releases struct{ inst *Installation }

func (r releases) find(name string) (*release.Release, error) {
	d, err := digest.Parse(name)
	if err != nil {
		return nil, err
	}
	return r.inst.document(d)
}

// Tree implements store.Releases.
func (r releases) Tree(name string) iter.Seq2[*tree.Entry, error] {
	rel, err := r.find(name)
	if err != nil {
		return func(yield func(*tree.Entry, error) bool) {
			yield(nil, fmt.Errorf("release %.12s: %w", name, err))
		}
	}
	return r.inst.store.Tree(rel.Tree.Digest, rel.Tree.Size)
}

// Image implements store.Releases.
func (r releases) Image(name string) (digest.Digest, error) {
	rel, err := r.find(name)
	if err != nil {
		return digest.Digest{}, err
	}
	return rel.Image, nil
}

// local is document, and fs.ErrNotExist for one that is here and damaged too, so
// that it is fetched again.
func (i *Installation) local(d digest.Digest) (*release.Release, error) {
	rel, err := i.document(d)
	if err != nil {
		err = fmt.Errorf("release %s: %w", d.Short(), fs.ErrNotExist)
	}
	return rel, err
}

// metadataOf reads what a release says about running it. Only an OS may say
// nothing, and nobody speaks for another id.
func metadataOf(rel *release.Release) (release.Metadata, error) {
	if rel.Metadata == "" && rel.Ref.Kind == release.OS {
		return release.Metadata{}, nil
	}
	m, err := release.ParseMetadata([]byte(rel.Metadata))
	if err != nil {
		return m, fmt.Errorf("%s: %w: %w", rel.Ref, ErrRelease, err)
	}
	if m.Name != rel.Ref.ID {
		return m, fmt.Errorf("%s: %w: its metadata is that of %q", rel.Ref, ErrRelease, m.Name)
	}
	return m, nil
}

// requirements are the refs that must be installed with a release: those that it
// lists, and the runtime of its metadata.
func requirements(rel *release.Release) ([]release.Ref, error) {
	m, err := metadataOf(rel)
	if err != nil {
		return nil, err
	}
	refs := slices.Clone(rel.Requires)
	if m.Runtime != "" && m.Runtime != release.HostRuntime {
		ref, err := release.ParseRef(m.Runtime)
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, func(a, b release.Ref) int { return cmp.Compare(a.String(), b.String()) })
	refs = slices.Compact(refs)
	return slices.DeleteFunc(refs, func(r release.Ref) bool { return r == rel.Ref }), nil
}

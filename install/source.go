package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/bounded"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/trust"
)

// source is a remote that is being read.
type source struct {
	Remote
	inst    *Installation
	folder  string       // below the installation
	dir     *beneath.Dir // its metadata
	client  *trust.Client
	stats   *transport.Stats
	mirrors []string // those that the transport knows
	t       transport.Transport
	known   bool  // its format was looked at
	fresh   bool  // its trust is up to date
	silent  error // why its trust could not be brought up to date, once it was tried
}

// openSource opens the remote that is kept in a folder below the installation.
func (i *Installation) openSource(ctx context.Context, folder string, r Remote, stats *transport.Stats) (*source, error) {
	dir, err := i.trustDir(folder)
	if err != nil {
		return nil, err
	}
	s := &source{Remote: r, inst: i, folder: folder, dir: dir, stats: stats}
	s.client = trust.NewClient(dir, s.fetchTrust, i.opt.Now)
	if err := s.client.Load(ctx); err == nil {
		s.mirrors = s.client.Mirrors()
	}
	if s.t, err = i.opt.Transport(r.URL, s.mirrors, stats); err != nil {
		dir.Close()
		return nil, err
	}
	return s, nil
}

// Close ends its connections.
func (s *source) Close() error { return errors.Join(closeTransport(s.t), s.dir.Close()) }

func closeTransport(t transport.Transport) error {
	if closer, ok := t.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// fetchTrust is a trust.Fetch.
func (s *source) fetchTrust(ctx context.Context, name string, limit int64, validator string) (trust.Document, error) {
	res, err := s.t.Fetch(ctx, transport.Request{Name: name, Validator: validator})
	if err != nil {
		return trust.Document{}, err
	}
	defer res.Body.Close()
	if res.NotModified {
		return trust.Document{NotModified: true}, nil
	}
	data, err := bounded.ReadAll(res.Body, limit)
	if err == nil && path.Base(name) == trust.HeadName && !bytes.Equal(data, s.head()) {
		_, err = s.files(ctx) // before a new head is taken up
	}
	return trust.Document{Data: data, Validator: res.Validator}, err
}

// refresh brings the trust up to date, and the list of mirrors with it. The format is
// looked at before a new head is taken up, so that of the one that we hold is known.
func (s *source) refresh(ctx context.Context) error {
	before := s.head()
	if err := s.client.Refresh(ctx); err != nil {
		return fmt.Errorf("remote %q: %w", s.Name, err)
	}
	s.known = s.known || before != nil && bytes.Equal(before, s.head())
	if err := s.useMirrors(); err != nil {
		return err
	}
	_, err := s.files(ctx)
	return err
}

// head is the signed head that we hold, or nil.
func (s *source) head() []byte {
	data, err := s.dir.ReadFile(trust.HeadName, trust.MaxHead)
	if err != nil {
		return nil
	}
	return data
}

func (s *source) useMirrors() error {
	mirrors := s.client.Mirrors()
	if slices.Equal(mirrors, s.mirrors) {
		return nil
	}
	t, err := s.inst.opt.Transport(s.URL, mirrors, s.stats)
	if err != nil {
		return fmt.Errorf("remote %q: %w", s.Name, err)
	}
	err = closeTransport(s.t)
	s.t, s.mirrors = t, mirrors
	return err
}

// files gives the transport for everything below the signed head, once the
// repository's format is known to be ours.
func (s *source) files(ctx context.Context) (transport.Transport, error) {
	if !s.known {
		if err := s.checkFormat(ctx); err != nil {
			return nil, fmt.Errorf("remote %q: %w", s.Name, err)
		}
	}
	return s.t, nil
}

func (s *source) checkFormat(ctx context.Context) error {
	res, err := s.t.Fetch(ctx, transport.Request{Name: repo.FormatName})
	if err != nil {
		return fmt.Errorf("looking for a repository: %w", err)
	}
	defer res.Body.Close()
	data, err := bounded.ReadAll(res.Body, 4096)
	if err == nil {
		err = repo.ParseFormat(data)
	}
	s.known = err == nil
	return err
}

// offer is what a remote has of one ref.
type offer struct {
	*source
	ref    release.Ref
	target trust.Target
}

// offers lists what a remote has, by its metadata as it is loaded.
func (s *source) offers() []offer {
	var all []offer
	for name, target := range s.client.Targets() {
		if ref, err := release.ParseRef(name); err == nil { // others are for later versions of larch
			all = append(all, offer{s, ref, target})
		}
	}
	return all
}

// find gives what a remote has of a ref: release.ErrUnknownRef if nothing.
func (s *source) find(ref release.Ref) (offer, error) {
	target, err := s.client.Target(ref.String())
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("remote %q: %s: %w", s.Name, ref, release.ErrUnknownRef)
	}
	return offer{s, ref, target}, err
}

// sources are the remotes that one transaction reads; they share their counters.
type sources struct {
	inst  *Installation
	list  []*source
	stats transport.Stats

	replaced bool // contents were wrong or missing, and were fetched again
}

// open opens remotes that are not open yet: all, unless some are named.
func (all *sources) open(ctx context.Context, names []string) error {
	picked, err := all.inst.pick(names)
	if err != nil {
		return err
	}
	for _, r := range picked {
		if all.named(r.Name) != nil {
			continue
		}
		s, err := all.inst.openSource(ctx, path.Join(remotes, r.Name), r, &all.stats)
		if err != nil {
			return fmt.Errorf("remote %q: %w", r.Name, err)
		}
		all.list = append(all.list, s)
	}
	return nil
}

// use is open, and brings the trust in these remotes up to date, once. One that
// cannot be asked is an error, for it may have news.
func (all *sources) use(ctx context.Context, names []string) error {
	if err := all.open(ctx, names); err != nil {
		return err
	}
	for _, s := range all.list {
		if names != nil && !slices.Contains(names, s.Name) || s.fresh {
			continue
		}
		if s.silent == nil {
			s.silent = s.refresh(ctx)
		}
		if s.silent != nil {
			return s.silent
		}
		s.fresh = true
	}
	return nil
}

// ask is use, but goes on without those that cannot be asked, and says why: an
// error if that is all of them.
func (all *sources) ask(ctx context.Context, names []string) (silent map[string]error, err error) {
	silent = map[string]error{}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	for _, name := range names {
		if err := all.use(ctx, []string{name}); err != nil {
			silent[name] = err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	if len(silent) == len(names) {
		return nil, joined(silent)
	}
	return silent, nil
}

// joined is what is wrong with remotes, in the order of their names: nil for none.
func joined(silent map[string]error) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(silent)) {
		errs = append(errs, silent[name])
	}
	return errors.Join(errs...)
}

// changed tells whether a remote has another head than the one that was used; it is
// taken up then.
func (all *sources) changed(ctx context.Context) bool {
	return slices.ContainsFunc(all.list, func(s *source) bool {
		before := s.head()
		return s.fresh && s.refresh(ctx) == nil && !bytes.Equal(before, s.head())
	})
}

// Close ends all connections.
func (all *sources) Close() error {
	var errs []error
	for _, s := range all.list {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// named gives the remote of a name, or nil.
func (all *sources) named(name string) *source {
	for _, s := range all.list {
		if s.Name == name {
			return s
		}
	}
	return nil
}

package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/durable"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/trust"
)

const (
	remoteName = "remote.json"
	remoteCopy = "remote.copy" // of the same content
	trustName  = "trust"
	maxRemote  = 16 << 10 // bytes of remote.json
)

// Remote is a repository that is trusted.
type Remote struct {
	Fingerprint string `json:"fingerprint"` // of the root key by which trust began
	Name        string `json:"name"`
	Title       string `json:"title"` // for people; a stranger's text
	URL         string `json:"url"`
}

// AddRemote begins to trust a repository by the fingerprint of its root key, 64
// hex digits. A folder's address may be a relative path. On an error there is no
// such remote.
func (i *Installation) AddRemote(ctx context.Context, name, url, fingerprint string) (Remote, error) {
	if len(fingerprint) != 64 || strings.Trim(fingerprint, "0123456789abcdef") != "" {
		return Remote{}, fmt.Errorf("%w: fingerprint %.80q: want 64 hex digits, in lower case", ErrArgument, fingerprint)
	}
	return i.addRemote(ctx, Remote{Name: name, URL: url, Fingerprint: fingerprint}, func(c *trust.Client) error {
		return c.Bootstrap(ctx, fingerprint)
	})
}

// AddRemoteFile begins to trust a repository by a .larchrepo file, which carries
// its address and root. Whoever gave the file decides what is trusted: show its
// Remote first.
func (i *Installation) AddRemoteFile(ctx context.Context, name string, f *RemoteFile) (Remote, error) {
	return i.addRemote(ctx, Remote{Name: name, URL: f.URL, Title: f.Title}, func(c *trust.Client) error {
		return c.BootstrapRoot(ctx, f.Root)
	})
}

func (i *Installation) addRemote(ctx context.Context, r Remote, begin func(*trust.Client) error) (Remote, error) {
	if err := checkName(r.Name); err != nil {
		return r, err
	}
	var err error
	if r.URL, err = settleAddress(r.URL); err != nil {
		return r, err
	}
	held, err := i.hold(ctx)
	if err != nil {
		return r, err
	}
	defer held.Close()
	if there, err := i.root.Exists(path.Join(remotes, r.Name)); err != nil {
		return r, err
	} else if there {
		return r, fmt.Errorf("%q: %w", r.Name, ErrRemoteExists)
	}
	aside := path.Join(scratch, "remote-"+r.Name)
	if r, err = i.makeRemote(ctx, aside, r, begin); err != nil {
		i.root.RemoveAll(aside) // the next transaction does otherwise
		return r, fmt.Errorf("adding the remote %q: %w", r.Name, err)
	}
	return r, nil
}

// makeRemote builds the remote's folder aside and moves it into place.
func (i *Installation) makeRemote(ctx context.Context, aside string, r Remote, begin func(*trust.Client) error) (Remote, error) {
	if err := i.root.MkdirAll(path.Join(aside, trustName), 0o755); err != nil {
		return r, err
	}
	s, err := i.openSource(ctx, aside, r, new(transport.Stats))
	if err != nil {
		return r, err
	}
	defer s.Close()
	if err := s.checkFormat(ctx); err != nil {
		return r, err
	}
	if err := begin(s.client); err != nil {
		return r, err
	}
	if r.Fingerprint == "" {
		r.Fingerprint = s.client.Fingerprints()[0]
	}
	if err := i.writeRemote(aside, r); err != nil {
		return r, err
	}
	if err := i.root.RenameNoReplace(aside, path.Join(remotes, r.Name)); err != nil { // the commit point
		return r, err
	}
	return r, i.syncFolder(remotes)
}

// RemoveRemote ends the trust in a repository. What was installed from it stays;
// a remote of the same name updates it again if it has the same root key.
func (i *Installation) RemoveRemote(ctx context.Context, name string) error {
	held, err := i.hold(ctx)
	if err != nil {
		return err
	}
	defer held.Close()
	there := checkName(name) == nil
	if there {
		if there, err = i.root.Exists(path.Join(remotes, name)); err != nil {
			return err
		}
	}
	if !there {
		return fmt.Errorf("%.80q: %w", name, ErrUnknownRemote)
	}
	if err := i.trash(path.Join(remotes, name)); err != nil {
		return fmt.Errorf("removing the remote %q: %w", name, err)
	}
	return i.syncFolder(remotes)
}

// Remotes lists the repositories that are trusted, by name.
func (i *Installation) Remotes() ([]Remote, error) {
	names, err := i.root.ReadDir(remotes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Remote
	for _, name := range names {
		if checkName(name) != nil { // being written
			continue
		}
		r, err := i.remote(name)
		if errors.Is(err, ErrUnknownRemote) { // removed meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// remote reads one, from its second copy if the first is damaged: ErrUnknownRemote
// if there is none.
func (i *Installation) remote(name string) (Remote, error) {
	if checkName(name) != nil {
		return Remote{}, fmt.Errorf("%.80q: %w", name, ErrUnknownRemote)
	}
	r, err := i.readRemote(name, remoteName)
	if err != nil {
		if second, secondErr := i.readRemote(name, remoteCopy); secondErr == nil {
			return second, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("%q: %w", name, ErrUnknownRemote)
	}
	return r, err
}

// readRemote reads one of the two copies.
func (i *Installation) readRemote(name, base string) (Remote, error) {
	file := path.Join(remotes, name, base)
	data, err := i.root.ReadFile(file, maxRemote)
	if err != nil {
		return Remote{}, err
	}
	r, err := decodeSealed[Remote](data)
	if err == nil && r.Name != name {
		err = fmt.Errorf("%w: it is that of %.80q", ErrFormat, r.Name)
	}
	if err != nil {
		return r, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

// writeRemote writes both copies into a remote's folder.
func (i *Installation) writeRemote(folder string, r Remote) error {
	data, err := encodeSealed(r)
	if err != nil {
		return err
	}
	return errors.Join(
		durable.WriteFile(i.root, path.Join(folder, remoteName), data, 0o644),
		durable.WriteFile(i.root, path.Join(folder, remoteCopy), data, 0o644))
}

// pick gives the remotes of these names, or all.
func (i *Installation) pick(names []string) ([]Remote, error) {
	all, err := i.Remotes()
	if err != nil || names == nil {
		return all, err
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(r Remote) bool { return r.Name == name }) {
			return nil, fmt.Errorf("%.80q: %w", name, ErrUnknownRemote)
		}
	}
	return slices.DeleteFunc(all, func(r Remote) bool { return !slices.Contains(names, r.Name) }), nil
}

// trustDir opens the folder of a remote's metadata.
func (i *Installation) trustDir(folder string) (*beneath.Dir, error) {
	return i.root.OpenDir(path.Join(folder, trustName))
}

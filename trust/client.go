package trust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/durable"
)

// Document is what a Fetch brings.
type Document struct {
	Data        []byte
	Validator   string // names this state of the file for the next conditional request; "" if there is none
	NotModified bool   // the copy that the validator names is still right; Data is empty
}

// Fetch reads a small file of the repository, such as trust/timestamp.json: not
// more than max bytes, else an error. Unless validator is empty, the answer may be
// that nothing has changed since. A missing file's error matches fs.ErrNotExist.
// What comes is not trusted.
type Fetch func(ctx context.Context, name string, max int64, validator string) (Document, error)

// Client is the trust of one machine in one repository. It lives in a folder that
// looks like the repository's own trust/: all roots that were followed, the head
// timestamp.json, and the files that it leads to; and floor.json, with versions that
// must not be undercut even if one of the others is lost.
//
// Two Clients may work on one folder at once, in any processes; a single one is not
// for concurrent use.
type Client struct {
	dir   *beneath.Dir
	fetch Fetch
	now   func() time.Time
	state *set // nil before Load or Refresh
}

// NewClient makes a client whose folder is dir. It reads nothing yet: Load or
// Refresh do, and on an empty folder Bootstrap or BootstrapRoot.
func NewClient(dir *beneath.Dir, fetch Fetch, now func() time.Time) *Client {
	return &Client{dir: dir, fetch: fetch, now: now}
}

// Load takes up what the last refresh left, without the network. Nothing expires
// for it: it serves to look at what is installed. Install only after Refresh.
// fs.ErrNotExist if there was no successful refresh yet.
func (c *Client) Load(ctx context.Context) error {
	state, err := readStable(ctx, c.dir)
	if err != nil {
		return fmt.Errorf("reading trusted metadata in %s: %w", c.dir.Path(), err)
	}
	c.state = state
	return nil
}

// Targets gives the trusted targets, by ref, without those of publishers whose
// metadata has expired; the map is the caller's.
func (c *Client) Targets() map[string]Target {
	if c.state == nil {
		return map[string]Target{}
	}
	return c.state.current()
}

// Target gives what is trusted about one ref: fs.ErrNotExist if the repository has
// no such ref, ErrExpired if it has and its publisher's metadata has expired.
func (c *Client) Target(ref string) (Target, error) {
	if c.state != nil {
		if t, ok := c.state.targets[ref]; ok {
			return t, c.state.checkPublisher(t)
		}
	}
	return Target{}, fmt.Errorf("%.200q: %w in this repository", ref, fs.ErrNotExist)
}

func (s *set) checkPublisher(t Target) error {
	since, over := s.expired[rolePrefix+t.Publisher]
	if !over {
		return nil
	}
	return problem(published(listed(rolePrefix+t.Publisher)), ErrExpired, "on %s; it is needed for %s", date(since), t.Name)
}

// Mirrors gives the addresses of mirrors that the repository has signed.
func (c *Client) Mirrors() []string {
	if c.state == nil {
		return nil
	}
	return slices.Clone(c.state.settings.mirrors)
}

// Expires is when a refresh must have brought something newer; the zero time if
// nothing is loaded.
func (c *Client) Expires() time.Time {
	if c.state == nil {
		return time.Time{}
	}
	return c.state.expires()
}

// Fingerprints gives the ids of the root keys that are trusted today.
func (c *Client) Fingerprints() []string {
	if c.state == nil {
		return nil
	}
	return slices.Clone(c.state.trusted.Root.Signed.Roles[metadata.ROOT].KeyIDs)
}

// Bootstrap begins to trust a repository by the fingerprint of one of its root
// keys, 64 hex digits: it looks through the roots, from the first, for one that
// lists this key, bears its signature, and is signed by as many of its own keys as
// it asks for; from there on it is Refresh.
//
// ErrFingerprint if there is no such root; nothing is written then. fs.ErrExist if
// the folder trusts another root already. After any other error the folder may
// have begun: Bootstrap can be called again.
func (c *Client) Bootstrap(ctx context.Context, fingerprint string) error {
	if !isHex(fingerprint, 64) {
		return fmt.Errorf("%w: fingerprint %.80q: want 64 hex digits, in lower case", ErrFingerprint, fingerprint)
	}
	for version := int64(1); version <= maxRoots; version++ {
		name := versioned(metadata.ROOT, version)
		document, err := c.fetch(ctx, published(name), maxRoot, "")
		if errors.Is(err, fs.ErrNotExist) && version > 1 {
			break
		}
		if err != nil {
			return fmt.Errorf("fetching %s: %w: is this the address of a Larch repository?", published(name), err)
		}
		root, err := parseRoot(published(name), document.Data)
		if err != nil {
			return err
		}
		listed := slices.Contains(root.Signed.Roles[metadata.ROOT].KeyIDs, fingerprint)
		if listed && signedBy(root, fingerprint, root.Signed.Keys[fingerprint]) {
			return c.begin(ctx, version, document.Data)
		}
	}
	return fmt.Errorf("%w: no root of this repository is signed by the key %s: compare with the fingerprint that the publisher gives",
		ErrFingerprint, fingerprint)
}

// BootstrapRoot begins to trust a repository by a root that came another way, such
// as in a file from the publisher's web page: the root is believed as it is, if it
// is signed as it asks itself. For the rest it is Bootstrap.
func (c *Client) BootstrapRoot(ctx context.Context, root []byte) error {
	doc, err := parseRoot("the given root", root)
	if err != nil {
		return err
	}
	return c.begin(ctx, doc.Signed.Version, root)
}

// begin writes the first trusted root, unless it is there already, and refreshes.
func (c *Client) begin(ctx context.Context, version int64, root []byte) error {
	if _, err := startAssembly(version, root, time.Time{}, nil); err != nil {
		return err
	}
	release, err := hold(ctx, c.dir)
	if err != nil {
		return err
	}
	err = c.writeFirst(version, root)
	release()
	if err != nil {
		return fmt.Errorf("beginning to trust in %s: %w", c.dir.Path(), err)
	}
	return c.Refresh(ctx)
}

func (c *Client) writeFirst(version int64, root []byte) error {
	versions, err := rootVersions(c.dir)
	if err != nil {
		return err
	}
	name := versioned(metadata.ROOT, version)
	if len(versions) == 0 {
		return durable.Create(c.dir, name, root, 0o644)
	}
	have, err := c.dir.ReadFile(name, maxRoot)
	if err != nil || string(have) != string(root) {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	return nil
}

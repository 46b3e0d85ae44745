package trust

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/larch-project/larch/internal/durable"
)

// Refresh brings the trust up to date, following TUF's procedure for clients
// (spec/4-trust.md §4.7). When there is nothing new it makes two requests: for the
// root after the trusted one, which is missing, and a conditional one for
// timestamp.json; and it writes nothing.
//
// After an error what was trusted before still is, in memory and in the folder,
// but for new roots and the floor, which count from when they were verified. On
// return without an error the new state survives power loss; timestamp.json is its
// commit point. Input untrusted: at most 4 MiB are read beside the roots, each of
// at most 256 KiB, of which at most 256 are followed at once.
func (c *Client) Refresh(ctx context.Context) error {
	release, err := hold(ctx, c.dir)
	if err != nil {
		return err
	}
	defer release()
	u, err := c.startUpdate()
	if err != nil {
		return err
	}
	if err := u.roots(ctx); err != nil {
		return err
	}
	if err := u.head(ctx); err != nil {
		return err
	}
	if err := u.rest(ctx); err != nil {
		return err
	}
	if err := u.save(); err != nil {
		return fmt.Errorf("keeping trusted metadata: %w", err)
	}
	c.state = &u.set
	return nil
}

// update is a refresh under way.
type update struct {
	*assembly
	client *Client
	before floor // as it is on disk
	floor  floor

	local    []byte   // the timestamp.json that we hold, if it is still believed
	snapshot []byte   // the snapshot that it leads to, if we hold it
	fetched  []string // immutable files that we did not hold
}

// startUpdate begins with the newest root in the folder.
func (c *Client) startUpdate() (*update, error) {
	versions, err := rootVersions(c.dir)
	if err != nil {
		return nil, err
	}
	if len(versions) == 0 {
		return nil, fmt.Errorf("no trusted root in %s: %w: run `larch remote add` again", c.dir.Path(), fs.ErrNotExist)
	}
	last := versions[len(versions)-1]
	root, err := c.dir.ReadFile(versioned(metadata.ROOT, last), maxRoot)
	if err != nil {
		return nil, err
	}
	u := &update{client: c, before: readFloor(c.dir)}
	u.floor = u.before
	u.floor.Roles = maps.Clone(u.before.Roles)
	u.assembly, err = startAssembly(last, root, c.now(), u.readOrFetch)
	if err != nil {
		return nil, fmt.Errorf("reading trusted metadata in %s: %w", c.dir.Path(), err)
	}
	return u, nil
}

// fetchFile asks the repository for a file of its trust folder.
func (u *update) fetchFile(ctx context.Context, name string, size int64, validator string) (Document, error) {
	document, err := u.client.fetch(ctx, published(name), size, validator)
	if err != nil {
		return document, fmt.Errorf("fetching %s: %w", published(name), err)
	}
	if int64(len(document.Data)) > size {
		return document, problem(published(name), ErrFormat, "longer than %d bytes", size)
	}
	return document, nil
}

// readOrFetch gives the local copy of an immutable file, if it is right, else the
// repository's.
func (u *update) readOrFetch(ctx context.Context, name string, meta *metadata.MetaFiles) ([]byte, error) {
	data, err := u.client.dir.ReadFile(name, meta.Length)
	if err == nil && meta.VerifyLengthHashes(data) == nil {
		return data, nil
	}
	u.fetched = append(u.fetched, name)
	document, err := u.fetchFile(ctx, name, meta.Length, "")
	return document.Data, err
}

// roots follows the chain of roots to its end. Each is kept as soon as it is
// verified: trust that was withdrawn stays so.
func (u *update) roots(ctx context.Context) error {
	for range maxRotations {
		version := u.trusted.Root.Signed.Version + 1
		name := versioned(metadata.ROOT, version)
		document, err := u.fetchFile(ctx, name, maxRoot, "")
		if errors.Is(err, fs.ErrNotExist) {
			return u.lastRoot()
		}
		if err != nil {
			return err
		}
		if err := u.nextRoot(document.Data); err != nil {
			return err
		}
		if err := durable.WriteFile(u.client.dir, name, document.Data, 0o644); err != nil {
			return fmt.Errorf("keeping trusted metadata: %w", err)
		}
	}
	return fmt.Errorf("%d new roots were followed and there are more: run the command again", maxRotations)
}

// lastRoot judges the newest root, and forgets what its changes of keys undo.
func (u *update) lastRoot() error {
	version := u.trusted.Root.Signed.Version
	if version < u.floor.Root {
		return problem(published(versioned(metadata.ROOT, u.floor.Root)), ErrRollback, "it is gone: version %d is the newest", version)
	}
	u.floor.Root = version
	rotated := u.before.Scope != "" && u.before.Scope != scopeOf(u.trusted.Root)
	u.floor = u.floor.under(u.trusted.Root)
	if err := u.checkRootTime(); err != nil || rotated {
		return err
	}
	u.takeUpLocal()
	return nil
}

// takeUpLocal loads the timestamp and the snapshot that we hold, expired or not, so
// that go-tuf refuses older ones. What cannot be believed any more is left aside.
func (u *update) takeUpLocal() {
	dir := u.client.dir
	data, err := dir.ReadFile(timestampFile, maxTimestamp)
	if err != nil {
		return
	}
	head, err := parseTimestamp(published(timestampFile), data)
	if err != nil {
		return
	}
	u.trusted.UpdateTimestamp(data) // tells about expiry too; whether it was taken up says Timestamp
	if u.trusted.Timestamp == nil {
		return
	}
	u.local = data
	u.floor.raise(u.trusted.Timestamp)
	meta := head.Signed.Meta[listed(metadata.SNAPSHOT)]
	data, err = dir.ReadFile(versioned(metadata.SNAPSHOT, meta.Version), maxSnapshot)
	if err == nil && meta.VerifyLengthHashes(data) == nil {
		u.snapshot = data
	}
}

// head fetches timestamp.json and verifies that it is not older than what we know.
func (u *update) head(ctx context.Context) error {
	validator := ""
	if sum := sha256.Sum256(u.local); u.local != nil && u.floor.Of == hex.EncodeToString(sum[:]) {
		validator = u.floor.Validator
	}
	document, err := u.fetchFile(ctx, timestampFile, maxTimestamp, validator)
	if err != nil {
		return err
	}
	switch {
	case document.NotModified && validator == "":
		return problem(published(timestampFile), ErrFormat, "the server says that it has not changed, but was not asked")
	case document.NotModified:
		document.Data = u.local
	default:
		u.keepValidator(document)
	}
	if err := u.takeUpHead(document.Data); err != nil {
		return err
	}
	if err := u.floor.checkHead(u.trusted.Timestamp); err != nil {
		return err
	}
	u.files[timestampFile] = document.Data
	return u.raiseFloor()
}

func (u *update) keepValidator(document Document) {
	sum := sha256.Sum256(document.Data)
	u.floor.Validator, u.floor.Of = document.Validator, hex.EncodeToString(sum[:])
	if document.Validator == "" || len(document.Validator) > maxValidator {
		u.floor.Validator, u.floor.Of = "", ""
	}
}

// takeUpHead verifies a head; the one that we hold may have expired meanwhile. Two
// heads of one version would be a fork.
func (u *update) takeUpHead(data []byte) error {
	if u.local != nil && bytes.Equal(data, u.local) {
		return u.checkTime(timestampFile, u.trusted.Timestamp.Signed.Expires)
	}
	return u.timestamp(data)
}

// raiseFloor keeps the versions of a new head before anything is fetched by it.
func (u *update) raiseFloor() error {
	u.floor.raise(u.trusted.Timestamp)
	if u.floor.Timestamp == u.before.Timestamp && u.floor.Scope == u.before.Scope && u.floor.Root == u.before.Root {
		return nil
	}
	return u.writeFloor()
}

func (u *update) writeFloor() error {
	if u.floor.equal(u.before) {
		return nil
	}
	if err := u.floor.write(u.client.dir); err != nil {
		return fmt.Errorf("keeping trusted metadata: %w", err)
	}
	u.before = u.floor
	u.before.Roles = maps.Clone(u.floor.Roles)
	return nil
}

// rest verifies what the head leads to, after the snapshot that we hold.
func (u *update) rest(ctx context.Context) error {
	if u.snapshot != nil {
		if _, err := parseSnapshot(published(listed(metadata.SNAPSHOT)), u.snapshot); err == nil {
			u.trusted.UpdateSnapshot(u.snapshot, true) // for go-tuf to compare with; an old one is an error, and taken up
		}
	}
	if err := u.assembly.rest(ctx); err != nil {
		return err
	}
	if err := u.floor.checkSnapshot(u.trusted.Snapshot); err != nil {
		return err
	}
	u.floor.Roles = map[string]int64{}
	for name, meta := range u.trusted.Snapshot.Signed.Meta {
		u.floor.Roles[name] = meta.Version
	}
	return nil
}

// save writes what is new: immutable files, the floor, and last the head, which is
// the commit point. Then it removes what nothing names any more.
func (u *update) save() error {
	dir := u.client.dir
	for _, name := range u.fetched {
		if err := durable.WriteFile(dir, name, u.files[name], 0o644); err != nil {
			return err
		}
	}
	if err := u.writeFloor(); err != nil {
		return err
	}
	if !bytes.Equal(u.files[timestampFile], u.local) {
		if err := durable.WriteFile(dir, timestampFile, u.files[timestampFile], 0o644); err != nil {
			return err
		}
	}
	u.sweep()
	return nil
}

// sweep removes files of older states, and what an interruption left. What it
// cannot remove does no harm, and the next refresh tries again.
func (u *update) sweep() {
	names, err := u.client.dir.ReadDir(".")
	if err != nil {
		return
	}
	for _, name := range names {
		if !u.references(name) && name != floorFile {
			u.client.dir.Remove(name)
		}
	}
}

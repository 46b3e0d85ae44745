package trust

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// set is one state of a repository's metadata whose parts were verified to belong
// together. It does not change once it is complete.
type set struct {
	trusted *trustedmetadata.TrustedMetadata
	files   map[string][]byte // by name in the trust folder; of the roots only the newest

	publishers map[string]*targetsDoc // by role; those that the snapshot lists
	expired    map[string]time.Time   // roles of publishers whose time is over, and since when
	targets    map[string]Target      // the effective ones, of expired publishers too
	settings   settings
}

// reader gives the bytes of a file of the trust folder that metadata describes: not
// more than it says. A missing file's error matches fs.ErrNotExist. The caller checks
// the bytes.
type reader func(ctx context.Context, name string, meta *metadata.MetaFiles) ([]byte, error)

// assembly builds a set in the order in which TUF trusts: root, timestamp,
// snapshot, targets, publishers (spec/4-trust.md §4.7). Each step is verified
// before the next one uses it.
type assembly struct {
	set
	read reader
}

// startAssembly begins with a root that is trusted, at a moment. With the zero
// time nothing has expired.
func startAssembly(version int64, root []byte, now time.Time, read reader) (*assembly, error) {
	name := versioned(metadata.ROOT, version)
	doc, err := parseRoot(published(name), root)
	if err != nil {
		return nil, err
	}
	if doc.Signed.Version != version {
		return nil, problem(published(name), ErrRollback, "it is version %d", doc.Signed.Version)
	}
	trusted, err := trustedmetadata.New(root)
	if err != nil {
		return nil, refused(published(name), err)
	}
	trusted.RefTime = now
	a := &assembly{read: read}
	a.trusted = trusted
	a.files = map[string][]byte{name: root}
	a.publishers = map[string]*targetsDoc{}
	a.expired = map[string]time.Time{}
	a.targets = map[string]Target{}
	return a, nil
}

// nextRoot goes on to the root of the next version.
func (a *assembly) nextRoot(data []byte) error {
	version := a.trusted.Root.Signed.Version
	name := versioned(metadata.ROOT, version+1)
	if _, err := parseRoot(published(name), data); err != nil {
		return err
	}
	if _, err := a.trusted.UpdateRoot(data); err != nil {
		return refused(published(name), err)
	}
	delete(a.files, versioned(metadata.ROOT, version))
	a.files[name] = data
	return nil
}

// checkRootTime refuses to go on from a root whose time is over.
func (a *assembly) checkRootTime() error {
	root := &a.trusted.Root.Signed
	return a.checkTime(versioned(metadata.ROOT, root.Version), root.Expires)
}

func (a *assembly) checkTime(name string, expires time.Time) error {
	if now := a.trusted.RefTime; now.After(expires) {
		return problem(published(name), ErrExpired, "on %s, and it is %s here", date(expires), date(now))
	}
	return nil
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// timestamp verifies the head, which must be newer than one that was verified
// before it.
func (a *assembly) timestamp(data []byte) error {
	file := published(timestampFile)
	if err := a.checkRootTime(); err != nil {
		return err
	}
	if _, err := parseTimestamp(file, data); err != nil {
		return err
	}
	_, err := a.trusted.UpdateTimestamp(data)
	if errors.Is(err, &metadata.ErrExpiredMetadata{}) {
		return a.checkTime(timestampFile, a.trusted.Timestamp.Signed.Expires)
	}
	if err != nil {
		return refused(file, err)
	}
	a.files[timestampFile] = data
	return a.checkNewestRoot()
}

// checkNewestRoot refuses a head that was signed when there was a newer root than
// the one that is trusted: somebody holds it back.
func (a *assembly) checkNewestRoot() error {
	named, err := newestRoot(&a.trusted.Timestamp.Signed)
	if have := a.trusted.Root.Signed.Version; err == nil && named > have {
		return problem(published(versioned(metadata.ROOT, named)), ErrRollback, "it is missing, although %s names it", timestampFile)
	}
	return err
}

// rest verifies all that the timestamp leads to.
func (a *assembly) rest(ctx context.Context) error {
	if err := a.snapshot(ctx); err != nil {
		return err
	}
	if err := a.topTargets(ctx); err != nil {
		return err
	}
	if err := a.delegated(ctx); err != nil {
		return err
	}
	return a.collect()
}

// fetch reads a file that signed metadata names, and checks that it is that file.
func (a *assembly) fetch(ctx context.Context, role string, meta *metadata.MetaFiles) (string, []byte, error) {
	name := versioned(role, meta.Version)
	data, err := a.read(ctx, name, meta)
	if err != nil {
		return name, nil, fmt.Errorf("reading %s: %w", published(name), err)
	}
	return name, data, refused(published(name), meta.VerifyLengthHashes(data))
}

func (a *assembly) snapshot(ctx context.Context) error {
	meta := a.trusted.Timestamp.Signed.Meta[listed(metadata.SNAPSHOT)]
	name, data, err := a.fetch(ctx, metadata.SNAPSHOT, meta)
	if err != nil {
		return err
	}
	if _, err := parseSnapshot(published(name), data); err != nil {
		return err
	}
	_, err = a.trusted.UpdateSnapshot(data, false)
	if errors.Is(err, &metadata.ErrExpiredMetadata{}) {
		return a.checkTime(name, a.trusted.Snapshot.Signed.Expires)
	}
	if err != nil {
		return refused(published(name), err)
	}
	a.files[name] = data
	return nil
}

func (a *assembly) topTargets(ctx context.Context) error {
	meta := a.trusted.Snapshot.Signed.Meta[listed(metadata.TARGETS)]
	name, data, err := a.fetch(ctx, metadata.TARGETS, meta)
	if err != nil {
		return err
	}
	doc, err := parseTargets(published(name), data)
	if err != nil {
		return err
	}
	_, err = a.trusted.UpdateTargets(data)
	if errors.Is(err, &metadata.ErrExpiredMetadata{}) {
		return a.checkTime(name, doc.Signed.Expires)
	}
	if err != nil {
		return refused(published(name), err)
	}
	a.files[name] = data
	a.settings, err = settingsOf(&doc.Signed)
	return err
}

// delegated verifies the metadata of each publisher that the snapshot lists; one
// that was never listed has not published yet.
func (a *assembly) delegated(ctx context.Context) error {
	var total int64
	for _, role := range a.delegations().Roles {
		meta := a.trusted.Snapshot.Signed.Meta[listed(role.Name)]
		if meta == nil {
			continue
		}
		if total += meta.Length; total > maxAll {
			return problem(published(listed(metadata.SNAPSHOT)), ErrFormat, "publishers' metadata is larger than %d bytes", maxAll)
		}
		if err := a.publisher(ctx, role.Name, meta); err != nil {
			return err
		}
	}
	return nil
}

// publisher verifies one publisher's metadata. That its time is over concerns its
// own refs alone: they are kept, to be refused one by one.
func (a *assembly) publisher(ctx context.Context, role string, meta *metadata.MetaFiles) error {
	name, data, err := a.fetch(ctx, role, meta)
	if err != nil {
		return err
	}
	doc, err := parsePublisher(published(name), data)
	if err != nil {
		return err
	}
	verified, err := a.trusted.UpdateDelegatedTargets(data, role, metadata.TARGETS)
	switch {
	case err == nil:
		doc = verified // the same, but go-tuf keeps it too: documents can be large
	case errors.Is(err, &metadata.ErrExpiredMetadata{}): // go-tuf's last check: all else is right
		a.expired[role] = doc.Signed.Expires
	case err != nil:
		return refused(published(name), err)
	}
	a.publishers[role] = doc
	a.files[name] = data
	return nil
}

func (s *set) delegations() *metadata.Delegations {
	return s.trusted.Targets[metadata.TARGETS].Signed.Delegations
}

// collect finds the effective targets.
func (a *assembly) collect() error {
	for role, doc := range a.publishers {
		for ref, file := range doc.Signed.Targets {
			if owner(a.delegations(), a.publishers, ref) != role {
				continue
			}
			target, err := targetOf(ref, file)
			if err != nil {
				return err
			}
			target.Publisher = publisherOf(role)
			a.targets[ref] = target
		}
	}
	return nil
}

// current gives the targets of publishers whose time is not over.
func (s *set) current() map[string]Target {
	targets := maps.Clone(s.targets)
	maps.DeleteFunc(targets, func(_ string, t Target) bool {
		_, over := s.expired[rolePrefix+t.Publisher]
		return over
	})
	return targets
}

// expires is when the first of the documents that all refs need runs out.
func (s *set) expires() time.Time {
	t := s.trusted
	first := t.Root.Signed.Expires
	for _, other := range []time.Time{t.Timestamp.Signed.Expires, t.Snapshot.Signed.Expires, t.Targets[metadata.TARGETS].Signed.Expires} {
		if other.Before(first) {
			first = other
		}
	}
	return first
}

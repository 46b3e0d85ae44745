package trust

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/durable"
)

// draft is the next state of a repository's metadata, under the lock.
type draft struct {
	trust *beneath.Dir
	keys  *KeyStore
	now   time.Time
	base  *set

	rootBefore *rootDoc // the newest on disk
	root       *rootDoc
	targets    *targetsDoc
	snapshot   *snapshotDoc
	timestamp  *timestampDoc
	publishers map[string]*targetsDoc // by role, as clients see them; not to be changed
	own        map[string]*targetsDoc // those among them that are copies

	dirty map[string]bool // roles whose documents have changed
	state *set            // what was published last
}

// update runs a change under the lock and publishes what it made dirty. Whatever
// comes of it, r has the newest state then.
func (r *Repository) update(ctx context.Context, now time.Time, change func(*draft) error) error {
	trust, err := r.dir.OpenDir(folder)
	if err != nil {
		return err
	}
	defer trust.Close()
	release, err := hold(ctx, trust)
	if err != nil {
		return err
	}
	defer release()
	base, err := r.newest(ctx, trust)
	if err != nil {
		return err
	}
	d, err := startDraft(trust, r.keys, now, base)
	if err != nil {
		return err
	}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.state = d.state
	}()
	if err := change(d); err != nil {
		return err
	}
	return d.publish(ctx)
}

// newest gives the state on disk: the one that r has if its head is still there,
// since what a head leads to never changes.
func (r *Repository) newest(ctx context.Context, trust *beneath.Dir) (*set, error) {
	have := r.current()
	head, err := trust.ReadFile(timestampFile, maxTimestamp)
	if err != nil || !bytes.Equal(head, have.files[timestampFile]) {
		return readStable(ctx, trust)
	}
	newer, err := trust.Exists(versioned(metadata.ROOT, have.trusted.Root.Signed.Version+1))
	if err != nil || newer {
		return readStable(ctx, trust)
	}
	return have, nil
}

// startDraft copies of the newest state what a change may touch.
func startDraft(trust *beneath.Dir, keys *KeyStore, now time.Time, base *set) (*draft, error) {
	d := &draft{
		trust: trust, keys: keys, now: now.UTC().Truncate(time.Second), base: base, state: base,
		publishers: maps.Clone(base.publishers),
		own:        map[string]*targetsDoc{}, dirty: map[string]bool{},
	}
	if err := d.readRoot(); err != nil {
		return nil, err
	}
	var errs [4]error
	d.root, errs[0] = clone(d.rootBefore)
	d.targets, errs[1] = clone(base.trusted.Targets[metadata.TARGETS])
	d.snapshot, errs[2] = clone(base.trusted.Snapshot)
	d.timestamp, errs[3] = clone(base.trusted.Timestamp)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	d.markUnclean()
	return d, nil
}

// readRoot reads the newest root, which may be newer than the one by which the rest
// was verified: see readSet.
func (d *draft) readRoot() error {
	versions, err := rootVersions(d.trust)
	if err != nil {
		return err
	}
	name := versioned(metadata.ROOT, versions[len(versions)-1])
	data, err := d.trust.ReadFile(name, maxRoot)
	if err == nil {
		d.rootBefore, err = parseRoot(published(name), data)
	}
	return err
}

// markUnclean finds documents that an interrupted change of keys left with other
// signatures than their role asks for: they are signed anew.
func (d *draft) markUnclean() {
	mark := func(role string, signatures []metadata.Signature) {
		r, known := d.root.Signed.Roles[role], 0
		for _, s := range signatures {
			if slices.Contains(r.KeyIDs, s.KeyID) {
				known++
			}
		}
		if known < len(signatures) || known < r.Threshold {
			d.dirty[role] = true
		}
	}
	mark(metadata.TARGETS, d.targets.Signatures)
	mark(metadata.SNAPSHOT, d.snapshot.Signatures)
	mark(metadata.TIMESTAMP, d.timestamp.Signatures)
}

func (d *draft) delegations() *metadata.Delegations { return d.targets.Signed.Delegations }

func (d *draft) lifetime(role string) (time.Duration, error) {
	s, err := settingsOf(&d.targets.Signed)
	return s.lifetimes.of(role), err
}

// lastVersion is the newest version of a role that clients may have seen; 0 if none.
func (d *draft) lastVersion(role string) int64 {
	if meta := d.snapshot.Signed.Meta[listed(role)]; meta != nil {
		return meta.Version
	}
	return 0
}

// publish writes what is dirty. When the root changes the keys of other roles, the
// documents of these are first signed with both old and new keys, so that clients
// accept them on both sides of the new root, and with the new keys alone after it.
func (d *draft) publish(ctx context.Context) error {
	if len(d.dirty) == 0 {
		return nil
	}
	if !d.dirty[metadata.ROOT] {
		return d.publishDocuments(ctx)
	}
	root, err := d.nextRoot()
	if err != nil {
		return err
	}
	moved := d.movedRoles()
	before, err := d.canSign(d.rootBefore, moved)
	if err != nil {
		return err
	}
	after, err := d.canSign(d.root, []string{metadata.TIMESTAMP})
	if err != nil {
		return err
	}
	if len(moved) > 0 && before {
		d.mark(moved)
		if err := d.publishDocuments(ctx); err != nil {
			return err
		}
	}
	// the commit point of a root: clients ask for it by its name
	if err := durable.Create(d.trust, versioned(metadata.ROOT, d.root.Signed.Version), root, 0o644); err != nil {
		return fmt.Errorf("publishing the new root: %w", err)
	}
	delete(d.dirty, metadata.ROOT)
	d.rootBefore = d.root
	d.mark(moved)
	if after {
		d.dirty[metadata.TIMESTAMP] = true // to name the new root
	}
	if len(d.dirty) == 0 {
		return d.reread(ctx)
	}
	return d.publishDocuments(ctx)
}

// reread takes up a new root where the timestamp's key is not here.
func (d *draft) reread(ctx context.Context) (err error) {
	d.state, err = readStable(ctx, d.trust)
	return err
}

func (d *draft) mark(roles []string) {
	for _, role := range roles {
		d.dirty[role] = true
	}
}

// movedRoles lists the roles whose keys the new root changes, besides root.
func (d *draft) movedRoles() []string {
	var moved []string
	for _, role := range []string{metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		before, after := d.rootBefore.Signed.Roles[role], d.root.Signed.Roles[role]
		if !slices.Equal(before.KeyIDs, after.KeyIDs) || before.Threshold != after.Threshold {
			moved = append(moved, role)
		}
	}
	return moved
}

func (d *draft) canSign(root *rootDoc, roles []string) (bool, error) {
	for _, role := range roles {
		r := root.Signed.Roles[role]
		err := enough(d.keys, signers{role, r.KeyIDs, r.Threshold})
		if errors.Is(err, ErrKey) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	return true, nil
}

// nextRoot signs the next root with the keys of the old one and its own.
func (d *draft) nextRoot() ([]byte, error) {
	lifetime, err := d.lifetime(metadata.ROOT)
	if err != nil {
		return nil, err
	}
	d.root.Signed.Version = d.rootBefore.Signed.Version + 1
	d.root.Signed.Expires = d.now.Add(lifetime)
	data, err := sign(d.keys, d.root, d.signers(metadata.ROOT))
	if err != nil {
		return nil, err
	}
	if err := succeeds(d.rootBefore, data); err != nil {
		return nil, fmt.Errorf("the new root would be refused: %w", err)
	}
	return data, nil
}

// succeeds tells whether clients will follow from a root to the next.
func succeeds(before *rootDoc, next []byte) error {
	data, err := encode(before)
	if err != nil {
		return err
	}
	a, err := startAssembly(before.Signed.Version, data, time.Time{}, nil)
	if err != nil {
		return err
	}
	return a.nextRoot(next)
}

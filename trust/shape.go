package trust

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// What each kind of document must hold: spec/4-trust.md §4.4. The functions see
// documents without null, but anything else may be missing or strange.

func checkRoot(r *metadata.RootType) error {
	if !r.ConsistentSnapshot {
		return errors.New("consistent_snapshot is not true")
	}
	if err := checkHeader(r.SpecVersion, r.Version, r.Expires); err != nil {
		return err
	}
	if err := checkKeys(r.Keys); err != nil {
		return err
	}
	if len(r.Roles) != len(metadata.TOP_LEVEL_ROLE_NAMES) {
		return errors.New("want the roles root, snapshot, targets and timestamp")
	}
	for _, name := range metadata.TOP_LEVEL_ROLE_NAMES {
		role := r.Roles[name]
		if role == nil {
			return fmt.Errorf("role %s is missing", name)
		}
		if err := checkSigners(name, role.KeyIDs, role.Threshold, r.Keys); err != nil {
			return err
		}
	}
	return nil
}

func checkTimestamp(t *metadata.TimestampType) error {
	if err := checkHeader(t.SpecVersion, t.Version, t.Expires); err != nil {
		return err
	}
	snapshot := t.Meta[listed(metadata.SNAPSHOT)]
	if snapshot == nil || len(t.Meta) != 1 {
		return errors.New("want snapshot.json alone in meta")
	}
	if _, err := newestRoot(t); err != nil {
		return err
	}
	return checkMeta(listed(metadata.SNAPSHOT), snapshot, maxSnapshot)
}

// rootMember is what Larch adds to the timestamp: the newest root's version, so that
// its absence is noticed.
const rootMember = "root"

// newestRoot reads it; 0 if a head does not say.
func newestRoot(t *metadata.TimestampType) (int64, error) {
	switch version := t.UnrecognizedFields[rootMember].(type) {
	case nil:
		return 0, nil
	case float64: // as go-tuf decodes members that it does not know
		if version >= 1 && version <= maxVersion {
			return int64(version), nil
		}
	}
	return 0, errors.New("root: want a version")
}

func checkSnapshot(s *metadata.SnapshotType) error {
	if err := checkHeader(s.SpecVersion, s.Version, s.Expires); err != nil {
		return err
	}
	if len(s.Meta) > maxListed {
		return fmt.Errorf("%d files listed, limit %d", len(s.Meta), maxListed)
	}
	if s.Meta[listed(metadata.TARGETS)] == nil {
		return errors.New("targets.json is not listed")
	}
	for name, meta := range s.Meta {
		role, ok := strings.CutSuffix(name, ".json")
		limit := int64(maxPublisher)
		switch {
		case name == listed(metadata.TARGETS):
			limit = maxTargets
		case !ok || !isPublisherRole(role):
			return fmt.Errorf("file %.80q has no place in a snapshot", name)
		}
		if err := checkMeta(name, meta, limit); err != nil {
			return err
		}
	}
	return nil
}

func checkTargets(t *metadata.TargetsType) error {
	if err := checkHeader(t.SpecVersion, t.Version, t.Expires); err != nil {
		return err
	}
	if len(t.Targets) != 0 || t.Targets == nil {
		return errors.New("top-level targets only delegate")
	}
	if t.Delegations == nil || t.Delegations.Roles == nil || t.Delegations.SuccinctRoles != nil {
		return errors.New("want delegations with roles")
	}
	if len(t.Delegations.Roles) > maxPublishers {
		return fmt.Errorf("%d publishers, limit %d", len(t.Delegations.Roles), maxPublishers)
	}
	if err := checkKeys(t.Delegations.Keys); err != nil {
		return err
	}
	var seen []string
	for _, role := range t.Delegations.Roles {
		if slices.Contains(seen, role.Name) {
			return fmt.Errorf("publisher %q is there twice", role.Name)
		}
		if err := checkDelegation(role, t.Delegations.Keys); err != nil {
			return err
		}
		seen = append(seen, role.Name)
	}
	_, err := settingsOf(t)
	return err
}

func checkDelegation(role metadata.DelegatedRole, keys map[string]*metadata.Key) error {
	name, ok := strings.CutPrefix(role.Name, rolePrefix)
	if !ok {
		return fmt.Errorf("delegated role %.80q: want a name that starts with %s", role.Name, rolePrefix)
	}
	if err := checkPublisherName(name); err != nil {
		return err
	}
	if role.PathHashPrefixes != nil || len(role.Paths) == 0 || len(role.Paths) > maxPaths {
		return fmt.Errorf("publisher %s: want 1 to %d paths", name, maxPaths)
	}
	for _, pattern := range role.Paths {
		if err := checkPattern(pattern); err != nil {
			return fmt.Errorf("publisher %s: %w", name, err)
		}
	}
	return checkSigners(role.Name, role.KeyIDs, role.Threshold, keys)
}

func checkPublisher(t *metadata.TargetsType) error {
	if err := checkHeader(t.SpecVersion, t.Version, t.Expires); err != nil {
		return err
	}
	if t.Delegations != nil || t.Targets == nil {
		return errors.New("want targets and no delegations")
	}
	for name, file := range t.Targets {
		if _, err := targetOf(name, file); err != nil {
			return err
		}
	}
	return nil
}

func checkHeader(spec string, version int64, expires time.Time) error {
	if !strings.HasPrefix(spec, "1.") {
		return fmt.Errorf("version %.40q of TUF is not known here", spec)
	}
	if err := checkVersion(version); err != nil {
		return err
	}
	if expires.Location() != time.UTC || expires.Nanosecond() != 0 {
		return errors.New("expires: want whole seconds, UTC")
	}
	return nil
}

func checkVersion(version int64) error {
	if version < 1 || version > maxVersion {
		return fmt.Errorf("version %d: want 1 to %d", version, int64(maxVersion))
	}
	return nil
}

// checkKeys makes sure that an id means one key and a key has one id, so that no
// key counts twice for a threshold.
func checkKeys(keys map[string]*metadata.Key) error {
	if keys == nil || len(keys) > maxKeys {
		return fmt.Errorf("want keys, at most %d", maxKeys)
	}
	for id, key := range keys {
		known := PublicKey{}
		if key.Type != metadata.KeyTypeEd25519 || key.Scheme != metadata.KeySchemeEd25519 {
			return fmt.Errorf("key %.80q: want ed25519", id)
		}
		if err := known.UnmarshalText([]byte(key.Value.PublicKey)); err != nil {
			return fmt.Errorf("key %.80q: %w", id, err)
		}
		if known.ID() != id || len(key.UnrecognizedFields)+len(key.Value.UnrecognizedFields) != 0 {
			return fmt.Errorf("key %.80q is not the key of this id", id)
		}
	}
	return nil
}

func checkSigners(role string, ids []string, threshold int, keys map[string]*metadata.Key) error {
	if len(ids) == 0 || len(ids) > maxSigners {
		return fmt.Errorf("role %s: want 1 to %d keys", role, maxSigners)
	}
	if threshold < 1 || threshold > len(ids) {
		return fmt.Errorf("role %s: threshold %d of %d keys", role, threshold, len(ids))
	}
	for i, id := range ids {
		if keys[id] == nil || slices.Contains(ids[:i], id) {
			return fmt.Errorf("role %s: key %.80q is unknown or there twice", role, id)
		}
	}
	return nil
}

func checkSignatures(signatures []metadata.Signature) error {
	if len(signatures) == 0 || len(signatures) > maxSigners {
		return fmt.Errorf("want 1 to %d signatures", maxSigners)
	}
	for _, s := range signatures {
		if !isHex(s.KeyID, 2*sha256.Size) || len(s.Signature) != ed25519.SignatureSize {
			return fmt.Errorf("signature of key %.80q: want 64 hex digits and %d bytes", s.KeyID, ed25519.SignatureSize)
		}
	}
	return nil
}

func checkMeta(name string, meta *metadata.MetaFiles, limit int64) error {
	if err := checkVersion(meta.Version); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if meta.Length < 1 || meta.Length > limit {
		return fmt.Errorf("%s: length %d: want 1 to %d", name, meta.Length, limit)
	}
	if err := checkHashes(meta.Hashes); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func checkHashes(hashes metadata.Hashes) error {
	if len(hashes) != 1 || len(hashes["sha256"]) != sha256.Size {
		return errors.New("want one hash, sha256")
	}
	return nil
}

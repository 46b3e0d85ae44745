package trust

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// roleKey is a key in one of its roles.
type roleKey struct{ role, id string }

// governor is the role whose document names a role's keys.
func governor(role string) string {
	if isPublisherRole(role) {
		return metadata.TARGETS
	}
	return metadata.ROOT
}

// mustGovern tells whether the keys are here to change a role's keys: else ErrKey.
func (d *draft) mustGovern(role string) error {
	if ids, _ := d.keysOf(role); len(ids) == 0 {
		return fmt.Errorf("role %.80q: %w", role, fs.ErrNotExist)
	}
	r := d.rootBefore.Signed.Roles[governor(role)]
	return enough(d.keys, signers{governor(role), r.KeyIDs, r.Threshold})
}

func (d *draft) mustDelegate() error {
	r := d.rootBefore.Signed.Roles[metadata.TARGETS]
	return enough(d.keys, signers{metadata.TARGETS, r.KeyIDs, r.Threshold})
}

// keysOf gives the keys of a role in the draft, and where its threshold stands;
// none for a role that there is not.
func (d *draft) keysOf(role string) (ids []string, threshold *int) {
	if r := d.root.Signed.Roles[role]; r != nil {
		return r.KeyIDs, &r.Threshold
	}
	if r := d.delegation(role); r != nil {
		return r.KeyIDs, &r.Threshold
	}
	return nil, nil
}

// lookUp finds what a name means: a key's id in each of its roles, or the keys of
// a role or a publisher.
func (d *draft) lookUp(name string) ([]roleKey, error) {
	roles := []string{metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP}
	for _, delegated := range d.delegations().Roles {
		roles = append(roles, delegated.Name)
	}
	name = strings.TrimPrefix(name, rolePrefix)
	var found []roleKey
	for _, role := range roles {
		ids, _ := d.keysOf(role)
		for _, id := range ids {
			held, err := d.keys.Holds(id)
			if err != nil {
				return nil, err
			}
			if id == name || publisherOf(role) == name && (held || role != metadata.ROOT) {
				found = append(found, roleKey{role, id})
			}
		}
	}
	if len(found) == 0 && name == metadata.ROOT {
		return nil, d.mustGovern(metadata.ROOT)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("key, role or publisher %.80q: %w: `larch key list` shows them", name, fs.ErrNotExist)
	}
	return found, nil
}

func (d *draft) addKey(role string, key PublicKey) error {
	var err error
	if governor(role) == metadata.ROOT {
		err = d.root.Signed.AddKey(key.tuf(), role)
	} else {
		err = d.targets.Signed.AddKey(key.tuf(), role)
	}
	if err != nil {
		return err
	}
	d.dirty[governor(role)] = true
	return nil
}

func (d *draft) removeKey(role, id string) error {
	var err error
	if governor(role) == metadata.ROOT {
		err = d.root.Signed.RevokeKey(id, role)
	} else {
		err = d.targets.Signed.RevokeKey(id, role)
	}
	if err != nil {
		return err
	}
	return d.touch(role)
}

// touch marks what must be signed anew when the keys of a role have changed. For
// the roles below root, publish sees to it.
func (d *draft) touch(role string) error {
	d.dirty[governor(role)] = true
	if !isPublisherRole(role) || d.publishers[role] == nil {
		return nil
	}
	_, err := d.publisher(role)
	d.dirty[role] = true
	return err
}

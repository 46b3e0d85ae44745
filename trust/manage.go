package trust

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Publisher is somebody who may publish some refs.
type Publisher struct {
	Name  string   // 1 to 48 of a-z, 0-9 and '-'
	Paths []string // patterns of refs with '*' and '?' in their four parts; default all

	// PublicKey is the publisher's own, as PublicKey.String gives it: the private
	// key is with the publisher. If it is empty a key is made here.
	PublicKey string
}

// AddPublisher delegates to one more publisher, who is asked after those who are
// there: a ref that two of them have is the first one's. It needs the keys of
// targets, snapshot and timestamp; and the publisher's own if the name was in use
// before. It returns the id of the publisher's key. fs.ErrExist if there is one of
// this name.
func (r *Repository) AddPublisher(ctx context.Context, now time.Time, p Publisher) (id string, err error) {
	err = r.update(ctx, now, func(d *draft) (err error) {
		if err := d.mustDelegate(); err != nil {
			return err
		}
		id, err = d.addPublisher(p)
		return err
	})
	return id, err
}

func (d *draft) addPublisher(p Publisher) (string, error) {
	if err := checkPublisherName(p.Name); err != nil {
		return "", err
	}
	if len(p.Paths) == 0 {
		p.Paths = []string{everything}
	}
	for _, pattern := range p.Paths {
		if err := checkPattern(pattern); err != nil {
			return "", err
		}
	}
	role := rolePrefix + p.Name
	if d.delegation(role) != nil {
		return "", fmt.Errorf("publisher %s: %w", p.Name, fs.ErrExist)
	}
	key, err := d.keyFor(role, p.PublicKey)
	if err != nil {
		return "", err
	}
	delegations := d.delegations()
	delegations.Keys[key.ID()] = key.tuf()
	delegations.Roles = append(delegations.Roles, metadata.DelegatedRole{
		Name: role, KeyIDs: []string{key.ID()}, Threshold: 1, Paths: slices.Clone(p.Paths),
	})
	d.dirty[metadata.TARGETS] = true
	return key.ID(), d.startOver(role)
}

// startOver gives a publisher whose name was another's before an empty document of
// its own: the snapshot lists the old one for ever.
func (d *draft) startOver(role string) error {
	if d.lastVersion(role) == 0 {
		return nil
	}
	_, err := d.publisher(role)
	d.dirty[role] = true
	return err
}

// keyFor reads a public key, or makes a key pair if it is empty.
func (d *draft) keyFor(role, public string) (PublicKey, error) {
	if public == "" {
		return d.keys.Generate(role)
	}
	var key PublicKey
	return key, key.UnmarshalText([]byte(public))
}

func (d *draft) delegation(role string) *metadata.DelegatedRole {
	for i := range d.delegations().Roles {
		if d.delegations().Roles[i].Name == role {
			return &d.delegations().Roles[i]
		}
	}
	return nil
}

// AddKey lets one more key sign for a role: root, targets, snapshot, timestamp or
// publisher-NAME. public is as in Publisher. It needs the keys of root, or for a
// publisher those of targets. It returns the id of the key.
func (r *Repository) AddKey(ctx context.Context, now time.Time, role, public string) (id string, err error) {
	err = r.update(ctx, now, func(d *draft) error {
		if err := d.mustGovern(role); err != nil {
			return err
		}
		key, err := d.keyFor(role, public)
		if err != nil {
			return err
		}
		id = key.ID()
		return d.addKey(role, key)
	})
	return id, err
}

// SetThreshold says how many keys must sign for a role. It needs the keys of root,
// or for a publisher those of targets, and enough of the role's own.
func (r *Repository) SetThreshold(ctx context.Context, now time.Time, role string, threshold int) error {
	return r.update(ctx, now, func(d *draft) error {
		if err := d.mustGovern(role); err != nil {
			return err
		}
		ids, current := d.keysOf(role)
		if threshold < 1 || threshold > len(ids) {
			return fmt.Errorf("role %s: threshold %d: want 1 to %d, the number of its keys", role, threshold, len(ids))
		}
		if *current == threshold {
			return nil
		}
		*current = threshold
		return d.touch(role)
	})
}

// Rotate replaces keys by new ones that it makes. name is a key's id, or a role
// (root, targets, snapshot, timestamp, or a publisher's name) for all of its keys; of
// root's only those that are held, since the others are other people's. It needs
// the keys of root, or for a publisher those of targets. Files of old keys stay.
//
// Clients follow a new root because enough keys of the old one sign it too.
func (r *Repository) Rotate(ctx context.Context, now time.Time, name string) error {
	return r.update(ctx, now, func(d *draft) error {
		found, err := d.lookUp(name)
		if err != nil {
			return err
		}
		for _, old := range found {
			if err := d.mustGovern(old.role); err != nil {
				return err
			}
		}
		for _, old := range found {
			key, err := d.keys.Generate(old.role)
			if err != nil {
				return err
			}
			if err := d.addKey(old.role, key); err != nil {
				return err
			}
			if err := d.removeKey(old.role, old.id); err != nil {
				return err
			}
		}
		return nil
	})
}

// Revoke takes trust away from a publisher, by name, or from one key, by id. What
// the publisher had published vanishes for clients, unless the publisher adoptBy,
// if it is not empty, takes it over: its key must be held and its paths cover the
// refs. A key can go only while its role keeps as many as must sign; else rotate
// it. Old metadata that was signed by the key counts no more.
func (r *Repository) Revoke(ctx context.Context, now time.Time, name, adoptBy string) error {
	return r.update(ctx, now, func(d *draft) error {
		if role := rolePrefix + name; d.delegation(role) != nil {
			if err := d.mustDelegate(); err != nil {
				return err
			}
			return d.revokePublisher(role, adoptBy)
		}
		found, err := d.lookUp(name)
		if err != nil {
			return err
		}
		for _, old := range found {
			if err := d.revokeKey(old); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d *draft) revokeKey(old roleKey) error {
	if err := d.mustGovern(old.role); err != nil {
		return err
	}
	ids, threshold := d.keysOf(old.role)
	if len(ids)-1 < *threshold {
		return fmt.Errorf("key %s: role %s would have fewer keys than must sign: rotate the key, or add another one first", old.id, old.role)
	}
	return d.removeKey(old.role, old.id)
}

func (d *draft) revokePublisher(role, adoptBy string) error {
	var orphans []string
	for ref, target := range d.targetsView() {
		if rolePrefix+target.Publisher == role {
			orphans = append(orphans, ref)
		}
	}
	gone := d.publishers[role]
	for _, id := range slices.Clone(d.delegation(role).KeyIDs) {
		if err := d.targets.Signed.RevokeKey(id, role); err != nil {
			return err
		}
	}
	delegations := d.delegations()
	delegations.Roles = slices.DeleteFunc(delegations.Roles, func(r metadata.DelegatedRole) bool { return r.Name == role })
	delete(d.publishers, role)
	delete(d.own, role)
	d.dirty[metadata.TARGETS] = true
	if adoptBy == "" {
		return nil
	}
	return d.adopt(rolePrefix+adoptBy, gone, orphans)
}

// adopt moves the targets of a publisher who is gone to another one.
func (d *draft) adopt(role string, from *targetsDoc, refs []string) error {
	if err := d.mustHold(role); err != nil {
		return err
	}
	doc, err := d.publisher(role)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		doc.Signed.Targets[ref] = from.Signed.Targets[ref]
		if owner(d.delegations(), d.publishers, ref) != role {
			return fmt.Errorf("target %s: publisher %s cannot adopt it: its paths do not cover it, or another publisher has it", ref, publisherOf(role))
		}
	}
	d.dirty[role] = true
	return nil
}

// SetMirrors replaces the signed list of mirrors' addresses. It needs the keys of
// targets, snapshot and timestamp.
func (r *Repository) SetMirrors(ctx context.Context, now time.Time, addresses []string) error {
	return r.change(ctx, now, func(s *settings) { s.mirrors = slices.Clone(addresses) })
}

// SetLifetimes changes for how long metadata counts that is signed from now on; zero
// durations mean the defaults. It needs the keys of targets, snapshot and timestamp.
func (r *Repository) SetLifetimes(ctx context.Context, now time.Time, l Lifetimes) error {
	return r.change(ctx, now, func(s *settings) { s.lifetimes = l })
}

func (r *Repository) change(ctx context.Context, now time.Time, change func(*settings)) error {
	return r.update(ctx, now, func(d *draft) error {
		s, err := settingsOf(&d.targets.Signed)
		if err != nil {
			return err
		}
		change(&s)
		d.dirty[metadata.TARGETS] = true
		return s.write(&d.targets.Signed)
	})
}

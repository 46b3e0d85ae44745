package trust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Edit is the newest state of the targets, and the changes to be made to it. It is
// valid only within the function that Commit calls.
type Edit struct {
	draft *draft
}

// Targets gives what clients will see, changes included; the map is the caller's.
func (e *Edit) Targets() map[string]Target { return maps.Clone(e.draft.targetsView()) }

// Set makes a ref point to a release. The ref must be covered by a publisher whose
// key is held, and not be another publisher's: else ErrKey.
func (e *Edit) Set(t Target) error {
	file, err := t.file()
	if err != nil {
		return err
	}
	role, err := e.draft.roleFor(t.Name)
	if err != nil {
		return err
	}
	if e.draft.has(role, t) {
		return nil
	}
	doc, err := e.draft.publisher(role)
	if err != nil {
		return err
	}
	doc.Signed.Targets[t.Name] = file
	e.draft.dirty[role] = true
	return nil
}

// Remove takes a ref away; fs.ErrNotExist if it is not there, ErrKey if it is
// another publisher's. A publisher further back who has it too is heard then.
func (e *Edit) Remove(ref string) error {
	role := owner(e.draft.delegations(), e.draft.publishers, ref)
	if role == "" {
		return fmt.Errorf("target %.200q: %w", ref, fs.ErrNotExist)
	}
	if err := e.draft.mustHold(role); err != nil {
		return err
	}
	doc, err := e.draft.publisher(role)
	if err != nil {
		return err
	}
	delete(doc.Signed.Targets, ref)
	e.draft.dirty[role] = true
	return nil
}

// Commit changes targets: under a lock that keeps other publishers out, it reads
// the newest state, lets change edit it, signs the result with the keys at hand and
// publishes it. An error from change is returned as it is, and nothing is written;
// so it is when change changes nothing.
//
// The new files are durable before the head timestamp.json is renamed over the old
// one: that is the commit point. On return the commit survives power loss;
// interrupted before, it leaves files that nothing names. now is the time by which
// new metadata expires and old metadata must not have.
func (r *Repository) Commit(ctx context.Context, now time.Time, change func(*Edit) error) error {
	return r.update(ctx, now, func(d *draft) error { return change(&Edit{d}) })
}

// roleFor finds the role that a ref is written to: its owner, or the first that
// covers it whose keys are here.
func (d *draft) roleFor(ref string) (string, error) {
	if role := owner(d.delegations(), d.publishers, ref); role != "" {
		return role, d.mustHold(role)
	}
	var err error
	for _, role := range d.delegations().GetRolesForTarget(ref) {
		missing := d.mustHold(role.Name)
		if !errors.Is(missing, ErrKey) {
			return role.Name, missing
		}
		if err == nil {
			err = missing
		}
		if role.Terminating {
			break
		}
	}
	if err == nil {
		err = fmt.Errorf("target %s: no publisher of this repository may publish it: `larch key add` makes one", ref)
	}
	return "", err
}

// has tells whether a publisher's document says just this about a ref.
func (d *draft) has(role string, t Target) bool {
	doc := d.publishers[role]
	if doc == nil || doc.Signed.Targets[t.Name] == nil {
		return false
	}
	have, err := targetOf(t.Name, doc.Signed.Targets[t.Name])
	have.Publisher = t.Publisher
	return err == nil && have == t
}

// mustHold tells whether a publisher's role can be signed here.
func (d *draft) mustHold(role string) error {
	for _, delegated := range d.delegations().Roles {
		if delegated.Name == role {
			return enough(d.keys, signers{role, delegated.KeyIDs, delegated.Threshold})
		}
	}
	return fmt.Errorf("publisher %q: %w", publisherOf(role), fs.ErrNotExist)
}

// publisher gives a publisher's document for changing; a first one if there is none.
func (d *draft) publisher(role string) (*targetsDoc, error) {
	if doc := d.own[role]; doc != nil {
		return doc, nil
	}
	doc := metadata.Targets(d.now)
	doc.Signed.Version = d.lastVersion(role)
	if old := d.publishers[role]; old != nil {
		var err error
		if doc, err = clone(old); err != nil {
			return nil, err
		}
	}
	d.own[role], d.publishers[role] = doc, doc
	return doc, nil
}

// targetsView is what clients see of the draft.
func (d *draft) targetsView() map[string]Target {
	view := map[string]Target{}
	for role, doc := range d.publishers {
		for ref, file := range doc.Signed.Targets {
			if owner(d.delegations(), d.publishers, ref) != role {
				continue
			}
			target, err := targetOf(ref, file)
			if err != nil {
				continue // every target was verified, or made by Target.file
			}
			target.Publisher = publisherOf(role)
			view[ref] = target
		}
	}
	return view
}

package trust

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Renewal says what a refresh did for one role.
type Renewal struct {
	Role    string    // root, targets, snapshot, timestamp or publisher-NAME
	Expires time.Time // after the refresh
	Renewed bool
	Due     bool // it runs out soon, but the keys to renew it are not here
}

// Refresh signs anew what would run out: the timestamp always, and whatever else
// has less than a third of its lifetime left, as far as the keys are here. It
// returns what it found, role by role; what is Due somebody else must refresh.
// ErrKey if the timestamp itself cannot be signed. Refresh also completes a change
// of keys that was interrupted.
func (r *Repository) Refresh(ctx context.Context, now time.Time) ([]Renewal, error) {
	var done []Renewal
	err := r.update(ctx, now, func(d *draft) (err error) {
		done, err = d.refresh()
		return err
	})
	if err != nil {
		return nil, err
	}
	state := r.current()
	for i := range done {
		done[i].Expires = state.expiryOf(done[i].Role)
	}
	return done, nil
}

func (d *draft) refresh() ([]Renewal, error) {
	roles := []string{metadata.ROOT, metadata.TARGETS}
	for _, delegated := range d.delegations().Roles {
		if d.publishers[delegated.Name] != nil {
			roles = append(roles, delegated.Name)
		}
	}
	roles = append(roles, metadata.SNAPSHOT)
	var done []Renewal
	for _, role := range roles {
		renewal, err := d.refreshRole(role)
		if err != nil {
			return nil, err
		}
		done = append(done, renewal)
	}
	d.dirty[metadata.TIMESTAMP] = true
	return append(done, Renewal{Role: metadata.TIMESTAMP, Renewed: true}), nil
}

func (d *draft) refreshRole(role string) (Renewal, error) {
	lifetime, err := d.lifetime(role)
	if err != nil {
		return Renewal{}, err
	}
	left := d.base.expiryOf(role).Sub(d.now)
	if left >= lifetime/3 && !d.dirty[role] {
		return Renewal{Role: role}, nil
	}
	for _, s := range d.signers(role) {
		err := enough(d.keys, s)
		if errors.Is(err, ErrKey) {
			return Renewal{Role: role, Due: true}, nil
		} else if err != nil {
			return Renewal{}, err
		}
	}
	d.dirty[role] = true
	if strings.HasPrefix(role, rolePrefix) {
		_, err = d.publisher(role)
	}
	return Renewal{Role: role, Renewed: true}, err
}

// expiryOf is when a role's document runs out; the zero time if it has none.
func (s *set) expiryOf(role string) time.Time {
	_, expires := s.stateOf(role)
	return expires
}

// versionOf is the version of a role's document; 0 if it has none.
func (s *set) versionOf(role string) int64 {
	version, _ := s.stateOf(role)
	return version
}

func (s *set) stateOf(role string) (version int64, expires time.Time) {
	switch t := s.trusted; role {
	case metadata.ROOT:
		return t.Root.Signed.Version, t.Root.Signed.Expires
	case metadata.SNAPSHOT:
		return t.Snapshot.Signed.Version, t.Snapshot.Signed.Expires
	case metadata.TIMESTAMP:
		return t.Timestamp.Signed.Version, t.Timestamp.Signed.Expires
	case metadata.TARGETS:
		doc := t.Targets[metadata.TARGETS]
		return doc.Signed.Version, doc.Signed.Expires
	}
	if doc := s.publishers[role]; doc != nil {
		return doc.Signed.Version, doc.Signed.Expires
	}
	return 0, time.Time{}
}

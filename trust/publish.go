package trust

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/durable"
)

// signers are the keys that may sign for a role, and how many must.
type signers struct {
	role      string
	ids       []string
	threshold int
}

// enough tells whether a role can be signed with the keys at hand: else ErrKey.
func enough(keys *KeyStore, s signers) error {
	_, err := atHand(keys, s)
	return err
}

// atHand gives the keys at hand that may sign for a role: ErrKey if they are too few.
func atHand(keys *KeyStore, s signers) (held []string, err error) {
	var missing []string
	for _, id := range s.ids {
		there, err := keys.Holds(id)
		if err != nil {
			return nil, fmt.Errorf("signing %s: %w", s.role, err)
		}
		if there {
			held = append(held, id)
		} else {
			missing = append(missing, id)
		}
	}
	if len(held) >= s.threshold {
		return held, nil
	}
	where := "the key folder"
	if keys.path != "" {
		where = keys.path
	}
	return nil, fmt.Errorf("signing %s: %w: %d of its keys must be in %s; missing are %s",
		s.role, ErrKey, s.threshold, where, strings.Join(missing, ", "))
}

// sign replaces a document's signatures by those of all keys at hand, which must be
// enough for each of the roles, and gives the document's bytes.
func sign[T metadata.Roles](keys *KeyStore, m *metadata.Metadata[T], roles []signers) ([]byte, error) {
	m.Signatures = []metadata.Signature{}
	var done []string
	for _, role := range roles {
		held, err := atHand(keys, role)
		if err != nil {
			return nil, err
		}
		for _, id := range held {
			if slices.Contains(done, id) {
				continue
			}
			private, err := keys.private(id)
			if err != nil {
				return nil, fmt.Errorf("signing %s: %w", role.role, err)
			}
			signer, err := signature.LoadED25519Signer(private)
			if err != nil {
				return nil, err
			}
			if _, err := m.Sign(signer); err != nil {
				return nil, fmt.Errorf("signing %s: %w", role.role, err)
			}
			done = append(done, id)
		}
	}
	return encode(m)
}

// signers gives those of the new root and, until it is published, of the old one.
func (d *draft) signers(role string) []signers {
	if isPublisherRole(role) {
		for _, delegated := range d.delegations().Roles {
			if delegated.Name == role {
				return []signers{{role, delegated.KeyIDs, delegated.Threshold}}
			}
		}
	}
	var all []signers
	for _, root := range []*rootDoc{d.root, d.rootBefore} {
		if r := root.Signed.Roles[role]; r != nil {
			all = append(all, signers{role, r.KeyIDs, r.Threshold})
		}
	}
	return all
}

// newFile is a file that is about to be published.
type newFile struct {
	name string
	data []byte
}

// publishDocuments signs what is dirty below the root, and what names it, checks
// it as a client would, and publishes it.
func (d *draft) publishDocuments(ctx context.Context) error {
	files, err := d.signTargets()
	if err != nil {
		return err
	}
	if d.dirty[metadata.SNAPSHOT] || len(files) > 0 {
		snapshot, err := d.signSnapshot()
		if err != nil {
			return err
		}
		files = append(files, snapshot)
	}
	head, err := d.signTimestamp()
	if err != nil {
		return err
	}
	state, err := d.tryDocuments(ctx, files, head)
	if err != nil {
		return fmt.Errorf("the new metadata would be refused: %w", err)
	}
	if err := d.write(files, head); err != nil {
		return fmt.Errorf("publishing metadata: %w", err)
	}
	d.state = state
	maps.DeleteFunc(d.dirty, func(role string, _ bool) bool { return role != metadata.ROOT })
	return nil
}

// signTargets signs the top-level targets and the publishers' documents, as far as
// they are dirty, and lists them in the snapshot. The targets are first: should no more
// come, they tell whose keys the others bear.
func (d *draft) signTargets() ([]newFile, error) {
	docs := maps.Clone(d.own)
	order := slices.Concat([]string{metadata.TARGETS}, slices.Sorted(maps.Keys(docs)))
	docs[metadata.TARGETS] = d.targets
	var files []newFile
	for _, role := range order {
		if !d.dirty[role] {
			continue
		}
		t := &docs[role].Signed
		data, err := renew(d, role, docs[role], &t.Version, &t.Expires)
		if err != nil {
			return nil, err
		}
		files = append(files, newFile{versioned(role, t.Version), data})
		d.snapshot.Signed.Meta[listed(role)] = describe(data, t.Version)
	}
	return files, nil
}

func (d *draft) signSnapshot() (newFile, error) {
	s := &d.snapshot.Signed
	data, err := renew(d, metadata.SNAPSHOT, d.snapshot, &s.Version, &s.Expires)
	if err == nil {
		d.timestamp.Signed.Meta[listed(metadata.SNAPSHOT)] = describe(data, s.Version)
	}
	return newFile{versioned(metadata.SNAPSHOT, s.Version), data}, err
}

func (d *draft) signTimestamp() ([]byte, error) {
	t := &d.timestamp.Signed
	if t.UnrecognizedFields == nil {
		t.UnrecognizedFields = map[string]any{}
	}
	t.UnrecognizedFields[rootMember] = float64(d.rootBefore.Signed.Version)
	return renew(d, metadata.TIMESTAMP, d.timestamp, &t.Version, &t.Expires)
}

// renew gives a document its next version and a new date, and signs it.
func renew[T metadata.Roles](d *draft, role string, m *metadata.Metadata[T], version *int64, expires *time.Time) ([]byte, error) {
	lifetime, err := d.lifetime(role)
	if err != nil {
		return nil, err
	}
	if *version, err = d.nextVersion(role, *version); err != nil {
		return nil, err
	}
	*expires = d.now.Add(lifetime)
	return sign(d.keys, m, d.signers(role))
}

// nextVersion passes over names that an interrupted commit left: what has a name
// never changes, although nothing names it.
func (d *draft) nextVersion(role string, version int64) (int64, error) {
	for range maxSkipped {
		if version++; version > maxVersion {
			break
		}
		if role == metadata.TIMESTAMP {
			return version, nil
		}
		taken, err := d.trust.Exists(versioned(role, version))
		if err != nil || !taken {
			return version, err
		}
	}
	return 0, fmt.Errorf("role %s: no version is free after %d: run `larch repo prune`", role, version)
}

func describe(data []byte, version int64) *metadata.MetaFiles {
	sum := sha256.Sum256(data)
	return &metadata.MetaFiles{Version: version, Length: int64(len(data)), Hashes: metadata.Hashes{"sha256": sum[:]}}
}

// tryDocuments looks at what is to be published as a client will, at this moment,
// that trusts the root on disk.
func (d *draft) tryDocuments(ctx context.Context, files []newFile, head []byte) (*set, error) {
	root, err := encode(d.rootBefore)
	if err != nil {
		return nil, err
	}
	read := func(ctx context.Context, name string, meta *metadata.MetaFiles) ([]byte, error) {
		for _, file := range files {
			if file.name == name {
				return file.data, nil
			}
		}
		return readFrom(d.trust)(ctx, name, meta)
	}
	a, err := startAssembly(d.rootBefore.Signed.Version, root, d.now, read)
	if err != nil {
		return nil, err
	}
	if err := a.timestamp(head); err != nil {
		return nil, err
	}
	return &a.set, a.rest(ctx)
}

// write makes the new files durable, then renames the new head over the old one:
// the commit point.
func (d *draft) write(files []newFile, head []byte) error {
	for _, file := range files {
		if err := durable.Create(d.trust, file.name, file.data, 0o644); err != nil {
			return err
		}
	}
	before, err := d.trust.Lstat(timestampFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := durable.WriteFile(d.trust, timestampFile, head, 0o644); err != nil {
		return err
	}
	outdate(d.trust, int64(before.Mtim.Sec))
	return nil
}

// outdate sees to it that the new head was changed in a later second than the one
// before: web servers derive validators from that time, in seconds, and a client
// that asks whether the head has changed must hear of each. The head is published
// by then; where its time cannot be set, clients hear of it a little later.
func outdate(dir *beneath.Dir, before int64) {
	f, err := dir.Open(timestampFile)
	if err != nil {
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.ModTime().Unix() <= before {
		os.Chtimes(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), time.Time{}, time.Unix(before+1, 0))
	}
}

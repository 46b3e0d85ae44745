package trust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/durable"
)

// InitOptions say how a repository's trust begins. The zero value of each has a
// sensible meaning; only Now must be given.
type InitOptions struct {
	RootKeys   int       // keys that may sign for root, default 1; all are made
	Threshold  int       // of them that must sign, default 1
	Publisher  string    // name of the first publisher, default "main"
	Paths      []string  // what that one may publish, default everything
	Mirrors    []string  // addresses of mirrors
	Lifetimes  Lifetimes // of metadata
	Passphrase bool      // protect the keys, if none is there yet that is not
	Now        time.Time
}

func (o InitOptions) orDefault() InitOptions {
	o.RootKeys = max(o.RootKeys, o.Threshold, 1)
	o.Threshold = max(o.Threshold, 1)
	if o.Publisher == "" {
		o.Publisher = "main"
	}
	o.Now = o.Now.UTC().Truncate(time.Second)
	return o
}

// everything matches each ref.
const everything = "*/*/*/*"

// Init makes the folder trust/ below dir, the root of a repository, and the keys,
// each role its own. Root keys that the key folder holds already are used. It
// returns the fingerprint: the id of the first root key.
//
// fs.ErrExist if there is a root already. The file 1.root.json is written last;
// interrupted before, Init can be run again.
func Init(ctx context.Context, dir *beneath.Dir, keys *KeyStore, opt InitOptions) (fingerprint string, err error) {
	opt = opt.orDefault()
	if err := dir.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	trust, err := dir.OpenDir(folder)
	if err != nil {
		return "", err
	}
	defer trust.Close()
	release, err := hold(ctx, trust)
	if err != nil {
		return "", err
	}
	defer release()
	if versions, err := rootVersions(trust); err != nil || len(versions) > 0 {
		return "", errors.Join(err, existing(versions))
	}
	if err := startAfresh(trust); err != nil {
		return "", err
	}
	d, err := firstDraft(trust, keys, opt)
	if err != nil {
		return "", err
	}
	if err := errors.Join(d.create(ctx), dir.Sync()); err != nil {
		return "", err
	}
	return d.root.Signed.Roles[metadata.ROOT].KeyIDs[0], nil
}

// startAfresh removes what an interrupted Init has left: without a root nobody can
// trust it, and its keys may not be known any more.
func startAfresh(trust *beneath.Dir) error {
	names, err := trust.ReadDir(".")
	for _, name := range names {
		if _, _, ok := parseVersioned(name); err == nil && (ok || name == timestampFile) {
			err = trust.Remove(name)
		}
	}
	return err
}

func existing(versions []int64) error {
	if len(versions) == 0 {
		return nil
	}
	return &fs.PathError{Op: "create", Path: published(versioned(metadata.ROOT, 1)), Err: fs.ErrExist}
}

// firstDraft makes the first version of each document, and the keys.
func firstDraft(trust *beneath.Dir, keys *KeyStore, opt InitOptions) (*draft, error) {
	d := &draft{
		trust: trust, keys: keys, now: opt.Now,
		root: metadata.Root(opt.Now), targets: metadata.Targets(opt.Now),
		snapshot: metadata.Snapshot(opt.Now), timestamp: metadata.Timestamp(opt.Now),
		publishers: map[string]*targetsDoc{}, own: map[string]*targetsDoc{}, dirty: map[string]bool{},
	}
	d.rootBefore = d.root
	d.targets.Signed.Version, d.snapshot.Signed.Version, d.timestamp.Signed.Version = 0, 0, 0
	d.snapshot.Signed.Meta = map[string]*metadata.MetaFiles{}
	d.targets.Signed.Delegations = &metadata.Delegations{
		Keys: map[string]*metadata.Key{}, Roles: []metadata.DelegatedRole{},
	}
	s := settings{opt.Mirrors, opt.Lifetimes.orDefault()}
	if err := s.write(&d.targets.Signed); err != nil {
		return nil, err
	}
	if err := keys.protect(opt.Passphrase); err != nil {
		return nil, err
	}
	if err := d.firstRoot(opt); err != nil {
		return nil, err
	}
	if _, err := d.addPublisher(Publisher{Name: opt.Publisher, Paths: opt.Paths}); err != nil {
		return nil, err
	}
	role := rolePrefix + opt.Publisher
	_, err := d.publisher(role)
	d.dirty[role] = true
	return d, err
}

func (d *draft) firstRoot(opt InitOptions) error {
	roots, err := d.keys.labelled(metadata.ROOT)
	if err != nil {
		return err
	}
	if opt.RootKeys > maxSigners {
		return fmt.Errorf("%d root keys, limit %d", opt.RootKeys, maxSigners)
	}
	for len(roots) < opt.RootKeys {
		key, err := d.keys.Generate(metadata.ROOT)
		if err != nil {
			return err
		}
		roots = append(roots, key)
	}
	for _, key := range roots {
		if err := d.root.Signed.AddKey(key.tuf(), metadata.ROOT); err != nil {
			return err
		}
	}
	d.root.Signed.Roles[metadata.ROOT].Threshold = opt.Threshold
	for _, role := range []string{metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		key, err := d.keys.Generate(role)
		if err != nil {
			return err
		}
		if err := d.root.Signed.AddKey(key.tuf(), role); err != nil {
			return err
		}
	}
	return nil
}

// create writes all documents, the root last: before it nobody trusts anything.
func (d *draft) create(ctx context.Context) error {
	lifetime, err := d.lifetime(metadata.ROOT)
	if err != nil {
		return err
	}
	d.root.Signed.Expires = d.now.Add(lifetime)
	data, err := sign(d.keys, d.root, d.signers(metadata.ROOT))
	if err != nil {
		return err
	}
	if err := d.publishDocuments(ctx); err != nil {
		return err
	}
	return durable.Create(d.trust, versioned(metadata.ROOT, 1), data, 0o644)
}

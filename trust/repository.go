package trust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/lock"
)

// Repository is the publisher's side: the metadata in the folder trust/ of a
// repository, and the keys to change it. Its methods may be called concurrently;
// methods that change something first wait for other publishers, in this process
// or another, and read the newest state.
type Repository struct {
	dir  *beneath.Dir
	keys *KeyStore

	mu    sync.Mutex
	state *set
}

// Open reads and verifies the metadata of a repository; nothing expires for it.
// dir is the repository's root and stays open as long as the Repository is used.
// keys may lack any key, or be nil; what needs one then says so with ErrKey.
func Open(dir *beneath.Dir, keys *KeyStore) (*Repository, error) {
	if keys == nil {
		keys = newKeyStore(nil)
	}
	state, err := readFolder(context.Background(), dir)
	if err != nil {
		return nil, err
	}
	return &Repository{dir: dir, keys: keys, state: state}, nil
}

// Fingerprint is the first root key of a repository's first root: it stays the
// same whatever is rotated later. NewKeyStore named the folder of keys by it.
func Fingerprint(dir *beneath.Dir) (string, error) {
	name := published(versioned(metadata.ROOT, 1))
	data, err := dir.ReadFile(name, maxRoot)
	if err != nil {
		return "", err
	}
	root, err := parseRoot(name, data)
	if err != nil {
		return "", err
	}
	return root.Signed.Roles[metadata.ROOT].KeyIDs[0], nil
}

func (r *Repository) current() *set {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// Targets gives what clients see, by ref; the map is the caller's. Targets of
// publishers whose metadata has expired are among them.
func (r *Repository) Targets() map[string]Target { return maps.Clone(r.current().targets) }

// Mirrors gives the signed addresses of mirrors.
func (r *Repository) Mirrors() []string { return slices.Clone(r.current().settings.mirrors) }

// Lifetimes gives for how long metadata counts, without zeros.
func (r *Repository) Lifetimes() Lifetimes { return r.current().settings.lifetimes }

// Expires is when clients stop to accept the repository unless it is refreshed.
func (r *Repository) Expires() time.Time { return r.current().expires() }

// Fingerprints gives the ids of today's root keys; a client can start from any.
func (r *Repository) Fingerprints() []string {
	return slices.Clone(r.current().trusted.Root.Signed.Roles[metadata.ROOT].KeyIDs)
}

// KeyInfo says what one key is for.
type KeyInfo struct {
	ID        string   // for root keys the fingerprint
	Role      string   // root, targets, snapshot, timestamp, or publisher-NAME
	Threshold int      // signatures that the role needs
	Paths     []string // patterns of refs, of publishers
	Held      bool     // the private key is in the key folder
}

// Keys lists the keys that count today, a line for each role of a key: root,
// targets, snapshot, timestamp, then the publishers in the order in which they are
// asked.
func (r *Repository) Keys() []KeyInfo {
	state := r.current()
	var all []KeyInfo
	add := func(role string, ids []string, threshold int, paths []string) {
		for _, id := range ids {
			held, _ := r.keys.Holds(id)
			all = append(all, KeyInfo{id, role, threshold, slices.Clone(paths), held})
		}
	}
	for _, name := range []string{metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		role := state.trusted.Root.Signed.Roles[name]
		add(name, role.KeyIDs, role.Threshold, nil)
	}
	for _, role := range state.delegations().Roles {
		add(role.Name, role.KeyIDs, role.Threshold, role.Paths)
	}
	return all
}

// hold waits until no other process or goroutine changes the folder.
func hold(ctx context.Context, dir *beneath.Dir) (release func(), err error) {
	// a file, not the folder itself: NFS wants it open for writing
	f, err := dir.OpenFile(lockFile, unix.O_RDWR|unix.O_CREAT, 0o644)
	if err != nil {
		return nil, err
	}
	if err := lock.Exclusive(ctx, f); err != nil {
		f.Close()
		return nil, fmt.Errorf("waiting for another publisher or update: %w", err)
	}
	return func() { f.Close() }, nil
}

// readFolder reads and verifies the folder trust/ below a repository's root.
func readFolder(ctx context.Context, dir *beneath.Dir) (*set, error) {
	trust, err := dir.OpenDir(folder)
	if err != nil {
		return nil, err
	}
	defer trust.Close()
	return readStable(ctx, trust)
}

// readStable reads a folder of metadata without a lock. Where a writer replaces
// the head and removes what the old one named in between, it reads again.
func readStable(ctx context.Context, trust *beneath.Dir) (*set, error) {
	for {
		before, err := trust.ReadFile(timestampFile, maxTimestamp)
		if err != nil {
			return nil, err
		}
		state, err := readSet(ctx, trust, before)
		if !errors.Is(err, fs.ErrNotExist) {
			return state, err
		}
		after, headErr := trust.ReadFile(timestampFile, maxTimestamp)
		if headErr != nil || string(after) == string(before) {
			return nil, err
		}
	}
}

// readSet verifies what a timestamp leads to, by the newest root; or by an older one,
// when a change of keys was interrupted between the root and the rest.
func readSet(ctx context.Context, trust *beneath.Dir, timestamp []byte) (*set, error) {
	versions, err := rootVersions(trust)
	if err != nil {
		return nil, err
	}
	if len(versions) == 0 {
		return nil, &fs.PathError{Op: "open", Path: published(versioned(metadata.ROOT, 1)), Err: fs.ErrNotExist}
	}
	var first error
	for _, version := range slices.Backward(versions) {
		state, err := readWith(ctx, trust, version, timestamp)
		if err == nil || !errors.Is(err, ErrSignature) {
			return state, err
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func readWith(ctx context.Context, trust *beneath.Dir, version int64, timestamp []byte) (*set, error) {
	root, err := trust.ReadFile(versioned(metadata.ROOT, version), maxRoot)
	if err != nil {
		return nil, err
	}
	a, err := startAssembly(version, root, time.Time{}, readFrom(trust))
	if err != nil {
		return nil, err
	}
	if err := a.timestamp(timestamp); err != nil {
		return nil, err
	}
	if err := a.rest(ctx); err != nil {
		return nil, err
	}
	return &a.set, nil
}

// readFrom reads files of a folder.
func readFrom(trust *beneath.Dir) reader {
	return func(_ context.Context, name string, meta *metadata.MetaFiles) ([]byte, error) {
		return trust.ReadFile(name, meta.Length)
	}
}

// rootVersions lists the roots in a folder, in rising order.
func rootVersions(trust *beneath.Dir) ([]int64, error) {
	names, err := trust.ReadDir(".")
	if err != nil {
		return nil, err
	}
	var versions []int64
	for _, name := range names {
		if role, version, ok := parseVersioned(name); ok && role == metadata.ROOT {
			versions = append(versions, version)
		}
	}
	slices.Sort(versions)
	return versions, nil
}

package trust

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
)

// start is when all tests begin.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const editor = "app/org.example.Editor/x86_64/stable"

// world is a repository on disk, and a server that serves a copy of its trust
// folder, which a test can change at will.
type world struct {
	t      *testing.T
	dir    *beneath.Dir
	keys   *KeyStore
	now    time.Time
	served map[string][]byte // by name in trust/

	requests  []string // what was asked for; "?" marks a conditional request
	oversized bool     // the server sends more than was asked for

	attackedDir *beneath.Dir // of the client under attack
}

func newWorld(t *testing.T, opt InitOptions) *world {
	t.Helper()
	inMemory(t)
	return newWorldOf(t, "keys", opt)
}

// newWorldOf makes a world whose keys follow from who.
func newWorldOf(t *testing.T, who string, opt InitOptions) *world {
	t.Helper()
	w := &world{t: t, dir: openDir(t, t.TempDir()), now: start}
	w.keys = testKeys(t, filepath.Join(t.TempDir(), who))
	opt.Now = start
	if _, err := Init(t.Context(), w.dir, w.keys, opt); err != nil {
		t.Fatal(err)
	}
	w.serve()
	return w
}

// inMemory puts the temporary folders of a test where syncing costs nothing, if
// there is such a place: what is synced is not what it looks at.
func inMemory(t *testing.T) {
	t.Helper()
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() && unix.Access("/dev/shm", unix.W_OK) == nil {
		t.Setenv("TMPDIR", "/dev/shm")
	}
}

func openDir(t *testing.T, path string) *beneath.Dir {
	t.Helper()
	dir, err := beneath.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

// testKeys opens a key folder whose new keys depend on its path's last element
// alone.
func testKeys(t *testing.T, path string) *KeyStore {
	t.Helper()
	k, err := OpenKeyStore(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	k.random = rand.NewChaCha8(sha256.Sum256([]byte(filepath.Base(path))))
	return k
}

func (w *world) open() *Repository {
	w.t.Helper()
	r, err := Open(w.dir, w.keys)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// release is a target whose content depends on its version alone.
func release(ref, version string) Target {
	return Target{
		Name: ref, Length: 100, SHA256: sha256.Sum256([]byte(ref + version)),
		Custom: Custom{Release: digest.Of([]byte(ref + version)), Version: version},
	}
}

// commit publishes a version of a ref and serves it.
func (w *world) commit(ref, version string) {
	w.t.Helper()
	err := w.open().Commit(w.t.Context(), w.now, func(e *Edit) error { return e.Set(release(ref, version)) })
	w.must(err)
	w.serve()
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// serve copies the trust folder to the server.
func (w *world) serve() { w.served = readAll(w.t, w.dir, folder) }

func readAll(t *testing.T, dir *beneath.Dir, name string) map[string][]byte {
	t.Helper()
	names, err := dir.ReadDir(name)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, file := range names {
		if file == lockFile {
			continue
		}
		data, err := dir.ReadFile(name+"/"+file, 1<<23)
		if err != nil {
			t.Fatal(err)
		}
		files[file] = data
	}
	return files
}

// fetch is the server; validators are hashes.
func (w *world) fetch(_ context.Context, name string, limit int64, validator string) (Document, error) {
	base, ok := strings.CutPrefix(name, "trust/")
	if !ok || strings.Contains(base, "/") {
		w.t.Errorf("the client asks for %q", name)
	}
	if validator != "" {
		name += "?"
	}
	w.requests = append(w.requests, name)
	data, ok := w.served[base]
	if !ok {
		return Document{}, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	sum := sha256.Sum256(data)
	current := hex.EncodeToString(sum[:])
	switch {
	case validator == current:
		return Document{NotModified: true, Validator: current}, nil
	case int64(len(data)) > limit && !w.oversized:
		return Document{}, errors.New("server sends more than allowed")
	}
	return Document{Data: data, Validator: current}, nil
}

// client makes a client that trusts the repository as it is served.
func (w *world) client() (*Client, *beneath.Dir) {
	w.t.Helper()
	dir := openDir(w.t, w.t.TempDir())
	c := w.clientOn(dir)
	w.must(c.Bootstrap(w.t.Context(), w.fingerprint()))
	w.requests = nil
	return c, dir
}

func (w *world) clientOn(dir *beneath.Dir) *Client {
	return NewClient(dir, w.fetch, func() time.Time { return w.now })
}

func (w *world) fingerprint() string {
	w.t.Helper()
	id, err := Fingerprint(w.dir)
	w.must(err)
	return id
}

// trusted tells which versions a client's folder holds: what it trusts when it is
// opened next.
func trusted(t *testing.T, dir *beneath.Dir) string {
	t.Helper()
	c := NewClient(dir, nil, nil)
	if err := c.Load(t.Context()); err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("root %d timestamp %d snapshot %d targets %d", c.state.versionOf(metadata.ROOT),
		c.state.versionOf(metadata.TIMESTAMP), c.state.versionOf(metadata.SNAPSHOT), c.state.versionOf(metadata.TARGETS))
	for _, delegated := range c.state.delegations().Roles {
		text += fmt.Sprintf(" %s %d", publisherOf(delegated.Name), c.state.versionOf(delegated.Name))
	}
	return text
}

// forge changes a served document and signs it again with the keys of a role, as
// somebody who has these keys could. It returns the new bytes and serves nothing.
func forge[T metadata.Roles](w *world, name string, change func(*T), roles ...string) []byte {
	w.t.Helper()
	doc, err := new(metadata.Metadata[T]).FromBytes(w.served[name])
	w.must(err)
	change(&doc.Signed)
	return signAs(w, doc, roles...)
}

func signAs[T metadata.Roles](w *world, doc *metadata.Metadata[T], roles ...string) []byte {
	w.t.Helper()
	var all []signers
	for _, role := range roles {
		keys, err := w.keys.labelled(role)
		w.must(err)
		s := signers{role: role}
		for _, key := range keys {
			s.ids = append(s.ids, key.ID())
		}
		all = append(all, s)
	}
	data, err := sign(w.keys, doc, all)
	w.must(err)
	return data
}

// point makes the served head lead to a forged snapshot, and the snapshot to forged
// files: name to content, versions as in the names.
func (w *world) point(files map[string][]byte) {
	w.t.Helper()
	maps.Copy(w.served, files)
	head := w.head()
	old := versioned(metadata.SNAPSHOT, head.Signed.Meta["snapshot.json"].Version)
	next := head.Signed.Meta["snapshot.json"].Version + 1
	snapshot := forge(w, old, func(s *metadata.SnapshotType) {
		s.Version = next
		for name, data := range files {
			if role, version, _ := strings.Cut(name, "."); version != "" {
				var n int64
				fmt.Sscan(role, &n)
				s.Meta[version] = describe(data, n)
			}
		}
	}, metadata.SNAPSHOT)
	w.served[versioned(metadata.SNAPSHOT, next)] = snapshot
	w.served[timestampFile] = w.forgeHead(func(t *metadata.TimestampType) {
		t.Version++
		t.Meta["snapshot.json"] = describe(snapshot, next)
	})
}

func (w *world) head() *timestampDoc {
	w.t.Helper()
	head, err := parseTimestamp(timestampFile, w.served[timestampFile])
	w.must(err)
	return head
}

func (w *world) forgeHead(change func(*metadata.TimestampType)) []byte {
	w.t.Helper()
	return forge(w, timestampFile, change, metadata.TIMESTAMP)
}

// noFindings fails the test if the repository has any.
func (w *world) noFindings() {
	w.t.Helper()
	findings, err := Check(w.t.Context(), w.dir, w.now)
	w.must(err)
	for _, f := range findings {
		w.t.Errorf("finding: %+v", f)
	}
}

func writeFile(t *testing.T, dir *beneath.Dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir.Path(), name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// copyOf copies a key folder, as a thief would.
func copyOf(t *testing.T, k *KeyStore) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stolen")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	copyKeys(t, k, &KeyStore{path: path}, "root", "timestamp", "snapshot", "targets", "publisher")
	return path
}

func openKeys(t *testing.T, path string) *KeyStore {
	t.Helper()
	k, err := OpenKeyStore(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

package trust

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
)

// The state that a client of attacked trusts before the attack.
const trustedBefore = "root 1 timestamp 2 snapshot 2 targets 1 main 2"

// attacked is a repository with a client that is one release behind.
func attacked(t *testing.T) (*world, *Client, *beneath.Dir) {
	w := newWorld(t, InitOptions{RootKeys: 2, Threshold: 2})
	w.commit(editor, "1.0")
	c, dir := w.client()
	w.commit(editor, "2.0")
	return w, c, dir
}

func TestRefreshFollowsARelease(t *testing.T) {
	w, c, dir := attacked(t)
	w.must(c.Refresh(t.Context()))
	if got, want := trusted(t, dir), "root 1 timestamp 3 snapshot 3 targets 1 main 3"; got != want {
		t.Errorf("trusted: %s, want %s", got, want)
	}
	if got, err := c.Target(editor); err != nil || got.Custom.Version != "2.0" {
		t.Errorf("have %+v: %v", got, err)
	}
	want := []string{"trust/2.root.json", "trust/timestamp.json?", "trust/3.snapshot.json", "trust/3.publisher-main.json"}
	if diff := cmp.Diff(want, w.requests); diff != "" {
		t.Error(diff)
	}
	names, _ := dir.ReadDir(".")
	if diff := cmp.Diff([]string{".lock", "1.root.json", "1.targets.json", "3.publisher-main.json", "3.snapshot.json", "floor.json", "timestamp.json"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestNothingNewIsTwoRequestsAndNoWrite(t *testing.T) {
	w, c, dir := attacked(t)
	w.must(c.Refresh(t.Context()))
	w.requests = nil
	c = w.clientOn(dir.WithFault(func(op, name string) error {
		if name == lockFile {
			return nil
		}
		return fmt.Errorf("%s %s: nothing should be written", op, name)
	}))
	w.must(c.Refresh(t.Context()))
	if diff := cmp.Diff([]string{"trust/2.root.json", "trust/timestamp.json?"}, w.requests); diff != "" {
		t.Error(diff)
	}
}

// Every way in which a server, a mirror or a thief can present wrong metadata. Each
// document is signed by the keys that the attacker would have: the case says what
// the client must notice, and what it trusts afterwards.
func TestAttacks(t *testing.T) {
	const months = 40 * day
	type head = metadata.TimestampType
	for name, c := range map[string]struct {
		attack func(w *world)
		want   error
		after  string // if not trustedBefore
	}{
		"rollback: an older head": {func(w *world) {
			w.must(w.withClient(func(c *Client) error { return c.Refresh(w.t.Context()) }))
			w.served[timestampFile] = w.forgeHead(func(h *head) { h.Version = 2 })
			w.served[timestampFile] = w.forgeHead(func(h *head) { h.Version = 1 })
		}, ErrRollback, "root 1 timestamp 3 snapshot 3 targets 1 main 3"},
		"rollback: another head of the same version": {func(w *world) {
			w.served[timestampFile] = w.forgeHead(func(h *head) { h.Version = 2 })
		}, ErrRollback, ""},
		"rollback: a new head with an older snapshot": {func(w *world) {
			w.served[timestampFile] = w.forgeHead(func(h *head) {
				h.Version, h.Meta["snapshot.json"] = 9, describe(w.served["1.snapshot.json"], 1)
			})
		}, ErrRollback, ""},
		"rollback: a new snapshot with older targets (CVE-2022-29173)": {func(w *world) {
			w.point(map[string][]byte{"1.publisher-main.json": w.served["1.publisher-main.json"]})
		}, ErrRollback, ""},
		"rollback: a new snapshot without a publisher": {func(w *world) {
			w.pointSnapshot(func(s *metadata.SnapshotType) { delete(s.Meta, "publisher-main.json") })
		}, ErrRollback, ""},
		"freeze: the old head for ever": {func(w *world) {
			w.served[timestampFile] = w.forgeHead(func(h *head) { h.Expires = start.Add(time.Hour) })
			w.now = start.Add(2 * time.Hour)
		}, ErrExpired, ""},
		"freeze: not modified": {func(w *world) {
			w.must(w.withClient(func(c *Client) error { return c.Refresh(w.t.Context()) }))
			w.now = start.Add(8 * day)
		}, ErrExpired, "root 1 timestamp 3 snapshot 3 targets 1 main 3"},
		"freeze: an old snapshot under a new head": {func(w *world) {
			w.now = start.Add(months)
			w.served[timestampFile] = w.forgeHead(func(h *head) { h.Version, h.Expires = 9, w.now.Add(day) })
		}, ErrExpired, ""},
		"freeze: old targets under a new head": {func(w *world) {
			w.now = start.Add(370 * day)
			w.served["2.root.json"] = w.forgeRoot(func(r *metadata.RootType) { r.Expires = w.now.Add(day) }, "root")
			w.pointSnapshot(func(s *metadata.SnapshotType) { s.Expires = w.now.Add(day) })
			w.served[timestampFile] = w.forgeHead(func(h *head) { h.Version, h.Expires = 9, w.now.Add(day) })
		}, ErrExpired, "root 2 timestamp 2 snapshot 2 targets 1 main 2"},
		"freeze: an old root": {func(w *world) {
			w.now = start.Add(370 * day)
			w.served[timestampFile] = w.forgeHead(func(h *head) { h.Version, h.Expires = 9, w.now.Add(day) })
		}, ErrExpired, ""},
		"clock of 1970 changes nothing else": {func(w *world) {
			w.now = time.Unix(0, 0)
			w.served[timestampFile] = w.forgeHead(func(h *head) { h.Version = 1 })
		}, ErrRollback, ""},
		"mix: the old snapshot under the new name": {func(w *world) {
			w.served["3.snapshot.json"] = w.served["2.snapshot.json"]
		}, digest.ErrMismatch, ""},
		"mix: old targets under the new name": {func(w *world) {
			w.served["3.publisher-main.json"] = w.served["2.publisher-main.json"]
		}, digest.ErrMismatch, ""},
		"mix: versions that do not agree": {func(w *world) {
			w.point(map[string][]byte{"4.publisher-main.json": w.served["3.publisher-main.json"]})
		}, ErrRollback, ""},
		"a file is missing": {func(w *world) {
			delete(w.served, "3.snapshot.json")
		}, fs.ErrNotExist, ""},
		"wrong key: a head signed for the snapshot": {func(w *world) {
			w.served[timestampFile] = forge(w, timestampFile, func(*head) {}, "snapshot")
		}, ErrSignature, ""},
		"stolen online keys: a publisher's targets (A-16)": {func(w *world) {
			w.point(map[string][]byte{"4.publisher-main.json": forge(w, "3.publisher-main.json",
				func(t *metadata.TargetsType) { t.Version = 4 }, "timestamp", "snapshot")})
		}, ErrSignature, ""},
		"stolen publisher key: delegations": {func(w *world) {
			w.point(map[string][]byte{"2.targets.json": forge(w, "1.targets.json",
				func(t *metadata.TargetsType) { t.Version = 2 }, "publisher-main")})
		}, ErrSignature, ""},
		"no signature": {func(w *world) {
			w.served[timestampFile] = signAs(w, w.head())
		}, ErrFormat, ""},
		"type: a snapshot as head (A-11)": {func(w *world) {
			w.served[timestampFile] = w.served["3.snapshot.json"]
		}, ErrFormat, ""},
		"type: targets as a publisher's": {func(w *world) {
			w.point(map[string][]byte{"4.publisher-main.json": w.served["1.targets.json"]})
		}, ErrFormat, ""},
		"endless head": {func(w *world) {
			w.oversized = true
			w.served[timestampFile] = bytes.Repeat([]byte(" "), maxTimestamp+1)
		}, ErrFormat, ""},
		"endless root": {func(w *world) {
			w.oversized = true
			w.served["2.root.json"] = bytes.Repeat([]byte(" "), maxRoot+1)
		}, ErrFormat, ""},
		"endless snapshot": {func(w *world) {
			w.oversized = true
			w.served["3.snapshot.json"] = append(w.served["3.snapshot.json"], ' ')
		}, ErrFormat, ""},
		"not modified, unasked": {func(w *world) {
			w.must(w.attackedDir.Remove(floorFile)) // and with it the validator
			w.served[timestampFile] = nil           // see unasked
		}, ErrFormat, ""},
		"root: threshold 0 (CVE-2026-23992)":    {w2(func(r *metadata.RootType) { r.Roles["timestamp"].Threshold = 0 }), ErrFormat, ""},
		"root: threshold -1":                    {w2(func(r *metadata.RootType) { r.Roles["root"].Threshold = -1 }), ErrFormat, ""},
		"root: threshold above its keys":        {w2(func(r *metadata.RootType) { r.Roles["root"].Threshold = 3 }), ErrFormat, ""},
		"root: no keys":                         {w2(func(r *metadata.RootType) { r.Roles["targets"].KeyIDs = []string{} }), ErrFormat, ""},
		"root: a key twice in a role":           {w2(func(r *metadata.RootType) { twice(r.Roles["root"]) }), ErrFormat, ""},
		"root: a key with two ids (GHSA-3633)":  {w2(twoIDs), ErrFormat, ""},
		"root: a key of 31 bytes":               {w2(func(r *metadata.RootType) { shorten(r.Keys) }), ErrFormat, ""},
		"root: an unknown kind of key":          {w2(func(r *metadata.RootType) { anyKey(r.Keys).Type = "rsa" }), ErrFormat, ""},
		"root: jumps over a version":            {w2(func(r *metadata.RootType) { r.Version = 3 }), ErrRollback, ""},
		"root: an old version under a new name": {w2(func(r *metadata.RootType) { r.Version = 1 }), ErrRollback, ""},
		"root: signed by new keys only": {func(w *world) {
			w.newRootKeys()
			w.served["2.root.json"] = w.forgeRoot(func(r *metadata.RootType) { w.useRootKeys(r, "newroot") }, "newroot")
		}, ErrSignature, ""},
		"root: signed by old keys only": {func(w *world) {
			w.newRootKeys()
			w.served["2.root.json"] = w.forgeRoot(func(r *metadata.RootType) { w.useRootKeys(r, "newroot") }, "root")
		}, ErrSignature, ""},
		"root: one signature of two": {func(w *world) {
			w.served["2.root.json"] = w.dropSignature(w.forgeRoot(func(*metadata.RootType) {}, "root"))
		}, ErrSignature, ""},
		"root: one signature twice (A-04)": {func(w *world) {
			w.served["2.root.json"] = w.doubleSignature(w.forgeRoot(func(*metadata.RootType) {}, "root"))
		}, ErrFormat, ""},
		"role name as a path (CVE-2026-24686)": {func(w *world) { w.rename("publisher-../../x") }, ErrFormat, ""},
		"role name with a slash":               {func(w *world) { w.rename("publisher-a/b") }, ErrFormat, ""},
		"role name of a top role":              {func(w *world) { w.rename("timestamp") }, ErrFormat, ""},
		"version beyond the limit":             {func(w *world) { w.forgeVersion(maxVersion + 1) }, ErrFormat, ""},
		"expires with a fraction": {func(w *world) {
			w.served[timestampFile] = w.forgeHead(func(h *head) { h.Version, h.Expires = 9, h.Expires.Add(time.Millisecond) })
		}, ErrFormat, ""},
		"target that is no ref": {func(w *world) {
			w.point(map[string][]byte{"4.publisher-main.json": forge(w, "3.publisher-main.json", func(t *metadata.TargetsType) {
				t.Version, t.Targets["app/../../x"] = 4, t.Targets[editor]
			}, "publisher-main")})
		}, ErrFormat, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, client, dir := attacked(t)
			w.attackedDir = dir
			c.attack(w)
			if w.served[timestampFile] == nil {
				client.fetch = unasked(w.fetch)
			}
			err := client.Refresh(t.Context())
			if !errors.Is(err, c.want) {
				t.Errorf("have %v, want %v", err, c.want)
			}
			if c.after == "" {
				c.after = trustedBefore
			}
			if got := trusted(t, dir); got != c.after {
				t.Errorf("trusted: %s, want %s", got, c.after)
			}
			if strings.ContainsFunc(fmt.Sprint(err), func(r rune) bool { return r < ' ' }) || len(fmt.Sprint(err)) > 1024 {
				t.Errorf("the message is not for people: %q", err)
			}
			if strings.Contains(c.after, "root 1 ") {
				w.converges(client)
			}
		})
	}
}

// converges checks that an honest server is followed again, with an honest clock.
func (w *world) converges(c *Client) {
	w.t.Helper()
	w.now, w.oversized, c.fetch = start, false, w.fetch
	w.must(w.open().Commit(w.t.Context(), w.now, func(e *Edit) error { return e.Set(release(editor, "3.0")) }))
	w.must(w.open().Rotate(w.t.Context(), w.now, "snapshot")) // forgets what the attack raised
	w.serve()
	if err := c.Refresh(w.t.Context()); err != nil {
		w.t.Errorf("after the attack: %v", err)
	}
	if got, err := c.Target(editor); err != nil || got.Custom.Version != "3.0" {
		w.t.Errorf("after the attack: %+v: %v", got, err)
	}
}

// withClient runs something on the client under attack before the attack.
func (w *world) withClient(do func(*Client) error) error { return do(w.clientOn(w.attackedDir)) }

func unasked(fetch Fetch) Fetch {
	return func(ctx context.Context, name string, limit int64, _ string) (Document, error) {
		if name == published(timestampFile) {
			return Document{NotModified: true}, nil
		}
		return fetch(ctx, name, limit, "")
	}
}

// w2 serves a root of version 2 that is signed rightly, however wrong it is.
func w2(change func(*metadata.RootType)) func(*world) {
	return func(w *world) { w.served["2.root.json"] = w.forgeRoot(change, "root") }
}

func (w *world) forgeRoot(change func(*metadata.RootType), signedBy ...string) []byte {
	w.t.Helper()
	return forge(w, "1.root.json", func(r *metadata.RootType) {
		r.Version = 2
		change(r)
	}, signedBy...)
}

func (w *world) pointSnapshot(change func(*metadata.SnapshotType)) {
	w.t.Helper()
	snapshot := forge(w, "3.snapshot.json", func(s *metadata.SnapshotType) {
		s.Version = 4
		change(s)
	}, "snapshot")
	w.served["4.snapshot.json"] = snapshot
	w.served[timestampFile] = w.forgeHead(func(h *metadata.TimestampType) {
		h.Version, h.Meta["snapshot.json"] = 9, describe(snapshot, 4)
	})
}

func (w *world) forgeVersion(version int64) {
	w.t.Helper()
	w.served[timestampFile] = w.forgeHead(func(h *metadata.TimestampType) { h.Version = version })
}

// rename delegates to a role of any name.
func (w *world) rename(role string) {
	w.t.Helper()
	w.point(map[string][]byte{"2.targets.json": forge(w, "1.targets.json", func(t *metadata.TargetsType) {
		t.Version, t.Delegations.Roles[0].Name = 2, role
	}, "targets")})
}

func (w *world) newRootKeys() {
	w.t.Helper()
	for range 2 {
		key, err := w.keys.newKey()
		w.must(err)
		w.must(w.keys.save("newroot", key))
	}
}

func (w *world) useRootKeys(r *metadata.RootType, label string) {
	w.t.Helper()
	keys, err := w.keys.labelled(label)
	w.must(err)
	r.Roles["root"].KeyIDs = []string{}
	for _, key := range keys {
		w.must(r.AddKey(key.tuf(), "root"))
	}
}

func (w *world) dropSignature(data []byte) []byte {
	return w.resign(data, func(s []metadata.Signature) []metadata.Signature { return s[:1] })
}

func (w *world) doubleSignature(data []byte) []byte {
	return w.resign(data, func(s []metadata.Signature) []metadata.Signature { return []metadata.Signature{s[0], s[0]} })
}

func (w *world) resign(data []byte, change func([]metadata.Signature) []metadata.Signature) []byte {
	w.t.Helper()
	doc, err := metadata.Root().FromBytes(data)
	w.must(err)
	doc.Signatures = change(doc.Signatures)
	data, err = encode(doc)
	w.must(err)
	return data
}

func twice(role *metadata.Role) { role.KeyIDs = []string{role.KeyIDs[0], role.KeyIDs[0]} }

func twoIDs(r *metadata.RootType) {
	id := strings.Repeat("0", 64)
	r.Keys[id] = r.Keys[r.Roles["root"].KeyIDs[0]]
	r.Roles["root"].KeyIDs = []string{r.Roles["root"].KeyIDs[0], id}
}

func shorten(keys map[string]*metadata.Key) {
	key := anyKey(keys)
	key.Value.PublicKey = key.Value.PublicKey[2:]
}

func anyKey(keys map[string]*metadata.Key) *metadata.Key {
	return keys[slices.Sorted(maps.Keys(keys))[0]]
}

// Shapes that are valid JSON and that no decoder may stumble over, before a
// signature could be looked at.
var shapes = []string{
	``, `null`, `0`, `"x"`, `[]`, `{}`, `{"signed":null}`, `{"signed":{}}`, `{"signatures":{},"signed":{}}`,
	`{"signatures":[],"signed":{"_type":"root"}}`, `{"signatures":[null],"signed":{"_type":"root"}}`,
	`{"signatures":[],"signed":{"_type":"root","keys":{"x":null},"roles":{"root":null}}}`,
	`{"signatures":[],"signed":{"_type":"root","keys":[],"roles":[]}}`,
	`{"signatures":[],"signed":{"_type":"root","version":1e999}}`,
	`{"signatures":[],"signed":{"_type":"root","version":1.5}}`,
	`{"signatures":[],"signed":{"_type":"timestamp","meta":{"snapshot.json":null}}}`,
	`{"signatures":[],"signed":{"_type":"snapshot","meta":{"targets.json":null}}}`,
	`{"signatures":[],"signed":{"_type":"targets","targets":{"x":null}}}`,
	`{"signatures":[],"signed":{"_type":"targets","targets":{},"delegations":{"keys":null,"roles":[{}]}}}`,
	`{"signatures":[],"signed":{"_type":"targets","targets":{},"delegations":{"succinct_roles":{"bit_length":99}}}}`,
	strings.Repeat("[", 100000), strings.Repeat(`{"a":`, 9000), "{\"a\":1}\x00", "\xef\xbb\xbf{}", "{}{}", `{"signed":{},"signed":{}}`,
}

func TestShapesNeverPanic(t *testing.T) {
	for _, name := range []string{"2.root.json", timestampFile} {
		w, client, dir := attacked(t)
		w.oversized = true
		for _, shape := range shapes {
			w.served[name] = []byte(shape)
			if err := client.Refresh(t.Context()); !errors.Is(err, ErrFormat) {
				t.Errorf("%s %.80q: have %v", name, shape, err)
			}
		}
		if got := trusted(t, dir); got != trustedBefore {
			t.Errorf("trusted: %s", got)
		}
	}
	w := newWorld(t, InitOptions{})
	for _, shape := range shapes {
		w.served["1.root.json"] = []byte(shape)
		c := w.clientOn(openDir(t, t.TempDir()))
		if err := c.Bootstrap(t.Context(), strings.Repeat("0", 64)); !errors.Is(err, ErrFormat) {
			t.Errorf("bootstrap from %.80q: have %v", shape, err)
		}
	}
}

// Every byte of every file that a refresh reads, and every length.
func TestEveryByteCounts(t *testing.T) {
	w, client, dir := attacked(t)
	w.served["2.root.json"] = w.forgeRoot(func(*metadata.RootType) {}, "root")
	honest := maps.Clone(w.served)
	for _, name := range []string{"2.root.json", timestampFile, "3.snapshot.json", "3.publisher-main.json"} {
		for i := 0; i < len(honest[name]); i += stride() {
			for _, damaged := range [][]byte{flip(honest[name], i), honest[name][:i]} {
				w.served[name] = damaged
				if err := client.Refresh(t.Context()); err == nil {
					t.Fatalf("%s, byte %d: nothing noticed", name, i)
				}
			}
		}
		w.served[name] = honest[name]
	}
	if got, want := trusted(t, dir), strings.Replace(trustedBefore, "root 1", "root 2", 1); got != want {
		t.Errorf("trusted: %s, want %s", got, want)
	}
	w.must(client.Refresh(t.Context()))
}

// stride is how many bytes a test of every byte goes on at a time.
func stride() int {
	if os.Getenv("LARCH_TEST_LONG") != "" {
		return 1
	}
	return 5
}

func flip(data []byte, i int) []byte {
	damaged := bytes.Clone(data)
	damaged[i] ^= 1 << (i % 8)
	return damaged
}

func TestThreeRotationsAway(t *testing.T) {
	w, client, dir := attacked(t)
	for i := range 3 {
		for _, role := range []string{"root", "timestamp", "snapshot", "targets", "main"} {
			if role == "root" || i == 1 {
				w.must(w.open().Rotate(t.Context(), w.now, role))
			}
		}
	}
	w.commit(editor, "3.0")
	w.must(client.Refresh(t.Context()))
	if got, err := client.Target(editor); err != nil || got.Custom.Version != "3.0" {
		t.Errorf("have %+v: %v; trusted: %s", got, err, trusted(t, dir))
	}
	if got := trusted(t, dir); !strings.HasPrefix(got, "root 7 ") {
		t.Errorf("trusted: %s", got)
	}
}

// A root that is missing ends the chain, whatever comes after it; and a head
// that was signed after it tells.
func TestRootAfterAGap(t *testing.T) {
	w, client, dir := attacked(t)
	old := w.served[timestampFile]
	w.must(w.open().Rotate(t.Context(), w.now, "root"))
	w.must(w.open().Rotate(t.Context(), w.now, "root"))
	w.serve()
	delete(w.served, "2.root.json")
	if err := client.Refresh(t.Context()); !errors.Is(err, ErrRollback) || trusted(t, dir) != trustedBefore {
		t.Errorf("a root is held back: %v; trusted: %s", err, trusted(t, dir))
	}
	w.served[timestampFile] = old // a frozen state is accepted until it expires
	w.must(client.Refresh(t.Context()))
	if got := trusted(t, dir); got != "root 1 timestamp 3 snapshot 3 targets 1 main 3" {
		t.Errorf("trusted: %s", got)
	}
	w.serve()
	w.must(client.Refresh(t.Context()))
}

// The first root of a version stays, and a root that was followed must not vanish.
func TestRootsStay(t *testing.T) {
	w, client, dir := attacked(t)
	w.must(w.open().Rotate(t.Context(), w.now, "root"))
	w.serve()
	w.must(client.Refresh(t.Context()))
	w.must(dir.Remove("2.root.json")) // lost: the floor remembers
	delete(w.served, "2.root.json")
	if err := client.Refresh(t.Context()); !errors.Is(err, ErrRollback) {
		t.Errorf("a vanished root: %v", err)
	}
	w.serve()
	w.must(client.Refresh(t.Context()))
	if got := trusted(t, dir); !strings.HasPrefix(got, "root 2 ") {
		t.Errorf("trusted: %s", got)
	}
}

func TestEndlessRotations(t *testing.T) {
	w, client, _ := attacked(t)
	for v := int64(2); v < maxRotations+10; v++ {
		w.served[versioned("root", v)] = forge(w, "1.root.json", func(r *metadata.RootType) { r.Version = v }, "root")
	}
	if err := client.Refresh(t.Context()); err == nil || len(w.requests) != maxRotations {
		t.Errorf("%d requests: %v", len(w.requests), err)
	}
	w.must(client.Refresh(t.Context()))
}

func TestRevokedKeySignsNothing(t *testing.T) {
	w, client, dir := attacked(t)
	stolen := openKeys(t, copyOf(t, w.keys))
	w.must(w.open().Rotate(t.Context(), w.now, "timestamp"))
	w.must(w.open().Rotate(t.Context(), w.now, "root"))
	w.serve()
	w.must(client.Refresh(t.Context()))
	before := trusted(t, dir)
	w.keys = stolen
	w.served[timestampFile] = w.forgeHead(func(h *metadata.TimestampType) { h.Version = 99 })
	if err := client.Refresh(t.Context()); !errors.Is(err, ErrSignature) {
		t.Errorf("a revoked timestamp key: %v", err)
	}
	w.serve()
	w.served["4.root.json"] = forge(w, "3.root.json", func(r *metadata.RootType) {
		r.Version = 4
		w.useRootKeys(r, "root")
	}, "root")
	if err := client.Refresh(t.Context()); !errors.Is(err, ErrSignature) {
		t.Errorf("revoked root keys add themselves: %v", err)
	}
	if got := trusted(t, dir); got != before {
		t.Errorf("trusted: %s, want %s", got, before)
	}
}

// A thief of the online keys signs the highest version; new keys end that (B-05).
func TestFastForwardRecovery(t *testing.T) {
	w, client, dir := attacked(t)
	snapshot := forge(w, "3.snapshot.json", func(s *metadata.SnapshotType) { s.Version = maxVersion }, "snapshot")
	w.served[versioned("snapshot", maxVersion)] = snapshot
	w.served[timestampFile] = w.forgeHead(func(h *metadata.TimestampType) {
		h.Version, h.Meta["snapshot.json"] = maxVersion, describe(snapshot, maxVersion)
	})
	w.must(client.Refresh(t.Context()))
	w.serve()
	if err := client.Refresh(t.Context()); !errors.Is(err, ErrRollback) {
		t.Errorf("before the rotation: %v", err)
	}
	w.must(w.open().Rotate(t.Context(), w.now, "snapshot"))
	w.must(w.open().Rotate(t.Context(), w.now, "timestamp"))
	w.serve()
	w.must(client.Refresh(t.Context()))
	if got := trusted(t, dir); !strings.HasPrefix(got, "root 3 timestamp 7 ") {
		t.Errorf("trusted: %s", got)
	}
}

func TestExpiredPublisherHidesOnlyItsRefs(t *testing.T) {
	const other = "app/org.other.Tool/x86_64/stable"
	w := newWorld(t, InitOptions{Lifetimes: Lifetimes{Publisher: 10 * day}, Paths: []string{"app/org.example.*/*/*"}})
	_, err := w.open().AddPublisher(t.Context(), w.now, Publisher{Name: "late"})
	w.must(err)
	w.commit(editor, "1.0")
	w.now = start.Add(4 * day)
	w.commit(other, "1.0")
	w.now = start.Add(10*day + time.Second)
	forgetKey(t, w.keys, "publisher-main")
	done, err := w.open().Refresh(t.Context(), w.now)
	if err != nil || !done[2].Due {
		t.Errorf("main is not due: %+v: %v", done, err)
	}
	w.serve()
	c, _ := w.client()
	if _, err := c.Target(editor); !errors.Is(err, ErrExpired) || len(c.Targets()) != 1 {
		t.Errorf("an expired publisher's: %v; %v", err, c.Targets())
	}
	if _, err := c.Target(other); err != nil {
		t.Errorf("the other's: %v", err)
	}
	if _, err := c.Target("app/org.example.None/x86_64/stable"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nobody's: %v", err)
	}
	w.must(c.Load(t.Context()))
	if _, err := c.Target(editor); err != nil {
		t.Errorf("offline: %v", err)
	}
}

// No single lost, truncated or outdated local file opens the way back.
func TestFloorSurvives(t *testing.T) {
	for _, lose := range []string{timestampFile, floorFile, "3.snapshot.json", "3.publisher-main.json", "1.targets.json"} {
		for how, damage := range map[string]func(dir *beneath.Dir, data []byte) error{
			"deleted":   func(dir *beneath.Dir, _ []byte) error { return dir.Remove(lose) },
			"truncated": func(dir *beneath.Dir, data []byte) error { writeFile(t, dir, lose, data[:len(data)/2]); return nil },
			"flipped": func(dir *beneath.Dir, data []byte) error {
				writeFile(t, dir, lose, flip(data, len(data)/2))
				return nil
			},
		} {
			t.Run(lose+" "+how, func(t *testing.T) {
				w, client, dir := attacked(t)
				old := maps.Clone(w.served)
				for name := range old {
					if strings.HasPrefix(name, "3.") {
						delete(old, name)
					}
				}
				old[timestampFile] = forgeOld(w)
				honest := w.served
				w.must(client.Refresh(t.Context()))
				data, err := dir.ReadFile(lose, 1<<20)
				w.must(err)
				w.must(damage(dir, data))
				w.served = old
				if err := w.clientOn(dir).Refresh(t.Context()); !errors.Is(err, ErrRollback) {
					t.Errorf("the way back: %v", err)
				}
				w.served = honest
				w.must(w.clientOn(dir).Refresh(t.Context()))
				if got := trusted(t, dir); got != "root 1 timestamp 3 snapshot 3 targets 1 main 3" {
					t.Errorf("trusted: %s", got)
				}
			})
		}
	}
}

// forgeOld is the head of the release before.
func forgeOld(w *world) []byte {
	return w.forgeHead(func(h *metadata.TimestampType) {
		h.Version, h.Meta["snapshot.json"] = 2, describe(w.served["2.snapshot.json"], 2)
	})
}

func TestBootstrap(t *testing.T) {
	w := newWorld(t, InitOptions{RootKeys: 2, Threshold: 2})
	w.commit(editor, "1.0")
	first := w.open().Fingerprints()
	w.must(w.open().Rotate(t.Context(), w.now, first[1]))
	w.must(w.open().Rotate(t.Context(), w.now, "root"))
	w.commit(editor, "2.0")
	last := w.open().Fingerprints()
	timestamp := w.open().current().trusted.Root.Signed.Roles["timestamp"].KeyIDs[0]
	for name, c := range map[string]struct {
		fingerprint string
		want        error
		roots       int // that the folder holds afterwards
	}{
		"the first key":        {first[0], nil, 3},
		"a key of then":        {first[1], nil, 3},
		"a key of today":       {last[0], nil, 1},
		"another key of today": {last[1], nil, 1},
		"a timestamp key":      {timestamp, ErrFingerprint, 0},
		"nobody's":             {strings.Repeat("ab", 32), ErrFingerprint, 0},
		"upper case":           {strings.ToUpper(first[0]), ErrFingerprint, 0},
		"too short":            {first[0][:63], ErrFingerprint, 0},
		"empty":                {"", ErrFingerprint, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := openDir(t, t.TempDir())
			client := w.clientOn(dir)
			if err := client.Bootstrap(t.Context(), c.fingerprint); !errors.Is(err, c.want) {
				t.Fatalf("have %v, want %v", err, c.want)
			}
			if versions, _ := rootVersions(dir); len(versions) != c.roots {
				t.Errorf("roots: %v, want %d", versions, c.roots)
			}
			if c.want == nil && len(client.Targets()) != 1 {
				t.Errorf("targets: %v", client.Targets())
			}
		})
	}
}

// A root that only lists the pinned key, or bears a signature of it that is
// somebody else's, is not the one.
func TestBootstrapFromAFakeRoot(t *testing.T) {
	w := newWorld(t, InitOptions{})
	pin := w.fingerprint()
	pinned := w.open().current().trusted.Root
	evil := newWorldOf(t, "evil", InitOptions{})
	for name, change := range map[string]func(*metadata.Metadata[metadata.RootType]){
		"lists the key": func(*rootDoc) {},
		"and its signature of another root": func(doc *rootDoc) {
			doc.Signatures = append(doc.Signatures, pinned.Signatures...)
		},
	} {
		doc, err := new(rootDoc).FromBytes(evil.served["1.root.json"])
		w.must(err)
		w.must(doc.Signed.AddKey(pinned.Signed.Keys[pin], "root"))
		signAs(evil, doc, "root")
		change(doc)
		evil.served["1.root.json"], err = encode(doc)
		w.must(err)
		dir := openDir(t, t.TempDir())
		if err := evil.clientOn(dir).Bootstrap(t.Context(), pin); !errors.Is(err, ErrFingerprint) {
			t.Errorf("%s: have %v", name, err)
		}
	}
}

func TestBootstrapRoot(t *testing.T) {
	w, client, dir := attacked(t)
	root := w.served["1.root.json"]
	w.must(client.BootstrapRoot(t.Context(), root)) // again: as after an interruption
	other := newWorldOf(t, "other", InitOptions{})
	if err := client.BootstrapRoot(t.Context(), other.served["1.root.json"]); !errors.Is(err, fs.ErrExist) {
		t.Errorf("another root on top: %v", err)
	}
	if err := client.Bootstrap(t.Context(), w.fingerprint()); err != nil {
		t.Errorf("again by fingerprint: %v", err)
	}
	if got := trusted(t, dir); !strings.HasPrefix(got, "root 1 timestamp 3") {
		t.Errorf("trusted: %s", got)
	}
	empty := openDir(t, t.TempDir())
	if err := w.clientOn(empty).BootstrapRoot(t.Context(), w.dropSignature(root)); !errors.Is(err, ErrSignature) {
		t.Errorf("a root with one of two signatures: %v", err)
	}
	if err := w.clientOn(empty).Refresh(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("refresh without trust: %v", err)
	}
	if err := w.clientOn(empty).Load(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("load without trust: %v", err)
	}
}

// A server that knows no validators is asked for the whole head each time.
func TestServerWithoutValidators(t *testing.T) {
	w, client, dir := attacked(t)
	client.fetch = func(ctx context.Context, name string, limit int64, validator string) (Document, error) {
		document, err := w.fetch(ctx, name, limit, "")
		document.Validator = ""
		return document, err
	}
	w.must(client.Refresh(t.Context()))
	w.must(client.Refresh(t.Context()))
	var f floor
	data, err := dir.ReadFile(floorFile, maxFloor)
	w.must(err)
	w.must(json.Unmarshal(data, &f))
	if f.Validator != "" || f.Of != "" || f.Timestamp != 3 {
		t.Errorf("floor: %+v", f)
	}
}

// A repository that outgrows the limits is refused where it is made; what others
// sign beyond them, where it is read.
func TestLimits(t *testing.T) {
	w := newWorld(t, InitOptions{})
	before := maps.Clone(w.served)
	err := w.open().Commit(t.Context(), w.now, func(e *Edit) error {
		for i := range 5000 {
			target := release(fmt.Sprintf("app/org.example.Editor%d/x86_64/stable", i), "1.0")
			if err := e.Set(target); err != nil {
				return err
			}
		}
		return nil
	})
	if w.serve(); !errors.Is(err, ErrFormat) || !cmp.Equal(before, w.served) {
		t.Errorf("have %v", err)
	}
	for what, err := range map[string]error{
		"root keys":     initError(t, InitOptions{RootKeys: maxSigners + 1}),
		"mirrors":       initError(t, InitOptions{Mirrors: slices.Repeat([]string{"https://x.example/"}, 2)}),
		"paths":         initError(t, InitOptions{Paths: slices.Repeat([]string{everything}, maxPaths+1)}),
		"name":          initError(t, InitOptions{Publisher: strings.Repeat("x", maxName+1)}),
		"lifetime":      initError(t, InitOptions{Lifetimes: Lifetimes{Snapshot: time.Second}}),
		"negative time": initError(t, InitOptions{Lifetimes: Lifetimes{Snapshot: -day}}),
	} {
		if err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

func initError(t *testing.T, opt InitOptions) error {
	opt.Now = start
	dir := openDir(t, t.TempDir())
	_, err := Init(t.Context(), dir, testKeys(t, filepath.Join(t.TempDir(), "keys")), opt)
	if root, _ := dir.Exists("trust/1.root.json"); root {
		t.Errorf("%+v: a root was made", opt)
	}
	return err
}

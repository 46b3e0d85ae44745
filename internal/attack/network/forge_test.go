package network

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/repo"
)

// object is a JSON object, whatever it holds. Documents are changed and signed here
// without go-tuf and without trust, so that anything can be written.
type object = map[string]any

// key is a key pair with the id that TUF gives it.
type key struct {
	id      string
	private ed25519.PrivateKey
}

func newKey(seed string) key {
	sum := sha256.Sum256([]byte(seed))
	return keyOf(ed25519.NewKeyFromSeed(sum[:]))
}

func keyOf(private ed25519.PrivateKey) key {
	sum := sha256.Sum256(canonical(tufKey(private.Public().(ed25519.PublicKey))))
	return key{hex.EncodeToString(sum[:]), private}
}

func (k key) tuf() object { return tufKey(k.private.Public().(ed25519.PublicKey)) }

func tufKey(public []byte) object {
	return object{"keytype": "ed25519", "scheme": "ed25519", "keyval": object{"public": hex.EncodeToString(public)}}
}

// compact is the form in which documents are written.
func compact(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// canonical is the form that is signed (OLPC canonical JSON, as TUF has it): of what is
// in a string only quotes and backslashes are escaped.
func canonical(v any) []byte {
	switch v := v.(type) {
	case object:
		var parts [][]byte
		for _, name := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, slices.Concat(canonical(name), []byte(":"), canonical(v[name])))
		}
		return slices.Concat([]byte("{"), bytes.Join(parts, []byte(",")), []byte("}"))
	case []any:
		var parts [][]byte
		for _, element := range v {
			parts = append(parts, canonical(element))
		}
		return slices.Concat([]byte("["), bytes.Join(parts, []byte(",")), []byte("]"))
	case string:
		return []byte(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(strings.ToValidUTF8(v, "\ufffd")) + `"`)
	}
	return compact(v)
}

// sign gives a document: signed, and the signatures of keys over it.
func sign(signed object, by ...key) []byte {
	list := []any{}
	for _, k := range by {
		list = append(list, signature(k, canonical(signed)))
	}
	return compact(object{"signatures": list, "signed": signed})
}

func signature(k key, text []byte) object {
	return object{"keyid": k.id, "sig": hex.EncodeToString(ed25519.Sign(k.private, text))}
}

// forger holds all keys, and changes what a liar serves.
type forger struct {
	t      *testing.T
	server *liar
	keys   map[string][]key // by role: root, targets, snapshot, timestamp, publisher-main
	ahead  int              // how many more versions than one a next head goes on
}

func (w *world) forger() *forger {
	return &forger{t: w.t, server: w.server, keys: readKeys(w.t, w.site.keys)}
}

func readKeys(t *testing.T, folder string) map[string][]key {
	t.Helper()
	keys := map[string][]key{}
	for _, file := range must(filepath.Glob(filepath.Join(folder, "*.key")))(t) {
		block, _ := pem.Decode(must(os.ReadFile(file))(t))
		private := must(x509.ParsePKCS8PrivateKey(block.Bytes))(t)
		k := keyOf(private.(ed25519.PrivateKey))
		label := strings.TrimSuffix(filepath.Base(file), "-"+k.id+".key")
		if label == filepath.Base(file) {
			t.Fatalf("the key in %s has the id %s", file, k.id)
		}
		keys[label] = append(keys[label], k)
	}
	return keys
}

// document reads what is served as a file of trust/, and gives its signed part.
func (f *forger) document(file string) object {
	f.t.Helper()
	data, ok := f.server.files["trust/"+file]
	if !ok {
		f.t.Fatalf("trust/%s is not served", file)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var doc object
	check(f.t, d.Decode(&doc))
	return doc["signed"].(object)
}

// newest is the highest version of a role that is served.
func (f *forger) newest(role string) (version int) {
	for file := range f.server.files {
		digits, ok := strings.CutSuffix(strings.TrimPrefix(file, "trust/"), "."+role+".json")
		if n, err := strconv.Atoi(digits); ok && err == nil {
			version = max(version, n)
		}
	}
	return version
}

func versioned(role string, version int) string { return fmt.Sprintf("%d.%s.json", version, role) }

// serve serves files of trust/.
func (f *forger) serve(files state) {
	all := state{}
	for name, data := range files {
		all["trust/"+name] = data
	}
	f.server.put(all)
}

// next changes the newest document of a role, and gives it a version one higher
// unless change says otherwise. It signs with the keys of roles, or the role's own.
func (f *forger) next(role string, change func(object), by ...key) []byte {
	f.t.Helper()
	version := f.newest(role)
	signed := f.document(versioned(role, version))
	signed["version"] = version + 1
	change(signed)
	if by == nil {
		by = f.keys[role]
	}
	return sign(signed, by...)
}

// root serves a next root.
func (f *forger) root(change func(object), by ...key) {
	f.t.Helper()
	f.serve(state{versioned("root", f.newest("root")+1): f.next("root", change, by...)})
}

// head serves a next timestamp, of which only the version is other.
func (f *forger) head(change func(object), by ...key) {
	f.t.Helper()
	signed := f.document("timestamp.json")
	signed["version"] = number(signed["version"]) + 1 + f.ahead
	change(signed)
	if by == nil {
		by = f.keys["timestamp"]
	}
	f.serve(state{"timestamp.json": sign(signed, by...)})
}

// snapshot serves a next snapshot, and a head that leads to it.
func (f *forger) snapshot(change func(object), by ...key) {
	f.t.Helper()
	data := f.next("snapshot", change, by...)
	f.lead(data)
}

// lead makes the head lead to a snapshot, under the version that the snapshot says.
func (f *forger) lead(snapshot []byte) {
	f.t.Helper()
	version := versionIn(f.t, snapshot)
	f.serve(state{versioned("snapshot", version): snapshot})
	f.head(func(head object) { head["meta"] = object{"snapshot.json": describe(snapshot, version)} })
}

// list serves a document and makes snapshot and head lead to it, as version.
func (f *forger) list(role string, version int, data []byte) {
	f.t.Helper()
	f.serve(state{versioned(role, version): data})
	f.snapshot(func(s object) { s["meta"].(object)[role+".json"] = describe(data, version) })
}

// targets and publisher serve a next document of theirs, with all that leads to it.
func (f *forger) targets(change func(object), by ...key) { f.delegate("targets", change, by...) }
func (f *forger) publisher(change func(object), by ...key) {
	f.delegate("publisher-main", change, by...)
}

func (f *forger) delegate(role string, change func(object), by ...key) {
	f.t.Helper()
	data := f.next(role, change, by...)
	f.list(role, f.newest(role)+1, data)
}

// describe is how a document is listed by the one above it.
func describe(data []byte, version int) object {
	sum := sha256.Sum256(data)
	return object{"hashes": object{"sha256": hex.EncodeToString(sum[:])}, "length": len(data), "version": version}
}

func versionIn(t *testing.T, data []byte) int {
	t.Helper()
	var doc struct{ Signed struct{ Version int } }
	check(t, json.Unmarshal(data, &doc))
	return doc.Signed.Version
}

func number(v any) int {
	n, err := strconv.Atoi(fmt.Sprint(v))
	if err != nil {
		panic(err)
	}
	return n
}

// at goes down a path of members; numbers are positions in lists.
func at(v any, path ...any) any {
	for _, step := range path {
		switch s := step.(type) {
		case string:
			v = v.(object)[s]
		case int:
			v = v.([]any)[s]
		}
	}
	return v
}

// role gives a role of a root: its keyids and threshold.
func role(root object, name string) object { return at(root, "roles", name).(object) }

// delegation gives the first delegated role of targets.
func delegation(targets object) object { return at(targets, "delegations", "roles", 0).(object) }

// target gives what a publisher's document says of the application.
func target(publisher object) object { return at(publisher, "targets", hello).(object) }

// useKeys makes keys those of a role of a root, or of targets' delegation.
func useKeys(doc, role object, keys ...key) {
	known, ok := doc["keys"].(object)
	if !ok {
		known = at(doc, "delegations", "keys").(object)
	}
	ids := []any{}
	for _, k := range keys {
		known[k.id] = k.tuf()
		ids = append(ids, k.id)
	}
	role["keyids"] = ids
}

// both joins lists of keys.
func both(lists ...[]key) []key { return slices.Concat(lists...) }

// copied copies an object, so that the change of one does not change the other.
func copied(o object) object {
	c := maps.Clone(o)
	for name, v := range c {
		if inner, ok := v.(object); ok {
			c[name] = copied(inner)
		}
	}
	return c
}

// nothing is a change that changes nothing but the version.
func nothing(object) {}

// release signs, as the publisher, that the newest release document is this one.
func (f *forger) release(data []byte) {
	f.t.Helper()
	d, sum := digest.Of(data), sha256.Sum256(data)
	f.server.put(state{repo.ReleaseName(d): data})
	f.publisher(func(doc object) {
		said := target(doc)
		said["length"], said["hashes"] = len(data), object{"sha256": hex.EncodeToString(sum[:])}
		said["custom"].(object)["release"] = d.String()
	})
}

// newRelease names the release document of version 2.
func (w *world) newRelease() string {
	w.t.Helper()
	return w.forger().newRelease()
}

func (f *forger) newRelease() string {
	f.t.Helper()
	custom := target(f.document(versioned("publisher-main", f.newest("publisher-main"))))["custom"].(object)
	return "releases/" + custom["release"].(string)
}

// pruned gives a state without what only a release has, which is named by its file.
func pruned(from state, release string) state {
	digest := strings.TrimPrefix(release, "releases/")
	all := maps.Clone(from)
	maps.DeleteFunc(all, func(name string, _ []byte) bool {
		return name == release || name == "index/"+digest+".zst" || strings.HasPrefix(name, "deltas/"+digest+"/")
	})
	return all
}

// withRoot gives the newest state, with one more root.
func (w *world) withRoot(root []byte) state {
	all := maps.Clone(w.site.versions[newest])
	all["trust/2.root.json"] = root
	return all
}

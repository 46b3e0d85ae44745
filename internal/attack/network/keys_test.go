package network

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/bounded"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/trust"
)

// attack is one case: what is done while version 2 is news, and the verdict.
type attack struct {
	name string // begins with the number
	why  string
	do   func(w *world, f *forger)
	want verdict
}

// run runs attacks, each on a machine of its own.
func run(t *testing.T, attacks []attack) {
	t.Helper()
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			t.Log(a.why)
			w := newWorld(t)
			a.do(w, w.forger())
			w.judge(w.update(), a.want)
		})
	}
}

// What a root of version 2 is refused for, though enough keys signed it.
func badRoot(change func(root object)) func(*world, *forger) {
	return func(_ *world, f *forger) { f.root(change) }
}

// The same for top-level targets, which delegate to the publisher.
func badTargets(change func(targets object)) func(*world, *forger) {
	return func(_ *world, f *forger) { f.targets(change) }
}

func threshold(n any) func(object) {
	return func(root object) { role(root, "timestamp")["threshold"] = n }
}

// TestKeys are attacks on keys, signatures and who may sign what.
func TestKeys(t *testing.T) {
	stranger, second := newKey("a stranger"), newKey("another stranger")
	run(t, []attack{
		{
			"A-00 nothing wrong", "an honest update must pass the judge",
			func(*world, *forger) {}, verdict{},
		}, {
			"A-02 no signatures", "unsigned is never accepted",
			func(w *world, f *forger) { f.head(nothing, []key{}...) }, verdict{err: trust.ErrFormat},
		}, {
			"A-02 no signatures member", "nor where the list is left out",
			func(w *world, f *forger) {
				f.serve(state{"timestamp.json": compact(object{"signed": f.document("timestamp.json")})})
			}, verdict{err: trust.ErrFormat},
		}, {
			"A-03 another's key", "a key that nobody named signs nothing",
			func(w *world, f *forger) { f.head(nothing, stranger) }, verdict{err: trust.ErrSignature},
		}, {
			"A-03 another repository's key of the same role", "a key counts where it is named alone",
			func(w *world, f *forger) { f.publisher(nothing, stranger) }, verdict{err: trust.ErrSignature},
		}, {
			"A-03 another publisher's document", "a publisher signs for its own refs alone: paths bound it, even when it is asked first",
			func(w *world, f *forger) {
				lie := f.document(versioned("publisher-main", f.newest("publisher-main")))
				lie["version"] = 1
				target(lie)["custom"].(object)["version"] = "9"
				data := sign(lie, stranger)
				f.serve(state{versioned("publisher-other", 1): data})
				f.targets(func(targets object) { delegateFirst(targets, "publisher-other", "app/org.other.*/*/*", stranger) })
				f.snapshot(func(s object) { s["meta"].(object)["publisher-other.json"] = describe(data, 1) })
			}, verdict{heal: "snapshot timestamp"},
		}, {
			"A-04 one key signs twice", "one key is one key, however often it signs",
			func(w *world, f *forger) { f.root(nothing, f.keys["root"][0], f.keys["root"][0]) }, verdict{err: trust.ErrFormat},
		}, {
			"A-04 one signature under two ids", "the second id has no key",
			func(w *world, f *forger) {
				again := f.keys["root"][0]
				again.id = strings.Repeat("0", 64)
				f.root(nothing, f.keys["root"][0], again)
			}, verdict{err: trust.ErrSignature},
		}, {
			"A-04 one key under two ids (CVE-2020-6174)", "two ids of one key are one key",
			badRoot(func(root object) {
				keys := root["keys"].(object)
				id := role(root, "root")["keyids"].([]any)[0].(string)
				keys[strings.Repeat("0", 64)] = keys[id]
				role(root, "root")["keyids"] = []any{id, strings.Repeat("0", 64)}
			}), verdict{err: trust.ErrFormat},
		}, {
			"A-04 a key twice in a role", "a threshold counts keys, not mentions",
			badRoot(func(root object) {
				ids := role(root, "root")["keyids"].([]any)
				role(root, "root")["keyids"] = []any{ids[0], ids[0]}
			}), verdict{err: trust.ErrFormat},
		}, {
			"A-05 threshold 0 (CVE-2026-23992)", "zero would be met by nothing", badRoot(threshold(0)), verdict{err: trust.ErrFormat},
		}, {
			"A-05 threshold -1", "less than zero too", badRoot(threshold(-1)), verdict{err: trust.ErrFormat},
		}, {
			"A-05 threshold above the number of keys", "it could never be met again", badRoot(threshold(2)), verdict{err: trust.ErrFormat},
		}, {
			"A-05 threshold of 2^63", "nor overflow", badRoot(threshold(uint64(1) << 63)), verdict{err: trust.ErrFormat},
		}, {
			"A-05 no keys", "a role without keys would be anybody's",
			badRoot(func(root object) { role(root, "targets")["keyids"] = []any{} }), verdict{err: trust.ErrFormat},
		}, {
			"A-05 a publisher's threshold 0", "delegations are judged as roots are",
			badTargets(func(targets object) { delegation(targets)["threshold"] = 0 }), verdict{err: trust.ErrFormat},
		}, {
			"A-05 a publisher without keys", "delegations are judged as roots are",
			badTargets(func(targets object) { delegation(targets)["keyids"] = []any{} }), verdict{err: trust.ErrFormat},
		}, {
			"A-06 a revoked timestamp key", "what was taken away stays so",
			func(w *world, f *forger) { w.rotated("timestamp"); f.head(nothing) },
			verdict{err: trust.ErrSignature, trusts: "root 2 timestamp 2 snapshot 2 targets 1 publisher-main 2"},
		}, {
			"A-06 revoked root keys take themselves back", "the newest root alone says who signs the next",
			func(w *world, f *forger) {
				w.rotated("root")
				f.root(func(root object) { useKeys(root, role(root, "root"), f.keys["root"]...) })
			}, verdict{err: trust.ErrSignature, trusts: "root 2 timestamp 2 snapshot 2 targets 1 publisher-main 2"},
		}, {
			"A-06 a revoked publisher key", "a publisher's keys are those of the newest targets",
			func(w *world, f *forger) { w.rotated("main"); f.publisher(nothing) }, verdict{err: trust.ErrSignature},
		}, {
			"A-07 a key of 31 bytes", "a length is checked before a key is used", badKey(31), verdict{err: trust.ErrFormat},
		}, {
			"A-07 a key of 33 bytes", "a length is checked before a key is used", badKey(33), verdict{err: trust.ErrFormat},
		}, {
			"A-07 a key of small order", "anybody can sign for a key that is no key",
			func(w *world, f *forger) {
				point := smallOrder(w.t)[0]
				f.root(func(root object) {
					weak := tufKey(point)
					id := hexID(weak)
					root["keys"].(object)[id] = weak
					role(root, "timestamp")["keyids"] = []any{id}
				})
				head := f.document("timestamp.json")
				head["version"] = number(head["version"]) + 1
				f.serve(state{"timestamp.json": compact(object{"signed": head, "signatures": []any{
					object{"keyid": hexID(tufKey(point)), "sig": "01" + strings.Repeat("00", 63)},
				}})})
			}, verdict{err: trust.ErrFormat},
		}, {
			"A-07 a signature that was bent (S + L)", "the form of a signature that anybody can compute is no signature",
			func(w *world, f *forger) {
				head := f.document("timestamp.json")
				head["version"] = number(head["version"]) + 1
				good := signature(f.keys["timestamp"][0], canonical(head))
				good["sig"] = bend(good["sig"].(string))
				f.serve(state{"timestamp.json": compact(object{"signed": head, "signatures": []any{good}})})
			}, verdict{err: trust.ErrSignature},
		}, {
			"A-09 signed by the new keys alone", "a chain needs the old keys",
			func(w *world, f *forger) {
				f.root(func(root object) { useKeys(root, role(root, "root"), stranger, second) }, stranger, second)
			}, verdict{err: trust.ErrSignature},
		}, {
			"A-09 signed by the old keys alone", "and the new ones",
			func(w *world, f *forger) {
				f.root(func(root object) { useKeys(root, role(root, "root"), stranger, second) })
			}, verdict{err: trust.ErrSignature},
		}, {
			"A-09 a version is jumped over", "roots are followed one by one",
			badRoot(func(root object) { root["version"] = 3 }), verdict{err: trust.ErrRollback},
		}, {
			"A-09 an old version under the next name", "nor is one followed twice",
			badRoot(func(root object) { root["version"] = 1 }), verdict{err: trust.ErrRollback},
		}, {
			"A-09 the next root is held back", "a head that was signed after it tells",
			func(w *world, f *forger) {
				w.rotated("root", "root")
				w.server.put(state{"trust/2.root.json": nil})
			}, verdict{err: trust.ErrRollback},
		}, {
			"A-10 two roots of one version", "the first stays, and nothing follows from the second",
			func(w *world, f *forger) {
				w.rotated("root")
				check(w.t, w.update()) // follows the honest root 2, to the newest version
				w.before = w.look()
				other := f.document("1.root.json")
				other["version"] = 2
				other["expires"] = "2026-12-01T00:00:00Z"
				f.serve(state{"2.root.json": sign(other, f.keys["root"]...)})
				f.root(nothing, f.keys["root"]...)
			}, verdict{err: trust.ErrSignature, ends: newest},
		}, {
			"A-11 a snapshot as the head", "what a document is stands in what was signed",
			func(w *world, f *forger) {
				f.serve(state{"timestamp.json": w.server.files["trust/"+versioned("snapshot", f.newest("snapshot"))]})
			}, verdict{err: trust.ErrFormat},
		}, {
			"A-11 targets as a publisher's", "what a document is stands in what was signed",
			func(w *world, f *forger) {
				f.list("publisher-main", 9, sign(f.document("1.targets.json"), f.keys["publisher-main"]...))
			}, verdict{err: trust.ErrFormat},
		}, {
			"A-11 a publisher's as targets", "a publisher cannot become the one who delegates",
			func(w *world, f *forger) {
				f.list("targets", 2, sign(f.document(versioned("publisher-main", 3)), f.keys["targets"]...))
			}, verdict{err: trust.ErrFormat},
		}, {
			"A-11 a root as the head", "signed by a key of the role, but a root",
			func(w *world, f *forger) {
				f.serve(state{"timestamp.json": sign(f.document("1.root.json"), f.keys["timestamp"]...)})
			}, verdict{err: trust.ErrFormat},
		}, {
			"A-11 a tree as a release document", "a file of the repository under another's name",
			func(w *world, f *forger) {
				data := w.server.files[w.server.files.names("trees/")[0]]
				f.release(data)
			}, verdict{err: release.ErrFormat, trusts: "root 1 timestamp 4 snapshot 4 targets 1 publisher-main 4"},
		}, {
			"A-14 an expiry in 1970", "a time is read without overflow", expiry("1970-01-01T00:00:00Z"), verdict{err: trust.ErrExpired},
		}, {
			"A-14 an expiry before the year 0", "a time is read without overflow", expiry("-0001-01-01T00:00:00Z"), verdict{err: trust.ErrFormat},
		}, {
			"A-14 an expiry after the year 9999", "a time is read without overflow", expiry("99999-01-01T00:00:00Z"), verdict{err: trust.ErrFormat},
		}, {
			"A-14 an expiry as a number", "a time is a time", expiry(uint64(1) << 63), verdict{err: trust.ErrFormat},
		}, {
			"A-14 an expiry in another zone", "a time has one form", expiry("2026-12-01T00:00:00+14:00"), verdict{err: trust.ErrFormat},
		}, {
			"A-16 stolen online keys sign a version", "the keys of snapshot and timestamp make no version",
			func(w *world, f *forger) {
				f.publisher(nothing, both(f.keys["timestamp"], f.keys["snapshot"])...)
			}, verdict{err: trust.ErrSignature},
		}, {
			"A-16 stolen online keys delegate", "nor do they say who makes them",
			func(w *world, f *forger) {
				f.targets(func(targets object) { useKeys(targets, delegation(targets), stranger) }, both(f.keys["timestamp"], f.keys["snapshot"])...)
			}, verdict{err: trust.ErrSignature},
		}, {
			"A-16 a stolen publisher key delegates", "a publisher cannot name others",
			func(w *world, f *forger) { f.targets(nothing, f.keys["publisher-main"]...) }, verdict{err: trust.ErrSignature},
		},
	})
}

// badKey puts a key of another length into a root.
func badKey(n int) func(*world, *forger) {
	return badRoot(func(root object) {
		id := role(root, "timestamp")["keyids"].([]any)[0].(string)
		at(root, "keys", id, "keyval").(object)["public"] = strings.Repeat("ab", n)
	})
}

func expiry(when any) func(*world, *forger) {
	return func(_ *world, f *forger) { f.head(func(head object) { head["expires"] = when }) }
}

// delegateFirst puts a publisher before the others.
func delegateFirst(targets object, name, paths string, k key) {
	first := copied(delegation(targets))
	first["name"], first["paths"] = name, []any{paths}
	useKeys(targets, first, k)
	delegations := targets["delegations"].(object)
	delegations["roles"] = append([]any{first}, delegations["roles"].([]any)...)
}

// Every document on the way, at 64 places each.
func TestFlippedBytes(t *testing.T) {
	t.Run("A-01 a byte was changed after signing", func(t *testing.T) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t)
		w.forger().root(nothing)
		honest := w.server.files
		for _, file := range []string{"trust/2.root.json", "trust/timestamp.json", "trust/3.snapshot.json", "trust/3.publisher-main.json", w.newRelease()} {
			for range 64 {
				data := []byte(string(honest[file]))
				place := random.IntN(len(data))
				data[place] ^= 1 << random.IntN(8)
				w.server.put(state{file: data})
				w.refused(fmt.Sprintf("%s, byte %d", file, place), trust.ErrFormat, trust.ErrSignature, trust.ErrRollback, trust.ErrExpired, digest.ErrMismatch)
			}
			w.server.put(state{file: honest[file]})
		}
		w.honest = w.withRoot(honest["trust/2.root.json"])
		w.judge(w.update(), verdict{})
	})
}

// Signatures of odd lengths, before anything else can be judged.
func TestSignatureForms(t *testing.T) {
	t.Run("A-07 signatures of odd lengths", func(t *testing.T) {
		w := newWorld(t)
		f := w.forger()
		head := f.document("timestamp.json")
		head["version"] = number(head["version"]) + 1
		good := signature(f.keys["timestamp"][0], canonical(head))
		whole := good["sig"].(string)
		for _, sig := range []any{"", "00", whole[:126], whole[:127], whole + "00", strings.ToUpper(whole), "0x" + whole, strings.Repeat("ab", 3<<10), 7, []any{}, object{}, true} {
			good["sig"] = sig
			f.serve(state{"timestamp.json": compact(object{"signed": head, "signatures": []any{good}})})
			w.refused(fmt.Sprintf("signature %.20v", sig), trust.ErrFormat, trust.ErrSignature)
		}
		w.judge(w.update(), verdict{err: trust.ErrFormat})
	})
	t.Run("A-15 key ids that would be paths", func(t *testing.T) {
		w := newWorld(t)
		f := w.forger()
		for _, id := range []string{"../../canary/file", "a/b", "", ".", "..", "a\x00b", strings.Repeat("../", 3000), strings.Repeat("A", 64), "\xff\xfe", "\u202e"} {
			f.root(func(root object) {
				k := f.keys["timestamp"][0]
				root["keys"].(object)[id] = k.tuf()
				role(root, "timestamp")["keyids"] = []any{id}
			})
			w.refused(fmt.Sprintf("root with key id %.20q", id), trust.ErrFormat, bounded.ErrTooLarge)
			w.server.put(state{"trust/2.root.json": nil})
			k := f.keys["timestamp"][0]
			k.id = id
			f.head(nothing, k)
			w.refused(fmt.Sprintf("head by key id %.20q", id), trust.ErrFormat, bounded.ErrTooLarge)
		}
		w.judge(w.update(), verdict{any: true})
	})
	t.Run("A-08 valid JSON of another shape", func(t *testing.T) {
		w := newWorld(t)
		f := w.forger()
		honest := w.server.files
		for _, shape := range shapes {
			for _, file := range []string{"2.root.json", "timestamp.json"} {
				f.serve(state{file: []byte(shape)})
				w.refused(fmt.Sprintf("%s of %.40q", file, shape), trust.ErrFormat, bounded.ErrTooLarge)
				w.server.serve(honest)
			}
			for _, role := range []string{"targets", "publisher-main"} {
				if shape == "" {
					continue // no document has length 0
				}
				f.list(role, 5, []byte(shape))
				w.refused(fmt.Sprintf("%s of %.40q", role, shape), trust.ErrFormat)
				w.server.serve(honest)
			}
			if shape != "" {
				f.serve(state{versioned("snapshot", 4): []byte(shape)})
				f.head(func(head object) { head["meta"] = object{"snapshot.json": describe([]byte(shape), 4)} })
				w.refused(fmt.Sprintf("snapshot of %.40q", shape), trust.ErrFormat)
				w.server.serve(honest)
			}
		}
		f.head(func(head object) { head["version"] = 5 }) // what was seen is not undercut
		w.judge(w.update(), verdict{any: true})
	})
}

// shapes are valid JSON, or nearly, that no decoder may stumble over.
var shapes = []string{
	"", "null", "0", "-1", "1e999", `"x"`, "[]", "{}", "[[[]]]", "true",
	`{"signed":null}`, `{"signatures":{},"signed":{}}`, `{"signatures":null,"signed":null}`,
	`{"signatures":[null],"signed":{"_type":"root"}}`, `{"signatures":[],"signed":[]}`,
	`{"signatures":[],"signed":{"_type":"root","keys":{"x":null},"roles":{"root":null}}}`,
	`{"signatures":[],"signed":{"_type":"root","keys":[],"roles":[]}}`,
	`{"signatures":[],"signed":{"_type":"root","version":1e999}}`,
	`{"signatures":[],"signed":{"_type":"timestamp","meta":null}}`,
	`{"signatures":[],"signed":{"_type":"timestamp","meta":{"snapshot.json":null}}}`,
	`{"signatures":[],"signed":{"_type":"snapshot","meta":{"targets.json":null}}}`,
	`{"signatures":[],"signed":{"_type":"targets","targets":null}}`,
	`{"signatures":[],"signed":{"_type":"targets","targets":{},"delegations":{"keys":null,"roles":[{}]}}}`,
	`{"signatures":[],"signed":{"_type":"targets","targets":{},"delegations":{"succinct_roles":{"bit_length":99}}}}`,
}

// refused updates, and fails unless that is an error of one of some kinds.
func (w *world) refused(what string, kinds ...error) {
	w.t.Helper()
	err := w.update()
	if !matches(err, kinds) {
		w.t.Errorf("%s: %v", what, err)
	}
	if err != nil {
		readable(w.t, err.Error())
	}
}

func hexID(tuf object) string {
	sum := sha256of(canonical(tuf))
	return hex.EncodeToString(sum[:])
}

package network

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/install"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/transport/transporttest"
	"github.com/larch-project/larch/trust"
)

const (
	atVersion2 = "root 1 timestamp 3 snapshot 3 targets 1 publisher-main 3"
	afterOne   = "root 1 timestamp 4 snapshot 4 targets 1 publisher-main 4" // one more of each that leads to a publisher's document
	afterTwo   = "root 1 timestamp 4 snapshot 4 targets 2 publisher-main 3" // the same for targets
)

// older serves what the server had when version 1 was new.
func (w *world) older() { w.server.serve(w.site.versions[1]) }

// updated is a machine that has followed to version 2 before the attack.
func (w *world) updated() {
	w.t.Helper()
	check(w.t, w.update())
	w.before = w.look()
}

// removed takes files of the machine's trust away.
func (w *world) removed(patterns ...string) {
	w.t.Helper()
	for _, pattern := range patterns {
		for _, file := range must(filepath.Glob(filepath.Join(w.dir, "remotes/example/trust", pattern)))(w.t) {
			check(w.t, os.Remove(file))
		}
	}
	w.before = w.look()
}

// expires has every document of the given role run out at the clock, and not before.
func expires(role string) func(*world, *forger) {
	return func(w *world, f *forger) {
		over := func(signed object) { signed["expires"] = w.clock.Add(-time.Second).Format(time.RFC3339) }
		switch role {
		case "root":
			f.root(over)
		case "timestamp":
			f.head(over)
		case "snapshot":
			f.snapshot(over)
		default:
			f.delegate(role, over)
		}
	}
}

// TestFreshness are attacks with documents that are right, but not now.
func TestFreshness(t *testing.T) {
	stranger := newKey("a stranger")
	run(t, []attack{
		{
			"B-01 the head of before", "what was seen is not undercut",
			func(w *world, _ *forger) { w.updated(); w.older() },
			verdict{err: trust.ErrRollback, ends: 2, trusts: atVersion2},
		}, {
			"B-01 an older snapshot under a new head", "each document's version counts by itself",
			func(w *world, f *forger) {
				w.updated()
				f.head(func(head object) {
					head["meta"] = object{"snapshot.json": describe(w.server.files["trust/2.snapshot.json"], 2)}
				})
			}, verdict{err: trust.ErrRollback, ends: 2, trusts: atVersion2},
		}, {
			"B-01 an older publisher's document in a new snapshot (CVE-2022-29173)", "each document's version counts by itself",
			func(w *world, f *forger) {
				w.updated()
				f.snapshot(func(s object) {
					s["meta"].(object)["publisher-main.json"] = describe(w.server.files["trust/2.publisher-main.json"], 2)
				})
			}, verdict{err: trust.ErrRollback, ends: 2, trusts: atVersion2},
		}, {
			"B-01 a publisher's document is listed no more", "what was listed stays listed",
			func(w *world, f *forger) {
				w.updated()
				f.snapshot(func(s object) { delete(s["meta"].(object), "publisher-main.json") })
			}, verdict{err: trust.ErrRollback, ends: 2, trusts: atVersion2},
		}, {
			"B-01 a newer head by the version of a lower one", "versions are numbers, not texts",
			func(w *world, f *forger) {
				w.updated()
				f.head(func(head object) { head["version"] = 10 })
				check(w.t, w.update())
				w.before = w.look()
				f.head(func(head object) { head["version"] = 9 })
			}, verdict{err: trust.ErrRollback, ends: 2, trusts: strings.Replace(atVersion2, "timestamp 3", "timestamp 10", 1), heal: "timestamp"},
		}, {
			"B-02 a new index with an old release", "what is installed is a floor too",
			func(w *world, f *forger) {
				w.updated()
				old := f.document("2.publisher-main.json")["targets"]
				f.publisher(func(doc object) { doc["targets"] = old })
			}, verdict{err: trust.ErrRollback, ends: 2, trusts: afterOne, says: []string{"@1"}},
		}, {
			"B-03 a head that has run out", "news are hidden for its lifetime and no longer", expires("timestamp"),
			verdict{err: trust.ErrExpired},
		}, {
			"B-03 a snapshot that has run out", "each document lives for its time", expires("snapshot"), verdict{err: trust.ErrExpired},
		}, {
			"B-03 targets that have run out", "each document lives for its time", expires("targets"), verdict{err: trust.ErrExpired},
		}, {
			"B-03 a publisher's document that has run out", "its own refs alone are refused",
			expires("publisher-main"), verdict{err: trust.ErrExpired, trusts: afterOne},
		}, {
			"B-03 the head is never new", "not even by an answer without a body",
			func(w *world, _ *forger) {
				w.updated()
				w.clock = w.clock.Add(8 * 24 * time.Hour)
			}, verdict{err: trust.ErrExpired, ends: 2, trusts: atVersion2},
		}, {
			"B-03 a root that has run out", "the last root of a chain must live",
			func(w *world, f *forger) {
				f.root(func(root object) { root["expires"] = w.clock.Add(-time.Second).Format(time.RFC3339) })
				w.honest = w.withRoot(w.server.files["trust/2.root.json"])
				w.honest["trust/3.root.json"] = f.next("root", func(root object) { root["expires"] = "2027-01-01T00:00:00Z" })
			}, verdict{err: trust.ErrExpired, trusts: "root 2 timestamp 2 snapshot 2 targets 1 publisher-main 2"},
		}, {
			"B-04 the floor is lost", "the documents say it as well",
			func(w *world, _ *forger) { w.updated(); w.removed("floor.json"); w.older() },
			verdict{err: trust.ErrRollback, ends: 2, trusts: atVersion2},
		}, {
			"B-04 the head is lost", "the floor says it as well",
			func(w *world, _ *forger) { w.updated(); w.removed("timestamp.json"); w.older() },
			verdict{err: trust.ErrRollback, ends: 2, damage: "remotes/example/trust"},
		}, {
			"B-04 all but the root is lost", "what is installed says it as well",
			func(w *world, _ *forger) {
				w.updated()
				w.removed("floor.json", "timestamp.json", "*.snapshot.json", "*.targets.json", "*.publisher-main.json")
				w.older()
			}, verdict{err: trust.ErrRollback, ends: 2, trusts: "root 1 timestamp 2 snapshot 2 targets 1 publisher-main 2"},
		}, {
			"B-05 fast forward to the highest version", "new keys forget what their thief signed",
			func(w *world, f *forger) {
				f.head(func(head object) { head["version"] = uint64(1)<<53 - 1 })
				check(w.t, w.update())
				w.before = w.look()
				w.server.serve(w.site.versions[3])
			}, verdict{err: trust.ErrRollback, ends: 2, heal: "timestamp snapshot", trusts: "root 1 timestamp 9007199254740991 snapshot 3 targets 1 publisher-main 3"},
		}, {
			"B-05 beyond the highest version", "versions are bounded: no overflow",
			func(_ *world, f *forger) { f.head(func(head object) { head["version"] = uint64(1)<<63 - 1 }) }, verdict{err: trust.ErrFormat},
		}, {
			"B-05 beyond 64 bits", "versions are bounded: no overflow",
			func(w *world, f *forger) { f.head(func(head object) { head["version"] = ^uint64(0) }) }, verdict{err: trust.ErrFormat},
		}, {
			"B-06 Monday's snapshot under Tuesday's name", "a list names what it leads to by hash and length",
			func(w *world, f *forger) {
				f.serve(state{"3.snapshot.json": w.server.files["trust/2.snapshot.json"]})
			}, verdict{err: digest.ErrMismatch},
		}, {
			"B-06 Monday's publisher under Tuesday's name", "a list names what it leads to by hash and length",
			func(w *world, f *forger) {
				f.serve(state{"3.publisher-main.json": w.server.files["trust/2.publisher-main.json"]})
			}, verdict{err: digest.ErrMismatch},
		}, {
			"B-06 a snapshot that says another version than the head", "versions agree from list to list",
			func(w *world, f *forger) {
				f.head(func(head object) {
					head["meta"] = object{"snapshot.json": describe(w.server.files["trust/3.snapshot.json"], 4)}
				})
				f.serve(state{"4.snapshot.json": w.server.files["trust/3.snapshot.json"]})
			}, verdict{err: trust.ErrRollback},
		}, {
			"B-08 two heads of one version", "one version is one document",
			func(w *world, f *forger) {
				w.updated()
				f.head(func(head object) { head["version"] = 3; head["expires"] = "2026-03-07T00:00:00Z" })
			}, verdict{err: trust.ErrRollback, ends: 2, trusts: atVersion2},
		}, {
			"B-09 another release under the name of the new one", "a name is a digest",
			func(w *world, _ *forger) {
				w.server.put(state{w.newRelease(): w.site.versions[1][w.site.versions[1].names("releases/")[0]]})
			}, verdict{err: digest.ErrMismatch, trusts: atVersion2},
		}, {
			"B-15 a clock of 1970 and an old head", "a wrong clock undoes no version",
			func(w *world, _ *forger) { w.updated(); w.clock = time.Unix(0, 0); w.older() },
			verdict{err: trust.ErrRollback, ends: 2, trusts: atVersion2},
		}, {
			"B-15 a clock of ten years later", "it is refused, with the advice to look at the clock",
			func(w *world, _ *forger) { w.clock = w.clock.AddDate(10, 0, 0) },
			verdict{err: trust.ErrExpired, says: []string{"clock"}},
		}, {
			"B-16 mirrors in a document that is not signed", "addresses come from signed documents and the user",
			func(w *world, _ *forger) {
				w.server.lie("trust/timestamp.json", transporttest.Status(200, "Link", "<http://127.0.0.1:1/r>; rel=duplicate", "Alt-Svc", `h2="127.0.0.1:1"`, "Content-Location", "http://127.0.0.1:1/"))
			}, verdict{err: trust.ErrFormat},
		}, {
			"B-16 mirrors that a stranger signs", "addresses come from signed documents",
			func(_ *world, f *forger) {
				f.targets(func(targets object) { targets["mirrors"] = []any{"http://127.0.0.1:1/"} }, stranger)
			}, verdict{err: trust.ErrSignature},
		},
	})
}

// TestDelegations are attacks with what refs and publishers are called, and with who
// delegates what to whom.
func TestDelegations(t *testing.T) {
	t.Run("B-12 refs of every odd form", func(t *testing.T) {
		for _, ref := range oddRefs {
			w := newWorld(t)
			w.forger().publisher(func(doc object) { at(doc, "targets").(object)[ref] = target(doc) })
			w.refused(fmt.Sprintf("ref %.40q", ref), trust.ErrFormat)
			w.judge(w.update(), verdict{err: trust.ErrFormat})
		}
	})
	t.Run("B-13 a ref that is the folder of another", func(t *testing.T) {
		w := newWorld(t)
		w.forger().publisher(func(doc object) { at(doc, "targets").(object)[hello+"/more"] = target(doc) })
		w.judge(w.update(), verdict{err: trust.ErrFormat})
	})
	t.Run("B-12 odd names of roles", func(t *testing.T) {
		for _, role := range []string{
			"publisher-../../canary", "publisher-a/b", "publisher-", "publisher--x", "timestamp", "root", "targets", "snapshot", "publisher-Main",
			"publisher-\x00", "publisher-ma\u0131n", "../x", "", "publisher-" + strings.Repeat("x", 300), "publisher-main ", "PUBLISHER-main",
		} {
			w := newWorld(t)
			w.forger().targets(func(targets object) { delegation(targets)["name"] = role })
			w.refused(fmt.Sprintf("role %.40q", role), trust.ErrFormat)
			w.judge(w.update(), verdict{err: trust.ErrFormat})
		}
	})
	run(t, []attack{
		{
			"B-06 a publisher that delegates to itself", "there is one level of publishers, and so no cycle",
			func(_ *world, f *forger) {
				f.publisher(func(doc object) { doc["delegations"] = copied(f.document("1.targets.json"))["delegations"] })
			}, verdict{err: trust.ErrFormat},
		}, {
			"B-06 targets that delegate to targets", "nor a cycle above them",
			badTargets(func(targets object) { delegation(targets)["name"] = "targets" }), verdict{err: trust.ErrFormat},
		}, {
			"B-06 a role that is delegated twice", "one role has one set of keys",
			badTargets(func(targets object) {
				delegations := targets["delegations"].(object)
				delegations["roles"] = []any{delegation(targets), delegation(targets)}
			}), verdict{err: trust.ErrFormat},
		}, {
			"B-14 257 publishers", "a graph is bounded",
			badTargets(func(targets object) {
				var roles []any
				for i := range 257 {
					r := copied(delegation(targets))
					r["name"] = fmt.Sprintf("publisher-x%d", i)
					roles = append(roles, r)
				}
				targets["delegations"].(object)["roles"] = roles
			}), verdict{err: trust.ErrFormat},
		}, {
			"B-06 members in another case beside the right ones", "they are unknown members, which mean nothing",
			func(_ *world, f *forger) {
				f.publisher(func(doc object) { doc["Targets"], doc["TARGETS"], doc["VERSION"] = object{}, object{}, 99 })
			}, verdict{},
		}, {
			"B-06 members in another case alone", "encoding/json would take them for the right ones",
			func(_ *world, f *forger) {
				f.publisher(func(doc object) { doc["Targets"] = doc["targets"]; delete(doc, "targets") })
			}, verdict{err: trust.ErrFormat},
		}, {
			"B-06 targets in another case", "encoding/json would add them to the right ones",
			func(_ *world, f *forger) {
				f.publisher(func(doc object) {
					doc["TARGETS"] = object{strings.Replace(hello, "Hello", "Evil", 1): target(doc)}
				})
			}, verdict{err: trust.ErrFormat},
		}, {
			"B-07 the ref is listed no more", "what is installed stays, and the plan says that it ended",
			func(w *world, f *forger) {
				w.updated()
				f.publisher(func(doc object) { doc["targets"] = object{} })
				plan := must(w.machine.PlanUpdate(w.t.Context(), nil, install.PlanOptions{DryRun: true}))(w.t)
				defer plan.Close()
				if len(plan.Warnings) != 1 || len(plan.Steps) != 0 {
					w.t.Errorf("warnings %v, steps %v", plan.Warnings, plan.Steps)
				}
				w.before = w.look()
			}, verdict{ends: 2},
		},
	})
}

// oddRefs must not be taken for refs.
var oddRefs = []string{
	"", ".", "..", "/", "a", "a/../b", "a//b", "/a", "a/", "app/../../x", "app/x/y/", "app//y/z", "app/./y/z", "app/-rf/y/z", "app/.git/y/z", "a:b",
	"app/a\x00b/y/z", "app/a\nb/y/z", "app/\u202eb/y/z", "app/a b/y/z", "app/" + strings.Repeat("x", 4096) + "/y/z", "app/x/y/z/w", "app/org.example.Hello/x86_64/st\u00e4ble",
}

// TestReleasesThatLie are releases that are signed, but say what the signature does
// not.
func TestReleasesThatLie(t *testing.T) {
	lie := func(change func(*release.Release)) func(*world, *forger) {
		return func(w *world, f *forger) {
			rel := must(release.Decode(w.server.files[w.newRelease()]))(w.t)
			change(rel)
			data, d, err := rel.Encode()
			check(w.t, err)
			custom := strings.TrimPrefix(w.newRelease(), "releases/")
			w.server.put(state{"index/" + d.String() + ".zst": w.server.files["index/"+custom+".zst"]})
			f.release(data)
		}
	}
	require := func(refs ...string) func(*release.Release) {
		return func(r *release.Release) {
			for _, ref := range refs {
				r.Requires = append(r.Requires, must(release.ParseRef(ref))(t))
			}
		}
	}
	runtime := "runtime/org.example.None/" + release.HostArch() + "/1"
	run(t, []attack{
		{
			"B-10 another id", "document and signed target are of one ref", lie(func(r *release.Release) { r.Ref.ID = "org.example.Other" }),
			verdict{err: install.ErrRelease, trusts: afterOne},
		}, {
			"B-10 another architecture", "document and signed target are of one ref", lie(func(r *release.Release) { r.Ref.Arch = "m68k" }),
			verdict{err: install.ErrRelease, trusts: afterOne},
		}, {
			"B-10 another channel", "document and signed target are of one ref", lie(func(r *release.Release) { r.Ref.Channel = "beta" }),
			verdict{err: install.ErrRelease, trusts: afterOne},
		}, {
			"B-10 another version", "and of one version", lie(func(r *release.Release) { r.Version = "9" }),
			verdict{err: install.ErrRelease, trusts: afterOne},
		}, {
			"B-11 a runtime that nobody has", "what is missing is not half installed", lie(require(runtime)),
			verdict{err: release.ErrUnknownRef, trusts: afterOne},
		}, {
			"B-11 it requires itself", "a cycle ends", lie(require(hello)), verdict{},
		},
	})
	t.Run("B-11 ten thousand requirements", func(t *testing.T) {
		w := newWorld(t)
		rel := must(release.Decode(w.server.files[w.newRelease()]))(t)
		var text []string
		for i := range 10_000 {
			text = append(text, fmt.Sprintf(`"runtime/org.example.R%d/x86_64/1"`, i))
		}
		data, _, err := rel.Encode()
		check(t, err)
		w.forger().release([]byte(strings.Replace(string(data), `"requires":[]`, `"requires":[`+strings.Join(text, ",")+`]`, 1)))
		w.judge(w.update(), verdict{err: release.ErrFormat, trusts: afterOne})
	})
	t.Run("B-05 counters of 2^63", func(t *testing.T) {
		w := newWorld(t)
		f := w.forger()
		for _, n := range []any{-1, uint64(1) << 53, uint64(1) << 63, ^uint64(0)} {
			honest := maps.Clone(w.server.files)
			f.publisher(func(doc object) { target(doc)["length"] = n })
			w.refused(fmt.Sprint("length ", n), trust.ErrFormat)
			w.server.serve(honest)
		}
		w.older()
		w.judge(w.update(), verdict{err: trust.ErrRollback})
	})
}

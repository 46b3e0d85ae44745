package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

func TestInitPublishesWhatAClientAccepts(t *testing.T) {
	w := newWorld(t, InitOptions{RootKeys: 3, Threshold: 2, Mirrors: []string{"https://mirror.example/larch/"}})
	w.commit(editor, "1.0")
	c, dir := w.client()
	if got, want := trusted(t, dir), "root 1 timestamp 2 snapshot 2 targets 1 main 2"; got != want {
		t.Errorf("trusted: %s, want %s", got, want)
	}
	want := release(editor, "1.0")
	want.Publisher = "main"
	if diff := cmp.Diff(map[string]Target{editor: want}, c.Targets()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"https://mirror.example/larch/"}, c.Mirrors()); diff != "" {
		t.Error(diff)
	}
	if want := start.Add(7 * day); !c.Expires().Equal(want) {
		t.Errorf("expires %v, want %v", c.Expires(), want)
	}
	w.noFindings()
}

func TestInitRefusesASecondRoot(t *testing.T) {
	w := newWorld(t, InitOptions{})
	if _, err := Init(t.Context(), w.dir, w.keys, InitOptions{Now: start}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("have %v", err)
	}
}

func TestCommitOfNothingWritesNothing(t *testing.T) {
	w := newWorld(t, InitOptions{})
	w.commit(editor, "1.0")
	before := w.served
	w.commit(editor, "1.0")
	if diff := cmp.Diff(before, w.served); diff != "" {
		t.Error(diff)
	}
	refused := errors.New("changed my mind")
	err := w.open().Commit(t.Context(), w.now, func(e *Edit) error {
		return errors.Join(e.Set(release(editor, "2.0")), refused)
	})
	if w.serve(); !errors.Is(err, refused) || !cmp.Equal(before, w.served) {
		t.Errorf("a refused commit: %v", err)
	}
}

func TestEdit(t *testing.T) {
	const elsewhere, unknown = "app/org.other.Tool/x86_64/stable", "app/org.example.None/x86_64/stable"
	for name, c := range map[string]struct {
		change func(*Edit) error
		want   error
	}{
		"set":                           {func(e *Edit) error { return e.Set(release(editor, "2.0")) }, nil},
		"remove":                        {func(e *Edit) error { return e.Remove(editor) }, nil},
		"remove what is not there":      {func(e *Edit) error { return e.Remove(unknown) }, fs.ErrNotExist},
		"another publisher's":           {func(e *Edit) error { return e.Set(release(elsewhere, "2.0")) }, ErrKey},
		"remove another publisher's":    {func(e *Edit) error { return e.Remove(elsewhere) }, ErrKey},
		"no such ref":                   {func(e *Edit) error { return e.Set(release("../../../x", "1")) }, errAny},
		"no version":                    {func(e *Edit) error { return e.Set(release(editor, "")) }, errAny},
		"covered by nobody who is here": {func(e *Edit) error { return e.Set(release("app/org.other.New/x86_64/stable", "1")) }, ErrKey},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, InitOptions{Paths: []string{"app/org.example.*/*/*"}})
			w.commit(editor, "1.0")
			_, err := w.open().AddPublisher(t.Context(), w.now, Publisher{Name: "other", Paths: []string{"app/org.other.*/*/*"}})
			w.must(err)
			w.commit(elsewhere, "1.0")
			forgetKey(t, w.keys, "publisher-other")
			err = w.open().Commit(t.Context(), w.now, c.change)
			if c.want == errAny && err != nil {
				return
			}
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("have %v, want %v", err, c.want)
			}
			w.noFindings()
		})
	}
}

var errAny = errors.New("any error")

// forgetKey takes the keys of a label away, as if they were on another machine.
func forgetKey(t *testing.T, k *KeyStore, label string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(k.path, label+"-*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no key %s: %v", label, err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	clear(k.unlocked)
}

// The newest delegation never takes a ref away from an older one: go-tuf once lost
// the order (CVE-2024-47534).
func TestFirstPublisherIsHeard(t *testing.T) {
	w := newWorld(t, InitOptions{Publisher: "zoe"})
	_, err := w.open().AddPublisher(t.Context(), w.now, Publisher{Name: "adam"})
	w.must(err)
	w.commit(editor, "1.0")
	if p := w.open().Targets()[editor].Publisher; p != "zoe" {
		t.Fatalf("published by %s", p)
	}
	zoes := versioned("publisher-zoe", w.open().current().versionOf("publisher-zoe"))
	usurped := forge(w, zoes, func(t *metadata.TargetsType) { t.Version = 1 }, "publisher-adam")
	w.point(map[string][]byte{"1.publisher-adam.json": usurped})
	c, _ := w.client()
	if got, err := c.Target(editor); err != nil || got.Publisher != "zoe" {
		t.Errorf("heard %+v: %v", got, err)
	}
}

func TestForeignPublisher(t *testing.T) {
	w := newWorld(t, InitOptions{Paths: []string{"app/org.example.*/*/*"}})
	theirs := testKeys(t, filepath.Join(t.TempDir(), "theirs"))
	key, err := theirs.Generate("publisher-bob")
	w.must(err)
	id, err := w.open().AddPublisher(t.Context(), w.now, Publisher{Name: "bob", Paths: []string{"app/org.bob.*/*/*"}, PublicKey: key.String()})
	if err != nil || id != key.ID() {
		t.Fatalf("id %s: %v", id, err)
	}
	copyKeys(t, w.keys, theirs, "snapshot", "timestamp") // the keys that publishers share
	r, err := Open(w.dir, theirs)
	w.must(err)
	w.must(r.Commit(t.Context(), w.now, func(e *Edit) error { return e.Set(release("app/org.bob.Tool/x86_64/stable", "1")) }))
	if err := r.Commit(t.Context(), w.now, func(e *Edit) error { return e.Set(release(editor, "1")) }); !errors.Is(err, ErrKey) {
		t.Errorf("bob publishes what is not his: %v", err)
	}
	w.serve()
	c, _ := w.client()
	if got, err := c.Target("app/org.bob.Tool/x86_64/stable"); err != nil || got.Publisher != "bob" {
		t.Errorf("have %+v: %v", got, err)
	}
	w.noFindings()
}

func copyKeys(t *testing.T, from, to *KeyStore, labels ...string) {
	t.Helper()
	for _, label := range labels {
		files, _ := filepath.Glob(filepath.Join(from.path, label+"-*"))
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err == nil {
				err = os.WriteFile(filepath.Join(to.path, filepath.Base(file)), data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestRotate(t *testing.T) {
	for _, name := range []string{"root", "targets", "snapshot", "timestamp", "main", "publisher-main", "a key"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, InitOptions{RootKeys: 2, Threshold: 2})
			w.commit(editor, "1.0")
			c, dir := w.client()
			before := w.open().Keys()
			if name == "a key" {
				name = before[1].ID
			}
			w.must(w.open().Rotate(t.Context(), w.now, name))
			if diff := cmp.Diff(before, w.open().Keys()); diff == "" {
				t.Error("no key has changed")
			}
			w.noFindings()
			w.commit(editor, "2.0")
			w.noFindings()
			w.must(c.Refresh(t.Context()))
			if got, err := c.Target(editor); err != nil || got.Custom.Version != "2.0" {
				t.Errorf("have %+v, %v; trusted: %s", got, err, trusted(t, dir))
			}
		})
	}
}

func TestRotateLostKey(t *testing.T) {
	w := newWorld(t, InitOptions{})
	w.commit(editor, "1.0")
	c, _ := w.client()
	for _, role := range []string{"timestamp", "targets", "publisher-main"} {
		forgetKey(t, w.keys, role)
		w.must(w.open().Rotate(t.Context(), w.now, role))
		w.noFindings()
	}
	w.commit(editor, "2.0")
	w.must(c.Refresh(t.Context()))
	forgetKey(t, w.keys, "root")
	for _, name := range []string{"root", "timestamp"} {
		if err := w.open().Rotate(t.Context(), w.now, name); !errors.Is(err, ErrKey) {
			t.Errorf("rotating %s without the root key: %v", name, err)
		}
	}
	w.noFindings()
}

func TestRevoke(t *testing.T) {
	const other = "app/org.other.Tool/x86_64/stable"
	for name, c := range map[string]struct {
		who, adopt string
		want       string // refs and their publishers
		err        error
	}{
		"vanishes":      {"other", "", editor + " main", nil},
		"adopted":       {"other", "main", editor + " main " + other + " main", nil},
		"cannot adopt":  {"main", "other", editor + " main " + other + " other", errAny},
		"by nobody":     {"other", "nobody", editor + " main " + other + " other", fs.ErrNotExist},
		"unknown":       {"nobody", "", editor + " main " + other + " other", fs.ErrNotExist},
		"the first one": {"main", "", other + " other", nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, InitOptions{})
			w.commit(editor, "1.0")
			r := w.open()
			w.must(r.Revoke(t.Context(), w.now, "main", "")) // then again, with another place in the order
			_, err := r.AddPublisher(t.Context(), w.now, Publisher{Name: "other", Paths: []string{"app/org.other.*/*/*"}})
			w.must(err)
			w.commit(other, "1.0")
			_, err = r.AddPublisher(t.Context(), w.now, Publisher{Name: "main"})
			w.must(err)
			w.commit(editor, "1.0")
			client, _ := w.client()
			err = w.open().Revoke(t.Context(), w.now, c.who, c.adopt)
			if c.err == errAny && err == nil || c.err != errAny && !errors.Is(err, c.err) {
				t.Errorf("have error %v, want %v", err, c.err)
			}
			w.serve()
			w.must(client.Refresh(t.Context()))
			var got []string
			for _, ref := range []string{editor, other} {
				if target, ok := client.Targets()[ref]; ok {
					got = append(got, ref, target.Publisher)
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("have %v, want %s", got, c.want)
			}
			w.noFindings()
		})
	}
}

func TestKeysAndThresholds(t *testing.T) {
	w := newWorld(t, InitOptions{})
	w.commit(editor, "1.0")
	c, _ := w.client()
	r := w.open()
	var ids []string
	for _, role := range []string{"root", "timestamp", "targets", "publisher-main"} {
		id, err := r.AddKey(t.Context(), w.now, role, "")
		w.must(err)
		w.must(r.SetThreshold(t.Context(), w.now, role, 2))
		ids = append(ids, id)
	}
	if err := r.SetThreshold(t.Context(), w.now, "root", 3); err == nil {
		t.Error("a threshold above the number of keys")
	}
	if err := r.Revoke(t.Context(), w.now, ids[0], ""); err == nil {
		t.Error("a key is gone that the threshold needs")
	}
	w.noFindings()
	w.commit(editor, "2.0")
	w.must(c.Refresh(t.Context()))
	w.must(r.SetThreshold(t.Context(), w.now, "root", 1))
	w.must(r.Revoke(t.Context(), w.now, ids[0], ""))
	w.commit(editor, "3.0")
	w.must(c.Refresh(t.Context()))
	w.noFindings()
}

func TestRefreshRenewsWhatRunsOut(t *testing.T) {
	w := newWorld(t, InitOptions{Lifetimes: Lifetimes{Publisher: 300 * day}})
	w.commit(editor, "1.0")
	for after, want := range map[time.Duration]string{
		1 * day:   "timestamp",
		25 * day:  "snapshot timestamp",
		290 * day: "root targets publisher-main snapshot timestamp",
	} {
		w := newWorld(t, InitOptions{Lifetimes: Lifetimes{Publisher: 300 * day}})
		w.commit(editor, "1.0")
		w.now = start.Add(after)
		done, err := w.open().Refresh(t.Context(), w.now)
		w.must(err)
		var renewed []string
		for _, d := range done {
			if d.Renewed {
				renewed = append(renewed, d.Role)
			}
			if d.Expires.Before(w.now) || d.Due {
				t.Errorf("after %v: %+v", after, d)
			}
		}
		if got := strings.Join(renewed, " "); got != want {
			t.Errorf("after %v: renewed %s, want %s", after, got, want)
		}
		w.noFindings()
		w.serve()
		w.client()
	}
	forgetKey(t, w.keys, "root")
	w.now = start.Add(300 * day)
	done, err := w.open().Refresh(t.Context(), w.now)
	if err != nil || !done[0].Due {
		t.Errorf("without the root key: %+v: %v", done, err)
	}
}

func TestSettings(t *testing.T) {
	w := newWorld(t, InitOptions{})
	r := w.open()
	short := Lifetimes{Timestamp: 24 * time.Hour}
	w.must(r.SetLifetimes(t.Context(), w.now, short))
	w.must(r.SetMirrors(t.Context(), w.now, []string{"http://a.example/", "https://b.example/x"}))
	if got := w.open(); got.Lifetimes() != short.orDefault() || len(got.Mirrors()) != 2 {
		t.Errorf("have %+v %v", got.Lifetimes(), got.Mirrors())
	}
	if !r.Expires().Equal(start.Add(24 * time.Hour)) {
		t.Errorf("expires %v", r.Expires())
	}
	for _, address := range []string{"", "ftp://x/", "/etc", "https://user:pw@x/", "https://x/?q", "https://x/#f", "https://" + strings.Repeat("x", 2000)} {
		if err := r.SetMirrors(t.Context(), w.now, []string{address}); err == nil {
			t.Errorf("mirror %q is accepted", address)
		}
	}
	if err := r.SetLifetimes(t.Context(), w.now, Lifetimes{Root: time.Millisecond}); err == nil {
		t.Error("a lifetime of a millisecond is accepted")
	}
	w.noFindings()
}

func TestPrune(t *testing.T) {
	w := newWorld(t, InitOptions{})
	for i := range 3 {
		w.commit(editor, fmt.Sprint(i))
	}
	w.must(w.open().Rotate(t.Context(), w.now, "root"))
	w.must(w.open().Rotate(t.Context(), w.now, "main"))
	writeFile(t, w.dir, "trust/.new-ABC", []byte("half"))
	c, _ := w.client()
	later := time.Now().Add(time.Hour)
	if young, err := w.open().Prune(t.Context(), time.Unix(0, 0)); err != nil || len(young) != 1 || young[0] != "trust/.new-ABC" {
		t.Errorf("of what is young, what was interrupted is pruned, and nothing else: %v: %v", young, err)
	}
	writeFile(t, w.dir, "trust/.new-ABC", []byte("half"))
	plan, err := w.open().Unreferenced(t.Context(), later)
	w.must(err)
	pruned, err := w.open().Prune(t.Context(), later)
	if err != nil || !cmp.Equal(plan, pruned) || len(pruned) < 7 {
		t.Errorf("plan %v, pruned %v: %v", plan, pruned, err)
	}
	w.serve()
	var left []string
	for name := range w.served {
		left = append(left, name)
	}
	if len(left) != 6 { // two roots, head, snapshot, targets, publisher
		t.Errorf("left: %v", left)
	}
	w.noFindings()
	w.must(c.Refresh(t.Context()))
	w.commit(editor, "9")
	w.must(c.Refresh(t.Context()))
}

package trust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/internal/beneath"
)

var errInjected = errors.New("injected fault")

// fault fails the call of a number, counted from 1, and with sticky all later ones:
// an error, or the death of the process.
type fault struct {
	at     int
	sticky bool
	calls  int
}

func (f *fault) hook(op, name string) error {
	f.calls++
	if f.calls == f.at || f.sticky && f.calls > f.at {
		return errInjected
	}
	return nil
}

// everyFault runs a case with a fault at each mutating call, until none is left:
// death there, and (at some of them, unless the test may be long) a single error.
func everyFault(t *testing.T, run func(t *testing.T, f *fault)) {
	inMemory(t)
	for sticky, step := range map[bool]int{true: 1, false: stride()} {
		for at := 1; ; at += step {
			f := &fault{at: at, sticky: sticky}
			ok := t.Run(fmt.Sprintf("sticky=%v/%d", sticky, at), func(t *testing.T) { run(t, f) })
			if f.calls < at || !ok {
				break
			}
		}
	}
}

// copyDir copies a folder to a new place.
func copyDir(t *testing.T, from string, perm os.FileMode) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(from))
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(to, perm); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(to, "*"+keySuffix))
	for _, file := range files {
		if err := os.Chmod(file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func TestInterruptedRefresh(t *testing.T) {
	w, _, before := attacked(t)
	w.must(w.open().Rotate(t.Context(), w.now, "timestamp"))
	w.must(w.open().Rotate(t.Context(), w.now, "root"))
	w.serve()
	const after = "root 3 timestamp 6 snapshot 3 targets 1 main 3"
	done := openDir(t, copyDir(t, before.Path(), 0o755))
	w.must(w.clientOn(done).Refresh(t.Context()))
	clean, _ := done.ReadDir(".")
	everyFault(t, func(t *testing.T, f *fault) {
		dir := openDir(t, copyDir(t, before.Path(), 0o755))
		err := w.clientOn(dir.WithFault(f.hook)).Refresh(t.Context())
		// roots are kept one by one; the rest is the old state or the new one
		if got := trusted(t, dir); got != after && !strings.HasSuffix(got, strings.TrimPrefix(trustedBefore, "root 1")) {
			t.Errorf("trusted: %s", got)
		}
		if f.sticky && f.calls >= f.at && err == nil && trusted(t, dir) != after {
			t.Error("an error was swallowed")
		}
		if err := w.clientOn(dir).Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		names, _ := dir.ReadDir(".")
		if diff := cmp.Diff(clean, names); diff != "" || trusted(t, dir) != after {
			t.Errorf("after the next refresh: %s\n%s", trusted(t, dir), diff)
		}
	})
}

func TestInterruptedChange(t *testing.T) {
	for name, change := range map[string]func(ctx context.Context, r *Repository) error{
		"commit": func(ctx context.Context, r *Repository) error {
			return r.Commit(ctx, start, func(e *Edit) error { return e.Set(release(editor, "9")) })
		},
		"rotate root":      func(ctx context.Context, r *Repository) error { return r.Rotate(ctx, start, "root") },
		"rotate timestamp": func(ctx context.Context, r *Repository) error { return r.Rotate(ctx, start, "timestamp") },
		"rotate snapshot":  func(ctx context.Context, r *Repository) error { return r.Rotate(ctx, start, "snapshot") },
		"rotate targets":   func(ctx context.Context, r *Repository) error { return r.Rotate(ctx, start, "targets") },
		"rotate publisher": func(ctx context.Context, r *Repository) error { return r.Rotate(ctx, start, "main") },
		"threshold": func(ctx context.Context, r *Repository) error {
			_, err := r.AddKey(ctx, start, "timestamp", "")
			return errors.Join(err, r.SetThreshold(ctx, start, "timestamp", 2))
		},
		"revoke": func(ctx context.Context, r *Repository) error { return r.Revoke(ctx, start, "other", "main") },
	} {
		t.Run(name, func(t *testing.T) {
			if stride() > 1 && name != "commit" && name != "rotate publisher" {
				t.Skip("LARCH_TEST_LONG=1 runs it")
			}
			base := newWorld(t, InitOptions{})
			_, err := base.open().AddPublisher(t.Context(), start, Publisher{Name: "other"})
			base.must(err)
			base.commit(editor, "1")
			_, client := base.client()
			everyFault(t, func(t *testing.T, f *fault) {
				w := &world{t: t, now: start, dir: openDir(t, copyDir(t, base.dir.Path(), 0o755))}
				w.keys = testKeys(t, copyDir(t, base.keys.path, 0o700))
				w.keys.fault = f.hook
				r, err := Open(w.dir.WithFault(f.hook), w.keys)
				w.must(err)
				err = change(t.Context(), r)
				w.keys.fault = nil
				if f.sticky && f.calls >= f.at && err == nil {
					t.Error("an error was swallowed")
				}
				w.oldAndNewClientsFollow(client)
				w.onlyRefresh()
				w.keys.random = rand.NewChaCha8([32]byte{})
				if err := change(t.Context(), w.open()); err != nil && !errors.Is(err, fs.ErrNotExist) { // it was revoked
					t.Error(err)
				}
				w.oldAndNewClientsFollow(client)
				w.noFindingsAfterPrune()
			})
		})
	}
}

// onlyRefresh fails if there are findings but that the documents in use bear the
// signatures of an old and of a new key.
func (w *world) onlyRefresh() {
	w.t.Helper()
	found, err := Check(w.t.Context(), w.dir, w.now)
	w.must(err)
	for _, f := range found {
		if f.Fix != fixRefresh {
			w.t.Errorf("finding: %+v", f)
		}
	}
}

// oldAndNewClientsFollow checks that any client accepts what an interruption left.
func (w *world) oldAndNewClientsFollow(client *beneath.Dir) {
	w.t.Helper()
	w.serve()
	old := w.clientOn(openDir(w.t, copyDir(w.t, client.Path(), 0o755)))
	if err := old.Refresh(w.t.Context()); err != nil {
		w.t.Fatalf("an old client: %v", err)
	}
	if got, err := old.Target(editor); err != nil || got.Custom.Version != "1" && got.Custom.Version != "9" {
		w.t.Errorf("an old client sees %+v: %v", got, err)
	}
	w.client()
}

// Where the old key is lost, clients cannot accept what lies between the new root and
// the rest; the next change or refresh ends it.
func TestInterruptedChangeOfALostKey(t *testing.T) {
	base := newWorld(t, InitOptions{})
	base.commit(editor, "1")
	forgetKey(t, base.keys, "timestamp")
	_, client := base.client()
	everyFault(t, func(t *testing.T, f *fault) {
		w := &world{t: t, now: start, dir: openDir(t, copyDir(t, base.dir.Path(), 0o755))}
		w.keys = testKeys(t, copyDir(t, base.keys.path, 0o700))
		r, err := Open(w.dir.WithFault(f.hook), w.keys)
		w.must(err)
		err = r.Rotate(t.Context(), start, "timestamp")
		if root, _ := w.dir.Exists("trust/2.root.json"); root {
			if findings, _ := Check(t.Context(), w.dir, start); err != nil && len(findings) > 0 && findings[0].Fix != fixRefresh {
				t.Errorf("findings: %+v", findings)
			}
			_, err = w.open().Refresh(t.Context(), start)
			w.must(err)
		} else {
			w.keys.random = rand.NewChaCha8([32]byte{})
			w.must(w.open().Rotate(t.Context(), start, "timestamp"))
		}
		w.oldAndNewClientsFollow(client)
		w.noFindingsAfterPrune()
	})
}

// noFindingsAfterPrune removes first what an interrupted change of keys left, which
// may be signed by keys that never came into use.
func (w *world) noFindingsAfterPrune() {
	w.t.Helper()
	_, err := w.open().Prune(w.t.Context(), time.Now().Add(time.Hour))
	w.must(err)
	w.noFindings()
}

func TestInterruptedInit(t *testing.T) {
	everyFault(t, func(t *testing.T, f *fault) {
		w := &world{t: t, now: start, dir: openDir(t, t.TempDir())}
		w.keys = testKeys(t, filepath.Join(t.TempDir(), "keys"))
		w.keys.fault = f.hook
		_, err := Init(t.Context(), w.dir.WithFault(f.hook), w.keys, InitOptions{Now: start})
		w.keys.fault = nil
		if f.sticky && f.calls >= f.at && err == nil {
			t.Error("an error was swallowed")
		}
		exists, _ := w.dir.Exists("trust/1.root.json")
		_, err = Init(t.Context(), w.dir, w.keys, InitOptions{Now: start})
		if exists != errors.Is(err, fs.ErrExist) || !exists && err != nil {
			t.Errorf("again: %v", err)
		}
		w.serve()
		w.client()
		w.noFindings()
		w.commit(editor, "1")
	})
}

func TestInterruptedPrune(t *testing.T) {
	base := newWorld(t, InitOptions{})
	base.commit(editor, "1")
	base.commit(editor, "2")
	everyFault(t, func(t *testing.T, f *fault) {
		w := &world{t: t, now: start, keys: base.keys, dir: openDir(t, copyDir(t, base.dir.Path(), 0o755))}
		r, err := Open(w.dir.WithFault(f.hook), w.keys)
		w.must(err)
		_, err = r.Prune(t.Context(), time.Now().Add(time.Hour))
		if f.calls >= f.at && !errors.Is(err, errInjected) {
			t.Errorf("have %v", err)
		}
		w.noFindings()
		w.serve()
		w.client()
	})
}

// publishMany commits a few releases of its own, beside others who do so too.
func publishMany(ctx context.Context, dir *beneath.Dir, keys *KeyStore, who string) error {
	r, err := Open(dir, keys)
	if err != nil {
		return err
	}
	for i := range 4 {
		ref := fmt.Sprintf("app/org.example.%s%d/x86_64/stable", who, i)
		err := r.Commit(ctx, start, func(e *Edit) error { return e.Set(release(ref, "1")) })
		if err != nil {
			return err
		}
	}
	return nil
}

func TestConcurrentPublishers(t *testing.T) {
	w := newWorld(t, InitOptions{})
	var group sync.WaitGroup
	errs := make(chan error, 8)
	shared := w.open()
	for n := range 4 { // each with a Repository of its own
		group.Go(func() { errs <- publishMany(t.Context(), w.dir, w.keys, fmt.Sprintf("Own%d", n)) })
	}
	for n := range 4 { // all with one
		group.Go(func() {
			ref := fmt.Sprintf("app/org.example.Shared%d/x86_64/stable", n)
			errs <- shared.Commit(t.Context(), start, func(e *Edit) error { return e.Set(release(ref, "1")) })
		})
	}
	group.Wait()
	for range 8 {
		w.must(<-errs)
	}
	if n := len(w.open().Targets()); n != 20 {
		t.Errorf("%d refs, want 20", n)
	}
	w.noFindings()
}

// TestPublisherProcess is a publisher that TestConcurrentProcesses starts.
func TestPublisherProcess(t *testing.T) {
	args := strings.Split(os.Getenv("LARCH_TEST_PUBLISHER"), ",")
	if len(args) != 3 {
		return // this process is not that publisher
	}
	if err := publishMany(t.Context(), openDir(t, args[0]), openKeys(t, args[1]), args[2]); err != nil {
		t.Fatal(err)
	}
}

func TestConcurrentProcesses(t *testing.T) {
	w := newWorld(t, InitOptions{})
	var children []*exec.Cmd
	for n := range 3 {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPublisherProcess$")
		child.Env = append(os.Environ(), fmt.Sprintf("LARCH_TEST_PUBLISHER=%s,%s,Process%d", w.dir.Path(), w.keys.path, n))
		child.Stderr = os.Stderr
		w.must(child.Start())
		children = append(children, child)
	}
	for _, child := range children {
		w.must(child.Wait())
	}
	if n := len(w.open().Targets()); n != 12 {
		t.Errorf("%d refs, want 12", n)
	}
	w.noFindings()
}

// Clients on one folder, and one who reads while another sweeps.
func TestConcurrentClients(t *testing.T) {
	w, client, dir := attacked(t)
	w.must(client.Refresh(t.Context()))
	snapshots := []map[string][]byte{}
	for i := range 6 {
		w.commit(editor, fmt.Sprint(i))
		snapshots = append(snapshots, w.served)
	}
	var group sync.WaitGroup
	stop := make(chan struct{})
	group.Go(func() {
		defer close(stop)
		for _, files := range snapshots {
			server := &world{t: t, now: start, served: files}
			if err := server.clientOn(dir).Refresh(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	group.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := NewClient(dir, nil, nil).Load(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	group.Wait()
}

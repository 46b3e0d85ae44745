package local

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/hardlink"
	"github.com/larch-project/larch/install"
	"github.com/larch-project/larch/trust"
)

// serve gives the kit's repository by HTTP; before is told of each request.
func (w *world) serve(before func(n int64, path string)) string {
	w.t.Helper()
	files := http.FileServer(http.Dir(w.kit.repo))
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		before(n.Add(1), r.URL.Path)
		files.ServeHTTP(rw, r)
	}))
	w.t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return server.URL
}

// held is an install that has begun, and waits for its contents until it is let go.
type held struct {
	cmd   *exec.Cmd
	letGo func()
	out   *strings.Builder
}

// hold begins to install the second version of an application whose first one is
// there.
func (w *world) hold() (name string, h *held) {
	w.t.Helper()
	name = w.twoVersions()
	reached, open := make(chan struct{}), make(chan struct{})
	var once sync.Once
	url := w.serve(func(_ int64, path string) {
		if strings.HasPrefix(path, "/packs/") {
			once.Do(func() { close(reached) })
			<-open
		}
	})
	w.trust().ok("install", name+"@1", "--yes", "--backend", "hardlink")
	w.ok("remote", "remove", "example")
	w.ok("remote", "add", "example", url, "--root-key", w.kit.fingerprint)
	h = &held{cmd: w.command("update", "--yes", "--no-deltas"), letGo: sync.OnceFunc(func() { close(open) }), out: new(strings.Builder)}
	h.cmd.Stdout, h.cmd.Stderr = h.out, h.out
	w.must(h.cmd.Start())
	w.t.Cleanup(h.letGo)
	<-reached
	return name, h
}

// waiting starts a command that has to wait for another, and returns when it says so.
func (w *world) waiting(args ...string) *exec.Cmd {
	w.t.Helper()
	cmd := w.command(args...)
	messages := must(cmd.StderrPipe())(w.t)
	w.must(cmd.Start())
	lines := bufio.NewScanner(messages)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "waiting for another larch") {
			go io.Copy(io.Discard, messages)
			return cmd
		}
	}
	w.t.Fatalf("%q did not wait", args)
	return nil
}

func TestProcesses(t *testing.T) {
	attack(t, "I-16 the holder of a lock", "a lock that outlives its holder, or a holder that was stopped", func(t *testing.T) {
		w := newWorld(t, os.Getuid())
		name, h := w.hold()
		w.must(h.cmd.Process.Signal(unix.SIGSTOP))
		second := w.waiting("uninstall", name, "--yes")
		w.lives(name, "1") // who only reads or runs does not wait
		w.ok("list")
		w.must(h.cmd.Process.Kill())
		h.cmd.Wait()
		w.must(second.Wait())
		h.letGo()
		w.refused(w.larch("run", name), 3, "not installed")
		w.ok("install", name, "--yes")
		w.lives(name, "2")
		w.clean()
	})
	attack(t, "I-17 collecting while contents come", "contents that nothing names yet were taken for garbage", func(t *testing.T) {
		w := newWorld(t, os.Getuid())
		name, h := w.hold()
		second := w.waiting("gc")
		h.letGo()
		if err := h.cmd.Wait(); err != nil {
			t.Fatal(err, h.out)
		}
		w.must(second.Wait())
		w.lives(name, "2")
		w.clean()
	})
	attack(t, "I-18 what runs", "the files of a running program were taken away or exchanged", func(t *testing.T) {
		everyUser(t, func(t *testing.T, w *world) {
			name := w.twoVersions()
			w.trust().ok("install", name+"@1", "--yes", "--backend", "hardlink")
			cmd := w.command("run", "--command=sh", name, "--", "-c", "echo up; read x; cat /app/share/version; echo; ls /app/share")
			in, out := must(cmd.StdinPipe())(t), must(cmd.StdoutPipe())(t)
			w.must(cmd.Start())
			if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
				t.Fatal(err)
			}
			w.ok("update", "--yes")
			w.ok("gc", "--keep", "0")
			w.ok("uninstall", name, "--yes")
			w.ok("gc", "--keep", "0")
			w.must(in.Close())
			text := must(io.ReadAll(out))(t)
			if err := cmd.Wait(); err != nil || string(text) != "1\nversion\n" {
				t.Errorf("%q, %v", text, err)
			}
			w.ok("gc", "--keep", "0")
			if left := must(filepath.Glob(w.root + "/objects/*/*"))(t); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	})
	attack(t, "I-15 thirty-two at once", "a transaction that was lost, or built on what another had removed", func(t *testing.T) {
		w := newWorld(t, os.Getuid())
		name := w.twoVersions()
		w.trust().ok("install", name+"@1", "--yes", "--backend", "hardlink")
		verbs := [][]string{
			{"install", name + "@1", "--yes", "--json"}, {"install", name, "--yes", "--json"}, {"update", "--yes", "--json"}, {"uninstall", name, "--yes", "--json"},
			{"gc"}, {"list"}, {"verify"}, {"run", name, "--", "cat", "/app/share/version"},
		}
		var group sync.WaitGroup
		var mu sync.Mutex
		generations := map[int64]int{}
		for n := range 32 {
			args := verbs[n%len(verbs)]
			group.Go(func() {
				cmd := w.command(args...)
				out, err := cmd.Output()
				var exit *exec.ExitError
				missing := errors.As(err, &exit) && exit.ExitCode() == 3 // another has uninstalled it
				if err != nil && !missing {
					t.Errorf("%q: %v: %s", args, err, exit.Stderr)
				}
				if args[0] == "run" && err == nil && string(out) != "1" && string(out) != "2" {
					t.Errorf("it is version %q", out)
				}
				var doc struct {
					Generation int64
					Steps      []any
				}
				if json.Unmarshal(out, &doc) == nil && len(doc.Steps) > 0 {
					mu.Lock()
					generations[doc.Generation]++
					mu.Unlock()
				}
			})
		}
		group.Wait()
		for n, times := range generations {
			if times != 1 {
				t.Errorf("%d transactions made generation %d", times, n)
			}
		}
		w.clean()
		w.ok("install", name, "--yes")
		w.lives(name, "2")
		w.clean()
	})
}

func TestSignals(t *testing.T) {
	attack(t, "I-22 interrupted at each request", "an interruption at a moment for which nobody was prepared", func(t *testing.T) {
		w := newWorld(t, os.Getuid())
		name := w.twoVersions()
		w.trust().ok("install", name+"@1", "--yes", "--backend", "hardlink")
		w.ok("remote", "remove", "example")
		var pid, at atomic.Int64
		var signals atomic.Pointer[[]unix.Signal]
		var from atomic.Int64
		started := make(chan struct{}, 1)
		url := w.serve(func(n int64, _ string) {
			if at.Load() == 0 || n-from.Load() != at.Load() {
				from.CompareAndSwap(-1, n-1)
				if at.Load() == 0 || n-from.Load() != at.Load() {
					return
				}
			}
			<-started
			for _, s := range *signals.Load() {
				unix.Kill(int(pid.Load()), s)
			}
		})
		w.ok("remote", "add", "example", url, "--root-key", w.kit.fingerprint)
		interrupted := 0
		for _, how := range [][]unix.Signal{{unix.SIGINT}, {unix.SIGTERM}, {unix.SIGHUP}, {unix.SIGINT, unix.SIGINT}, {unix.SIGTERM, unix.SIGTERM}, {unix.SIGKILL}} {
			for request := int64(1); request <= 6; request++ {
				signals.Store(&how)
				from.Store(-1)
				at.Store(request)
				cmd := w.command("update", "--yes", "--no-deltas")
				var problem strings.Builder
				cmd.Stderr = &problem
				w.must(cmd.Start())
				pid.Store(int64(cmd.Process.Pid))
				started <- struct{}{}
				cmd.Wait()
				at.Store(0)
				select {
				case <-started: // there were fewer requests
				default:
				}
				code := cmd.ProcessState.ExitCode()
				if code == 7 || code < 0 {
					interrupted++
				}
				if code != 0 && code != 7 && !(code < 0 && how[0] == unix.SIGKILL) {
					t.Errorf("%v at request %d: code %d\n%s", how, request, code, problem.String())
				}
				w.clean()
				w.ok("install", name+"@1", "--yes")
				w.ok("gc", "--keep", "0")
				w.lives(name, "1")
			}
		}
		if interrupted < 12 {
			t.Errorf("only %d of the attempts were interrupted", interrupted)
		}
		w.ok("update", "--yes")
		w.lives(name, "2")
	})
	attack(t, "I-22 nobody reads", "SIGPIPE in the middle of a change", func(t *testing.T) {
		w := newWorld(t, os.Getuid())
		name := w.twoVersions()
		w.trust()
		for _, args := range [][]string{{"install", name + "@1", "--yes"}, {"update", "--yes", "--json"}, {"list"}, {"verify"}, {"history"}, {"info", name}, {"uninstall", name, "--yes"}} {
			read, write, err := os.Pipe()
			w.must(err, read.Close())
			cmd := w.command(args...)
			cmd.Stdout, cmd.Stderr = write, write
			cmd.Run()
			write.Close()
			w.clean()
		}
		w.ok("install", name, "--yes")
		w.lives(name, "2")
	})
}

func TestVersionsAndClocks(t *testing.T) {
	attack(t, "I-23 a later format", "an older program wrote into what a newer one had made", func(t *testing.T) {
		w := newWorld(t, os.Getuid())
		name := w.installed("Probe", "")
		for _, text := range []string{`{"features":[],"format":2}` + "\n", `{"features":["compressed-store"],"format":1}` + "\n", "{}\n", ""} {
			w.must(os.WriteFile(filepath.Join(w.root, "installation.json"), []byte(text), 0o644))
			before := snapshot(t, w.root)
			for _, args := range [][]string{
				{"list"}, {"run", name}, {"install", name, "--yes"}, {"update", "--yes"}, {"uninstall", name, "--yes"}, {"undo"}, {"gc"}, {"gc", "--keep", "0"},
				{"verify"}, {"verify", "--repair"}, {"remote", "remove", "example"}, {"remote", "list"}, {"history"}, {"du"},
			} {
				w.refused(w.larch(args...), 6, "a newer larch may read it")
			}
			if strings.Join(before, "\n") != strings.Join(snapshot(t, w.root), "\n") {
				t.Errorf("%q: something was written", text)
			}
		}
	})
	attack(t, "I-21 the clock", "by a clock that went back, what is new was old, and removed", func(t *testing.T) {
		w := newWorld(t, os.Getuid())
		name := w.twoVersions()
		start := time.Now()
		clock := start
		w.must(os.Mkdir(w.root, 0o755))
		i := must(install.Open(w.root, install.Options{Now: func() time.Time { return clock }, Backends: []deploy.Backend{hardlink.Backend{}}}))(t)
		defer i.Close()
		must(i.AddRemote(t.Context(), "example", w.kit.repo, w.kit.fingerprint))(t)
		apply := func(p *install.Plan, err error) error {
			if err != nil {
				return err
			}
			defer p.Close()
			_, err = p.Apply(t.Context(), nil)
			return err
		}
		w.must(apply(i.PlanInstall(t.Context(), []install.Wanted{{Ref: name, Version: "1"}}, install.PlanOptions{})))
		for _, now := range []time.Time{start.Add(-24 * time.Hour), time.Unix(0, 0), start.AddDate(10, 0, 0), start.AddDate(300, 0, 0)} {
			clock = now
			if err := apply(i.PlanUpdate(t.Context(), nil, install.PlanOptions{})); err != nil && !(now.After(start) && errors.Is(err, trust.ErrExpired)) {
				t.Errorf("%v: update: %v", now, err)
			} else if now.After(start) && err == nil {
				t.Errorf("%v: what has expired was believed", now)
			}
			g := must(i.Current())(t)
			if len(g.Installed) != 1 {
				t.Fatalf("%v: %d are installed", now, len(g.Installed))
			}
			must(i.GC(t.Context(), install.GCOptions{Keep: 1}))(t)
			if v := must(i.Verify(t.Context(), install.VerifyOptions{}))(t); len(v.Findings) > 0 && !now.After(start) {
				t.Errorf("%v: %v", now, v.Findings)
			}
			place := must(i.Place(t.Context(), name))(t)
			if version, err := os.ReadFile(filepath.Join(place, "files/share/version")); err != nil || string(version) != g.Installed[0].Version {
				t.Errorf("%v: %q, %v", now, version, err)
			}
			clock = start
			w.must(apply(i.PlanInstall(t.Context(), []install.Wanted{{Ref: name, Version: "1"}}, install.PlanOptions{})))
		}
		clock = start
		w.must(apply(i.PlanUpdate(t.Context(), nil, install.PlanOptions{})))
		if g := must(i.Current())(t); g.Installed[0].Version != "2" {
			t.Error(fmt.Sprint("afterwards it is ", g.Installed[0].Version))
		}
	})
}

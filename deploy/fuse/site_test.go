package fuse_test

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/fuse"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/tree"
)

// machine is a site over a real store, with the server that it gets.
type machine struct {
	dir   string
	root  *beneath.Dir
	store *store.Store
	site  deploy.Site
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	m := &machine{dir: newRoot(t)}
	var err error
	if m.root, err = beneath.Open(m.dir); err != nil {
		t.Fatal(err)
	}
	if m.store, err = store.Open(m.root); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.store.Close(); m.root.Close() })
	m.site = deploy.Site{Root: m.root, Content: m.store.Contents(nil)}
	return m
}

// needsServer skips a test where nothing can be mounted.
func needsServer(t testing.TB) *machine {
	t.Helper()
	m := newMachine(t)
	if support := backend.Probe(t.Context(), m.site); !support.Usable {
		t.Skipf("nothing can be mounted here: %s", support.Why)
	}
	return m
}

// put stores contents.
func (m *machine) put(t testing.TB, contents ...[]byte) {
	t.Helper()
	b := m.store.NewBatch(t.Context())
	defer b.Close()
	for _, data := range contents {
		w, err := b.Create(objectOf(data))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(b.Flush(t.Context()), m.store.End()); err != nil {
		t.Fatal(err)
	}
}

func objectOf(data []byte) store.Object { return store.ObjectOf(fileEntry("/x", data)) }

// object is where a stored content is.
func (m *machine) object(data []byte) string { return filepath.Join(m.dir, objectOf(data).Name()) }

// alter changes an object behind the store's back.
func (m *machine) alter(t testing.TB, data []byte, change func(name string) error) {
	t.Helper()
	name := m.object(data)
	other := name + ".other" // an object that fs-verity seals can only be exchanged
	err := errors.Join(os.WriteFile(other, data, 0o644), change(other), os.Rename(other, name))
	if err != nil {
		t.Fatal(err)
	}
}

func fileEntry(p tree.Path, data []byte) *tree.Entry {
	e := &tree.Entry{Path: p, Kind: tree.Regular, Mode: 0o644, Nlink: 1, Size: int64(len(data)), Digest: digest.Of(data)}
	if len(data) > 0 && len(data) <= tree.InlineMax {
		e.Inline = data
	}
	return e
}

// specOf makes a tree of files /0, /1 and so on.
func specOf(t testing.TB, name string, contents ...[]byte) deploy.Spec {
	t.Helper()
	list := []*tree.Entry{{Path: "/", Kind: tree.Directory, Mode: 0o755, Nlink: 1}}
	for i, data := range contents {
		list = append(list, fileEntry(tree.Path(fmt.Sprint("/", i)), data))
	}
	return specOfEntries(t, name, list)
}

func specOfEntries(t testing.TB, name string, list []*tree.Entry) deploy.Spec {
	t.Helper()
	var text bytes.Buffer
	enc := tree.NewEncoder(&text)
	for _, e := range list {
		if err := enc.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	return deploy.Spec{Name: name, Info: enc.Info(), Tree: func() iter.Seq2[*tree.Entry, error] {
		return tree.Decode(bytes.NewReader(text.Bytes()))
	}}
}

// open makes a deployment and opens it.
func (m *machine) open(t testing.TB, b fuse.Backend, spec deploy.Spec) *deploy.View {
	t.Helper()
	if err := b.Make(t.Context(), m.site, spec); err != nil {
		t.Fatal(err)
	}
	return m.reopen(t, b, spec.Name)
}

func (m *machine) reopen(t testing.TB, b fuse.Backend, name string) *deploy.View {
	t.Helper()
	view, err := b.Open(t.Context(), m.site, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { view.Hold.Close() })
	return view
}

// log is what the server has said.
func (m *machine) log(t testing.TB) string {
	t.Helper()
	text, err := fuse.Log(m.root)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// random gives n bytes that depend on seed.
func random(seed byte, n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(p)
	return p
}

// process is one of a site's server, of this role.
func (m *machine) process(t testing.TB, role string) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		text, _ := os.ReadFile(name)
		args := strings.Split(string(text), "\x00")
		if len(args) > 3 && args[1] == command[1] && args[2] == role && args[3] == m.dir {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			return pid
		}
	}
	return 0
}

// kill kills the processes of these roles, and waits until they are gone.
func (m *machine) kill(t testing.TB, roles ...string) {
	t.Helper()
	var all []int
	for _, role := range roles {
		pid := m.process(t, role)
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatalf("the process of %q, %d: %v", role, pid, err)
		}
		defer unix.Close(fd)
		all = append(all, fd)
	}
	for _, fd := range all {
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
			t.Fatal(err)
		}
		await(t, fd)
	}
}

// ended waits until a process is gone.
func ended(t testing.TB, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) { // EINVAL: older kernels, of one that goes
		return
	} else if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	await(t, fd)
}

// await waits until a process is gone.
func await(t testing.TB, pidfd int) {
	t.Helper()
	poll := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		switch n, err := unix.Poll(poll, int(time.Minute/time.Millisecond)); {
		case err == unix.EINTR:
		case err != nil || n == 0:
			t.Fatalf("a process does not end: %v", err)
		default:
			return
		}
	}
}

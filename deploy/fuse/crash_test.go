package fuse_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// drop makes the kernel forget the pages of a file.
func drop(t testing.TB, name string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		t.Fatal(err)
	}
}

// the process that serves is killed again and again while files are read: who reads
// gets the right bytes and never an error
func TestChildKilledWhileRead(t *testing.T) {
	m := needsServer(t)
	large, small := random(1, 24<<20), random(2, 5000)
	m.put(t, large, small)
	view := m.open(t, backend, specOf(t, "release", large, small))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for i, want := range [][]byte{large, small} {
					name := filepath.Join(view.Path, string(rune('0'+i)))
					have, err := os.ReadFile(name)
					if err != nil || !bytes.Equal(have, want) {
						t.Errorf("while the server was killed: %d bytes, equal %v, error %v", len(have), bytes.Equal(have, want), err)
						return
					}
					drop(t, name)
				}
			}
		})
	}
	for range 20 {
		var st unix.Statfs_t
		if err := unix.Statfs(view.Path, &st); err != nil { // there is a child: it is always asked
			t.Error(err)
		}
		m.kill(t, "child")
	}
	close(stop)
	readers.Wait()
}

// what was open before the kill goes on, and so do folders that were looked up
func TestChildKilledNodesStay(t *testing.T) {
	m := needsServer(t)
	data := random(1, 1<<20)
	m.put(t, data)
	view := m.open(t, backend, specOf(t, "release", data))
	f, err := os.Open(filepath.Join(view.Path, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	m.kill(t, "child")
	have := make([]byte, len(data))
	if _, err := f.ReadAt(have, 0); err != nil || !bytes.Equal(have, data) {
		t.Errorf("read after the kill: equal %v, error %v", bytes.Equal(have, data), err)
	}
	after, err := os.Stat(filepath.Join(view.Path, "0"))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("another inode after the kill, error %v", err)
	}
}

// both processes are killed: the mount is dead, and the next Open starts anew
func TestAllKilled(t *testing.T) {
	m := needsServer(t)
	data := random(1, 1<<20)
	m.put(t, data)
	view := m.open(t, backend, specOf(t, "release", data))
	m.kill(t, "serve", "child")
	if _, err := os.ReadFile(filepath.Join(view.Path, "0")); !errors.Is(err, unix.ENOTCONN) && !errors.Is(err, unix.ECONNABORTED) {
		t.Errorf("a dead mount: error %v", err)
	}
	view = m.reopen(t, backend, "release")
	if have, err := os.ReadFile(filepath.Join(view.Path, "0")); err != nil || !bytes.Equal(have, data) {
		t.Errorf("after the restart: equal %v, error %v", bytes.Equal(have, data), err)
	}
}

// a child goes on without its supervisor
func TestSupervisorKilled(t *testing.T) {
	m := needsServer(t)
	data := random(1, 1<<20)
	m.put(t, data)
	view := m.open(t, backend, specOf(t, "release", data))
	m.kill(t, "serve")
	if have, err := os.ReadFile(filepath.Join(view.Path, "0")); err != nil || !bytes.Equal(have, data) {
		t.Errorf("without a supervisor: equal %v, error %v", bytes.Equal(have, data), err)
	}
}

// a server that answers nothing keeps nobody from unmounting
func TestUnmountNeverHangs(t *testing.T) {
	m := needsServer(t)
	data := random(1, 1<<20)
	m.put(t, data)
	view := m.open(t, backend, specOf(t, "release", data))
	for _, role := range []string{"serve", "child"} {
		pid := m.process(t, role)
		if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		defer unix.Kill(pid, unix.SIGKILL)
	}
	if err := backendStop(t, m); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(view.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("still mounted: error %v", err)
	}
}

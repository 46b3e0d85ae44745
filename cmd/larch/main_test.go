package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/larch-project/larch/internal/mount"
	"github.com/larch-project/larch/release"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"larch": main})
}

// TestScripts runs what users see: each file below testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		Setup:               setup,
		Condition:           condition,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"newrepo":  newRepository,
			"serve":    serveRepository,
			"requests": expectRequests,
			"flip":     flipByte,
			"exit":     expectExit,
			"fifo":     makeFifo,
			"fill":     fillFile,
			"readonly": readOnly,
			"disk":     smallDisk,
			"json":     expectJSON,
		},
	})
}

func setup(env *testscript.Env) error {
	env.Defer(func() { detachBelow(env.WorkDir) })
	env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
	env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
	env.Setenv("XDG_DATA_HOME", filepath.Join(env.WorkDir, "data"))
	env.Setenv("LARCH_ROOT", filepath.Join(env.WorkDir, "machine"))
	env.Setenv("ARCH", release.HostArch())
	env.Setenv("HELLO", "app/org.example.Hello/"+release.HostArch()+"/stable")
	return os.MkdirAll(filepath.Join(env.WorkDir, "home"), 0o755)
}

// detachBelow takes away what a script has left mounted, so that its folder can be
// removed.
func detachBelow(dir string) {
	table, err := mount.Table()
	if err != nil {
		return
	}
	for _, e := range slices.Backward(table) {
		if strings.HasPrefix(e.Point, dir+"/") {
			mount.Detach(e.Point)
		}
	}
}

func condition(name string) (bool, error) {
	switch name {
	case "bwrap":
		_, err := exec.LookPath("bwrap")
		return err == nil, nil
	case "btrfs-progs":
		_, err := exec.LookPath("btrfs")
		return err == nil, nil
	case "strace":
		_, err := exec.LookPath("strace")
		return err == nil, nil
	case "overlay", "composefs", "fuse":
		return usable(name)
	case "pool":
		_, err := exec.LookPath("mkfs.btrfs")
		return err == nil && os.Getuid() == 0 && mount.Known("btrfs") == nil, nil
	case "root":
		return os.Getuid() == 0, nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

// usable tells whether this machine can use a backend.
func usable(backend string) (bool, error) {
	dir, err := os.MkdirTemp("", "larch-backends")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	out, err := exec.Command("larch", "backends", "--json", "--root", dir).Output()
	if err != nil {
		return false, err
	}
	var rows []backendRow
	if err := json.Unmarshal(out, &rows); err != nil {
		return false, err
	}
	i := slices.IndexFunc(rows, func(r backendRow) bool { return r.Name == backend })
	return i >= 0 && rows[i].Usable, nil
}

// newRepository makes a repository and sets $FINGERPRINT: newrepo DIR [flag...]
func newRepository(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(ts.Exec("larch", append([]string{"init", "--json"}, args...)...))
	var made struct{ Fingerprint, Keys string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &made))
	ts.Setenv("FINGERPRINT", made.Fingerprint)
	ts.Setenv("KEYS", made.Keys)
}

// counted is what the newest server of a script was asked.
type counted struct{ requests atomic.Int64 }

var (
	serversMu sync.Mutex
	servers   = map[*testscript.TestScript]*counted{}
)

// serveRepository serves a folder over HTTP on loopback and sets $URL:
// serve DIR [MODE]. The modes are those of a server that lies.
func serveRepository(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: serve DIR [MODE]")
	}
	dir := http.FileServer(http.Dir(ts.MkAbs(args[0])))
	mode := "honest"
	if len(args) == 2 {
		mode = args[1]
	}
	count := &counted{}
	serversMu.Lock()
	servers[ts] = count
	serversMu.Unlock()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count.requests.Add(1)
		answer(mode, dir, w, r)
	}))
	ts.Defer(func() { server.CloseClientConnections(); server.Close() })
	ts.Setenv("URL", server.URL)
}

// answer serves a request as a server of this mode does.
func answer(mode string, files http.Handler, w http.ResponseWriter, r *http.Request) {
	pack := strings.HasPrefix(r.URL.Path, "/packs/")
	switch {
	case mode == "no-ranges":
		r.Header.Del("Range")
		files.ServeHTTP(noRanges{w}, r)
	case mode == "garbage":
		w.Write([]byte("<html>Welcome to our hotel. Please log in.</html>\n"))
	case mode == "garbage-packs" && pack:
		w.Write(make([]byte, 100_000))
	case mode == "garbage-deltas" && strings.HasPrefix(r.URL.Path, "/deltas/"):
		w.Write(make([]byte, 100_000))
	case mode == "short-deltas" && strings.HasPrefix(r.URL.Path, "/deltas/"):
		files.ServeHTTP(&short{w, 600}, r)
	case mode == "broken-deltas" && strings.HasPrefix(r.URL.Path, "/deltas/"):
		http.Error(w, "broken", http.StatusInternalServerError)
	case mode == "early" && pack:
		w.Header().Set("Content-Length", "1000000")
		w.Write(make([]byte, 10_000))
		panic(http.ErrAbortHandler)
	case mode == "endless" && !strings.HasSuffix(r.URL.Path, ".root.json"):
		for block := make([]byte, 1<<16); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	case mode == "broken":
		http.Error(w, "\x1b[31mbroken\x1b[0m", http.StatusInternalServerError)
	default:
		files.ServeHTTP(w, r)
	}
}

// short ends an answer after some bytes.
type short struct {
	http.ResponseWriter
	left int
}

func (s *short) Write(p []byte) (int, error) {
	if s.left -= len(p); s.left < 0 {
		s.ResponseWriter.Write(p[:max(len(p)+s.left, 0)])
		panic(http.ErrAbortHandler)
	}
	return s.ResponseWriter.Write(p)
}

// noRanges hides that the server could give ranges.
type noRanges struct{ http.ResponseWriter }

func (w noRanges) WriteHeader(code int) {
	w.Header().Set("Accept-Ranges", "none")
	w.ResponseWriter.WriteHeader(code)
}

// expectRequests fails if the server was asked more often than that since the
// last time: requests MAX
func expectRequests(ts *testscript.TestScript, neg bool, args []string) {
	limit, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	serversMu.Lock()
	count := servers[ts]
	serversMu.Unlock()
	if n := count.requests.Swap(0); n > limit {
		ts.Fatalf("%d requests, at most %d expected", n, limit)
	}
}

// flipByte changes one byte of the only file that a pattern names:
// flip PATTERN OFFSET; a negative offset counts from the end.
func flipByte(ts *testscript.TestScript, neg bool, args []string) {
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("nothing is called %s", args[0])
	}
	offset, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.Chmod(files[0], 0o644))
	data, err := os.ReadFile(files[0])
	ts.Check(err)
	if offset < 0 {
		offset += len(data)
	}
	data[offset] ^= 1
	ts.Check(os.WriteFile(files[0], data, 0o644))
}

// expectExit runs a command that must exit with a code: exit CODE larch ARGS...
func expectExit(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	have := 0
	if exit, ok := err.(*exec.ExitError); ok {
		have = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if have != want {
		ts.Fatalf("exit code %d, want %d", have, want)
	}
}

func makeFifo(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(syscall.Mkfifo(ts.MkAbs(args[0]), 0o644))
}

// fillFile makes a file of repeated text: fill FILE SIZE TEXT
func fillFile(ts *testscript.TestScript, neg bool, args []string) {
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	path := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%s %d\n", args[2], i*i)
	}
	ts.Check(os.WriteFile(path, []byte(b.String()[:size]), 0o644))
}

// readOnly makes the script's machine a read-only mount of itself, as root.
func readOnly(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(syscall.Mount(dir, dir, "", syscall.MS_BIND, ""))
	ts.Defer(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	ts.Check(syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""))
}

// smallDisk makes a folder a file system of so many KiB, as root: disk DIR KIB; on
// one that is such already it changes the size.
func smallDisk(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	var flags uintptr
	if err := os.Mkdir(dir, 0o755); err == nil {
		ts.Defer(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	} else {
		flags = syscall.MS_REMOUNT
	}
	ts.Check(syscall.Mount("tmpfs", dir, "tmpfs", flags, "mode=755,size="+args[1]+"k"))
}

// expectJSON compares a value of the last output: json PATH WANT, with a path of
// keys and indexes such as installed.0.version.
func expectJSON(ts *testscript.TestScript, neg bool, args []string) {
	var value any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &value))
	for key := range strings.SplitSeq(args[0], ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[key]
		case []any:
			i, err := strconv.Atoi(key)
			ts.Check(err)
			if i >= len(v) {
				ts.Fatalf("%s: only %d values", args[0], len(v))
			}
			value = v[i]
		default:
			ts.Fatalf("%s: no %s in %v", args[0], key, value)
		}
	}
	if have := fmt.Sprint(value); (have == args[1]) == neg {
		ts.Fatalf("%s is %s", args[0], have)
	}
}

package network

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/transport/transporttest"
)

// within runs the command where it cannot have more than 256 MiB of memory of its own
// (RLIMIT_DATA): it ends if it wants more. What the kernel says of finished processes
// would begin with the peak of the test.
const within = `ulimit -d 262144; exec "$@"`

// Exit codes of the command: docs/json.md.
const (
	exitTrust   = 4
	exitNetwork = 5
)

var theCommand struct {
	sync.Once
	path string
	site *site
}

// command gives the real command, built at the first call, and a repository that is a
// few minutes old, since the command's clock is the machine's.
func command(t *testing.T) (string, *site) {
	t.Helper()
	theCommand.Do(func() {
		dir, err := os.MkdirTemp(memory(), "attack-command-")
		check(t, err)
		atEnd = append(atEnd, func() { os.RemoveAll(dir) })
		path := filepath.Join(dir, "larch")
		build := exec.Command("go", "build", "-o", path, "github.com/larch-project/larch/cmd/larch")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		theCommand.site = newSite(t, dir, time.Now().Add(-10*time.Minute), repo.DeltaOptions{})
		theCommand.path = path
	})
	if theCommand.path == "" {
		t.Fatal("there is no command")
	}
	return theCommand.path, theCommand.site
}

// user is somebody with the command, who has installed version 1.
type user struct {
	t      *testing.T
	server *liar
	path   string
	root   string
	beside string
	canary []string
}

func newUser(t *testing.T) *user {
	t.Helper()
	path, site := command(t)
	if dir := memory(); dir != "" {
		t.Setenv("TMPDIR", dir)
	}
	u := &user{t: t, path: path, server: newLiar(site.versions[1]), beside: t.TempDir()}
	server := httptest.NewServer(u.server)
	t.Cleanup(server.Close)
	u.root = filepath.Join(u.beside, "larch")
	u.canary = canaries(t, u.beside)
	u.must("remote", "add", "example", server.URL+"/r", "--root-key", site.fingerprint)
	u.must("install", "hello", "--yes", "--backend", "hardlink")
	u.server.serve(site.versions[2])
	return u
}

// ran is what came of a command.
type ran struct {
	code        int
	out, errors string
}

func (u *user) run(args ...string) ran {
	u.t.Helper()
	var out, errors bytes.Buffer
	c := exec.Command("sh", append([]string{"-c", within, "sh", u.path, "--root", u.root}, args...)...)
	c.Stdout, c.Stderr = &out, &errors
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + u.beside, "TMPDIR=" + os.Getenv("TMPDIR")}
	err := c.Run()
	if c.ProcessState == nil {
		u.t.Fatal(err)
	}
	return ran{c.ProcessState.ExitCode(), out.String(), errors.String()}
}

func (u *user) must(args ...string) string {
	u.t.Helper()
	r := u.run(args...)
	if r.code != 0 {
		u.t.Fatalf("%v: exit code %d: %s", args, r.code, r.errors)
	}
	return r.out
}

// judge is world.judge for the command.
func (u *user) judge(r ran, codes ...int) {
	u.t.Helper()
	ok := false
	for _, code := range codes {
		ok = ok || r.code == code
	}
	if !ok {
		u.t.Errorf("exit code %d, want %v: %s", r.code, codes, r.errors)
	}
	readable(u.t, r.out)
	readable(u.t, r.errors)
	if used := disk(u.t, u.root); used > 16<<20 {
		u.t.Errorf("%d bytes on disk", used)
	}
	want := "1"
	if r.code == 0 {
		want = "2"
	}
	if list := u.must("list", "--json"); !strings.Contains(list, `"version": "`+want+`"`) {
		u.t.Errorf("exit code %d, and installed: %s", r.code, list)
	}
	u.must("verify")
	u.server.repent()
	u.server.serve(theCommand.site.versions[newest])
	u.must("update", "--yes")
	u.must("verify")
	for _, line := range canaryState(u.t, u.beside) {
		if !strings.Contains(strings.Join(u.canary, "\n"), line) {
			u.t.Errorf("something beside the installation was touched: %s", line)
		}
	}
}

// TestCommand has the real command meet some of the servers: what it prints, its exit
// code, and its memory.
func TestCommand(t *testing.T) {
	refs := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { // a million, of 2 GiB
		io.WriteString(w, `{"signatures":[],"signed":{"_type":"targets","targets":{`)
		for i := range 1 << 24 {
			if _, err := fmt.Fprintf(w, `"app/org.example.R%0100d/x86_64/stable":{},`, i); err != nil {
				return
			}
		}
	}
	for _, c := range []struct {
		name   string
		answer transporttest.Answer
		files  []string
		codes  []int
	}{
		{"A-13 keys without end", endless(`{"signed":{"keys":{"` + strings.Repeat("0", 64) + `":{`), []string{"trust/2.root.json"}, []int{exitTrust}},
		{"B-14 a list of 2 GiB", refs, []string{"trust/3.publisher-main.json"}, []int{exitTrust}},
		{"H-01 an endless head", transporttest.Endless, []string{"trust/timestamp.json"}, []int{exitTrust}},
		{"H-01 an endless index", transporttest.Endless, []string{"index/"}, []int{exitTrust}},
		{"H-01 an endless tree", transporttest.Endless, []string{"trees/"}, []int{exitTrust}},
		{"H-01 endless contents", transporttest.Endless, []string{"packs/"}, []int{exitTrust}},
		{"H-01 everything is endless", transporttest.Endless, []string{""}, []int{exitTrust}},
		{"H-04 100,000 headers", transporttest.Raw("HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 100_000) + "\r\nab"), []string{"releases/"}, []int{exitNetwork}},
		{"H-05 a redirect to a file", transporttest.Redirect("file:///etc/passwd"), []string{"releases/"}, []int{exitNetwork}},
		{"H-12 a captive portal", endlessPage, []string{""}, []int{exitTrust}},
		{"H-12 come back in thirty years", transporttest.Status(429, "Retry-After", "1000000000"), []string{"trust/"}, []int{exitNetwork}},
		{"H-18 a second answer that none awaits", transporttest.Raw("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 \x1b[31mOK\r\n\r\n"), []string{"trust/2.root.json"}, []int{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := newUser(t)
			for _, file := range c.files {
				u.server.lie(file, c.answer)
			}
			r := u.run("update", "--yes")
			if strings.Contains(r.errors, "Unsolicited") {
				t.Errorf("net/http speaks to the user: %s", r.errors)
			}
			u.judge(r, c.codes...)
		})
	}
	t.Run("H-13 another version comes while contents do, and the old one is gone", func(t *testing.T) {
		u := newUser(t)
		f := &forger{t: t, server: u.server, keys: readKeys(t, theCommand.site.keys)}
		old := f.newRelease()
		u.server.lie("packs/", each(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			u.server.serve(pruned(theCommand.site.versions[3], old))
			w.WriteHeader(http.StatusNotFound)
		}, transporttest.Honest))
		if r := u.run("update", "--yes", "--no-deltas"); r.code != 0 {
			t.Errorf("exit code %d: %s", r.code, r.errors)
		}
		if list := u.must("list", "--json"); !strings.Contains(list, `"version": "3"`) {
			t.Errorf("installed: %s", list)
		}
		u.must("verify")
	})
	t.Run("E-08 a title that would command the terminal", func(t *testing.T) {
		u := newUser(t)
		f := &forger{t: t, server: u.server, keys: readKeys(t, theCommand.site.keys)}
		f.publisher(func(doc object) {
			target(doc)["custom"].(object)["title"] = "nice\x1b]0;owned\x07\x1b[2J\r\n\u202eevil\u009b31m\x00"
		})
		for _, verb := range [][]string{{"search"}, {"info", "hello"}, {"list"}} {
			out := u.must(verb...)
			if strings.ContainsAny(strings.ReplaceAll(out, "\n", ""), "\x1b\x07\r\x00\u009b\u202e") {
				t.Errorf("%v printed %q", verb, out)
			}
		}
		u.judge(u.run("update", "--yes"), 0)
	})
}

// endlessPage greets for ever.
func endlessPage(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	endless("<html>\x1b[31mWelcome! Please log in.</html>\n")(w, r, nil)
}

package install

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/trust"
)

func TestRemotes(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	other := newPublisher(t, trust.InitOptions{})
	m := newMachine(t)
	m.trust("example", p)
	before := m.listing()
	for _, c := range []struct {
		what                   string
		name, url, fingerprint string
		err                    error
	}{
		{"a name that is taken", "example", p.path, p.fingerprint, ErrRemoteExists},
		{"a path as a name", "../x", p.path, p.fingerprint, ErrArgument},
		{"an option as a name", "-x", p.path, p.fingerprint, ErrArgument},
		{"no name", "", p.path, p.fingerprint, ErrArgument},
		{"no fingerprint", "x", p.path, "", ErrArgument},
		{"half a fingerprint", "x", p.path, p.fingerprint[:63], ErrArgument},
		{"another's fingerprint", "x", p.path, other.fingerprint, trust.ErrFingerprint},
		{"a strange address", "x", "gopher://host/x", p.fingerprint, ErrArgument},
		{"no address", "x", "", p.fingerprint, ErrArgument},
		{"a folder that is not there", "x", "/nowhere", p.fingerprint, fs.ErrNotExist},
		{"a folder that is no repository", "x", t.TempDir(), p.fingerprint, fs.ErrNotExist},
	} {
		t.Run(c.what, func(t *testing.T) {
			if _, err := m.AddRemote(t.Context(), c.name, c.url, c.fingerprint); !errors.Is(err, c.err) {
				t.Errorf("%v, want %v", err, c.err)
			}
		})
	}
	if diff := cmp.Diff(before, m.listing()); diff != "" {
		t.Errorf("changed:\n%s", diff)
	}
	want := []Remote{{Name: "example", URL: p.path, Fingerprint: p.fingerprint}}
	if diff := cmp.Diff(want, must[[]Remote](t)(m.Remotes())); diff != "" {
		t.Errorf("-want +have:\n%s", diff)
	}
	if err := m.RemoveRemote(t.Context(), "nothing"); !errors.Is(err, ErrUnknownRemote) {
		t.Errorf("removing nothing: %v", err)
	}
	must[any](t)(nil, m.RemoveRemote(t.Context(), "example"))
	if left := must[[]Remote](t)(m.Remotes()); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestAnotherRemoteOfTheSameName must not go on with what the first one began.
func TestAnotherRemoteOfTheSameName(t *testing.T) {
	p, impostor := newPublisher(t, trust.InitOptions{}), newPublisher(t, trust.InitOptions{})
	p.publish(hello, "1", program("1"))
	impostor.publish(hello, "2", program("2"))
	m := newMachine(t)
	m.trust("example", p)
	m.install("hello")
	m.trust("second", impostor)
	if a := must[[]Available](t)(m.Available(t.Context())); len(a) != 2 {
		t.Errorf("available: %+v", a)
	}
	m.update()
	m.expect("Hello 1")
	plan, err := m.PlanInstall(t.Context(), []Wanted{{Ref: "hello", Remote: "second"}}, PlanOptions{DryRun: true})
	if !errors.Is(err, ErrOtherRemote) {
		t.Errorf("%v, %v", plan, err)
	}
	must[any](t)(nil, m.RemoveRemote(t.Context(), "second"))
	must[any](t)(nil, m.RemoveRemote(t.Context(), "example"))
	m.trust("example", impostor)
	if _, err := update(t.Context(), m.Installation); !errors.Is(err, ErrOtherRemote) {
		t.Errorf("an update from another root: %v", err)
	}
	m.uninstall("hello")
	m.install("hello")
	m.expect("Hello 2")
}

func TestARefInTwoRemotes(t *testing.T) {
	p, q := newPublisher(t, trust.InitOptions{}), newPublisher(t, trust.InitOptions{})
	p.publish(hello, "1", program("1"))
	q.publish(hello, "2", program("2"))
	m := newMachine(t)
	m.trust("one", p)
	m.trust("two", q)
	if _, err := install(t.Context(), m.Installation, "hello"); !errors.Is(err, release.ErrAmbiguous) {
		t.Errorf("%v", err)
	}
	must[*Result](t)(apply(t.Context())(m.PlanInstall(t.Context(), []Wanted{{Ref: "hello", Remote: "two"}}, PlanOptions{})))
	m.expect("Hello 2")
}

func TestRemoteFile(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	p.publish(hello, "1", program("1"))
	server := httptest.NewServer(http.FileServer(http.Dir(p.path)))
	defer server.Close()
	root := must[[]byte](t)(os.ReadFile(filepath.Join(p.path, "trust/1.root.json")))
	file := &RemoteFile{URL: server.URL, Title: "An example", Root: root}
	text := must[[]byte](t)(file.Encode())
	parsed := must[*RemoteFile](t)(ParseRemoteFile(text))
	if diff := cmp.Diff(file, parsed); diff != "" {
		t.Errorf("-want +have:\n%s", diff)
	}
	m := newMachine(t)
	r := must[Remote](t)(m.AddRemoteFile(t.Context(), "example", parsed))
	if r.Fingerprint != p.fingerprint || r.Title != "An example" {
		t.Errorf("%+v", r)
	}
	m.install("hello")
	m.expect("Hello 1")

	for _, c := range []struct{ what, text string }{
		{"nothing", ""},
		{"two groups", string(text) + "[Other]\n"},
		{"the group twice", string(text) + "[Larch Repository]\nurl=x\n"},
		{"a switch", string(text) + "verify=false\n"},
		{"a key twice", string(text) + "url=https://evil\n"},
		{"a folder", strings.Replace(string(text), server.URL, "/etc", 1)},
		{"an option", strings.Replace(string(text), server.URL, "-oProxyCommand=x", 1)},
		{"a newline", strings.Replace(string(text), "An example", `a\nurl=b`, 1)},
		{"no root", "[Larch Repository]\nurl=https://example.org\n"},
		{"a broken root", strings.Replace(string(text), "root=", "root=%", 1)},
		{"bytes", "\xff"},
		{"too long", string(text) + strings.Repeat("#", maxRemoteFile)},
	} {
		t.Run(c.what, func(t *testing.T) {
			if _, err := ParseRemoteFile([]byte(c.text)); !errors.Is(err, ErrRemoteFile) {
				t.Errorf("%v", err)
			}
		})
	}
}

func FuzzParseRemoteFile(f *testing.F) {
	f.Add([]byte("[Larch Repository]\nurl=https://example.org\nroot=e30=\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		parsed, err := ParseRemoteFile(text)
		if err != nil {
			return
		}
		again, err := parsed.Encode()
		if err != nil {
			t.Fatal(err)
		}
		second, err := ParseRemoteFile(again)
		if err != nil || !cmp.Equal(parsed, second) {
			t.Errorf("%+v, %v, was %+v", second, err, parsed)
		}
	})
}

// TestMirrors has a primary that loses everything but its head.
func TestMirrors(t *testing.T) {
	var primaryDown bool
	p := &publisher{}
	serve := func(mirror bool) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !mirror && primaryDown && !strings.HasPrefix(r.URL.Path, "/trust/") {
				http.Error(w, "gone fishing", http.StatusServiceUnavailable)
				return
			}
			http.FileServer(http.Dir(p.path)).ServeHTTP(w, r)
		}))
	}
	primary, second := serve(false), serve(true)
	defer primary.Close()
	defer second.Close()
	*p = *newPublisher(t, trust.InitOptions{Mirrors: []string{second.URL}})
	p.publish(hello, "1", program("1"))
	m := newMachine(t)
	must[Remote](t)(m.AddRemote(t.Context(), "example", primary.URL, p.fingerprint))
	primaryDown = true
	m.install("hello")
	m.expect("Hello 1")
}

func TestExpiredMetadata(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	p.publish(hello, "1", program("1"))
	m := newMachine(t)
	m.trust("example", p)
	m.install("hello")
	m.clock = m.clock.Add(30 * 24 * time.Hour)
	if _, err := update(t.Context(), m.Installation); !errors.Is(err, trust.ErrExpired) {
		t.Errorf("update: %v", err)
	}
	m.expect("Hello 1")
	if d := must[*Details](t)(m.Info(t.Context(), "hello")); d.Current == nil || !errors.Is(d.Remote, trust.ErrExpired) {
		t.Errorf("info: %+v", d)
	}
	m.uninstall("hello")
	m.undo()
	m.expect("Hello 1")
}

func TestInfo(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	p.publish(hello, "1", program("1"))
	m := newMachine(t)
	m.trust("example", p)
	d := must[*Details](t)(m.Info(t.Context(), "hello"))
	if d.Installed != nil || d.Release.Version != "1" || d.Newest.Remote != "example" {
		t.Errorf("before: %+v", d)
	}
	m.install("hello")
	p.publish(hello, "2", program("2"))
	d = must[*Details](t)(m.Info(t.Context(), "hello"))
	if d.Installed.Version != "1" || d.Current.Version != "1" || d.Release.Version != "2" || d.Remote != nil {
		t.Errorf("after: %+v", d)
	}
	if _, err := m.Info(t.Context(), "nothing"); !errors.Is(err, release.ErrUnknownRef) {
		t.Errorf("nothing: %v", err)
	}
}

func TestOpenTransport(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("12345"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{dir, "file://" + dir} {
		stats := new(transport.Stats)
		tr := must[transport.Transport](t)(OpenTransport(address, TransportOptions{Stats: stats}))
		res := must[*transport.Response](t)(tr.Fetch(t.Context(), transport.Request{Name: "file"}))
		res.Body.Close()
		closeTransport(tr)
		if stats.Requests.Load() != 1 {
			t.Errorf("%s: not counted", address)
		}
	}
	for _, address := range []string{"gopher://x", "https://user:pass@host/", "https://"} {
		if _, err := OpenTransport(address, TransportOptions{}); err == nil {
			t.Errorf("%s was opened", address)
		}
	}
}

// TestAnotherFormat has a repository go on to a format that this larch does not know:
// it is refused as often as it is asked.
func TestAnotherFormat(t *testing.T) {
	p := newPublisher(t, trust.InitOptions{})
	p.publish(hello, "1", program("1"))
	m := newMachine(t)
	m.trust("example", p)
	m.install("hello")
	p.publish(hello, "2", program("2"))
	name := filepath.Join(p.path, repo.FormatName)
	known := must[[]byte](t)(os.ReadFile(name))
	must[any](t)(nil, os.WriteFile(name, []byte(`{"features":["x"],"format":1}`+"\n"), 0o644))
	for range 2 {
		if _, err := update(t.Context(), m.Installation); !errors.Is(err, repo.ErrFormat) {
			t.Errorf("%v", err)
		}
	}
	m.expect("Hello 1")
	must[any](t)(nil, os.WriteFile(name, known, 0o644))
	m.update()
	m.expect("Hello 2")
}

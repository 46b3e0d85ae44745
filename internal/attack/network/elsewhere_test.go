package network

import (
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/transport/transporttest"
	"github.com/larch-project/larch/trust"
)

// public has the machine reach its server as http://repository.example/r, by a proxy,
// as if it were far away.
func public(t *testing.T) *world {
	t.Helper()
	w := emptyWorld(t, base(t))
	proxy := w.address[:len(w.address)-len("/r")]
	w.opt.Getenv = func(name string) string {
		if name == "HTTP_PROXY" {
			return proxy
		}
		return ""
	}
	w.address = "http://repository.example/r"
	w.trust()
	w.install()
	w.server.serve(w.site.versions[2])
	return w
}

// TestRedirects has a server that is far away point to where nobody may be led.
func TestRedirects(t *testing.T) {
	var hits atomic.Int64 // of a service on this machine
	local := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer local.Close()
	port := local.URL[strings.LastIndex(local.URL, ":"):]
	for _, to := range []string{
		"file:///etc/passwd", "ftp://repository.example/a", "unix:/run/x", "javascript:alert(1)", "data:,x", "gopher://repository.example/",
		"http://127.0.0.1" + port + "/", "http://localhost" + port + "/", "http://LOCALHOST" + port + "/", "http://[::1]" + port + "/",
		"http://[::ffff:127.0.0.1]" + port + "/", "http://0.0.0.0" + port + "/", "http://169.254.169.254/latest/meta-data", "http://10.0.0.1/", "http://[fe80::1%25eth0]/",
		"http://user:secret@repository.example/r/trust/timestamp.json", "http:///x", "http://[", "", "//127.0.0.1" + port + "/",
	} {
		t.Run(fmt.Sprintf("H-05 a redirect to %.40q", to), func(t *testing.T) {
			w := public(t)
			w.server.lie("releases/", transporttest.Redirect(to))
			err := w.update()
			if strings.Contains(fmt.Sprint(err), "secret") {
				t.Errorf("the message tells a secret: %v", err)
			}
			w.judge(err, verdict{err: transport.ErrRedirect, trusts: atVersion2})
		})
	}
	if n := hits.Load(); n > 0 {
		t.Errorf("a service on this machine was asked %d times", n)
	}
	for what, answer := range map[string]transporttest.Answer{
		"H-05 a redirect to itself": transporttest.RedirectLoop,
		"H-05 a thousand redirects": func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
			transporttest.Redirect(r.URL.Path+"?x"+r.URL.RawQuery)(w, r, honest)
		},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.server.lie("releases/", answer)
			w.server.asked()
			err := w.update()
			if n := len(w.server.asked()); n > 20 {
				t.Errorf("%d requests", n)
			}
			w.judge(err, verdict{err: transport.ErrRedirect, trusts: atVersion2})
		})
	}
}

// TestSecrets has servers ask for what is not theirs.
func TestSecrets(t *testing.T) {
	var leaked atomic.Value
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Authorization", "Cookie", "Proxy-Authorization", "Referer", "From"} {
			if v := r.Header.Get(name); v != "" {
				leaked.Store(name + ": " + v)
			}
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="other"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer other.Close()
	t.Run("H-06 a redirect to a host that asks for a password", func(t *testing.T) {
		w := newWorld(t)
		w.opt.Netrc = netrc(t, w.address)
		w.server.lie("releases/", transporttest.Redirect(other.URL+"/"))
		w.judge(w.update(), verdict{err: fs.ErrPermission, trusts: atVersion2})
	})
	t.Run("H-06 a realm of another host", func(t *testing.T) {
		w := newWorld(t)
		w.server.lie("releases/", transporttest.Status(401, "WWW-Authenticate", `Basic realm="`+other.URL+`"`, "Location", other.URL))
		w.judge(w.update(), verdict{err: fs.ErrPermission, trusts: atVersion2})
	})
	t.Run("H-06 a proxy's password", func(t *testing.T) {
		w := newWorld(t)
		w.server.lie("releases/", transporttest.Status(407, "Proxy-Authenticate", `Basic realm="x"`))
		w.judge(w.update(), verdict{err: fs.ErrPermission, trusts: atVersion2})
	})
	t.Run("H-06 cookies", func(t *testing.T) {
		w := newWorld(t)
		w.server.lie("", transporttest.Header(func(_ int, h http.Header) {
			h.Set("Set-Cookie", "id=1; Path=/")
			h.Set("Strict-Transport-Security", "max-age=99999999")
		}))
		w.judge(w.update(), verdict{})
		for _, r := range w.server.Requests() {
			if r.Header.Get("Cookie")+r.Header.Get("Referer") != "" {
				t.Errorf("%s: %v", r.URL, r.Header)
			}
		}
	})
	if v := leaked.Load(); v != nil {
		t.Errorf("the other host got %v", v)
	}
}

// netrc writes a password for the host of an address.
func netrc(t *testing.T, address string) string {
	t.Helper()
	host := strings.Split(strings.TrimPrefix(address, "http://"), ":")[0]
	file := filepath.Join(t.TempDir(), "netrc")
	check(t, os.WriteFile(file, []byte("machine "+host+" login user password secret\n"), 0o600))
	return file
}

// TestAddresses are addresses that a person or a signed list may hold.
func TestAddresses(t *testing.T) {
	harmless := []string{"http://host.invalid/a b", "http://127.0.0.1:99999999/"} // they reach nobody, and no file
	addresses := []string{
		"http://user:secret@host/r", "http://host/../r", "http://host/%2e%2e/r", "http://host/a/%2e%2e%2fetc", "http://[fe80::1%25lo]x/r", "http:///r",
		"http://host/r?x=y", "http://host/r#x", "gopher://host/r", "http://ho st/", "http://host\x00/", "https://", "http://host/a//b", "http://host/a/./b",
		"//host/r", "http://host\n.example/",
	}
	t.Run("H-15 addresses of a remote", func(t *testing.T) {
		w := newWorld(t)
		for _, address := range append(harmless, addresses...) {
			_, err := w.machine.AddRemote(t.Context(), "second", address, w.site.fingerprint)
			if err == nil {
				t.Errorf("%q was taken", address)
				continue
			}
			readable(t, err.Error())
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the message tells a secret: %v", err)
			}
		}
		w.judge(w.update(), verdict{})
	})
	t.Run("H-15 signed addresses of mirrors", func(t *testing.T) {
		for _, address := range addresses {
			w := newWorld(t)
			w.forger().targets(func(targets object) { targets["mirrors"] = []any{address} })
			err := w.update()
			if err == nil {
				t.Errorf("%q was taken", address)
				continue
			}
			readable(t, err.Error())
		}
	})
	t.Run("H-17 a thousand mirrors", func(t *testing.T) {
		w := newWorld(t)
		w.forger().targets(func(targets object) {
			var list []any
			for i := range 1000 {
				list = append(list, fmt.Sprintf("http://mirror%d.example/r", i))
			}
			targets["mirrors"] = list
		})
		w.judge(w.update(), verdict{err: trust.ErrFormat})
	})
}

// TestMirrors has several servers of which some lie.
func TestMirrors(t *testing.T) {
	second := func(t *testing.T, w *world, files state) *liar {
		t.Helper()
		l := newLiar(files)
		server := httptest.NewServer(l)
		t.Cleanup(server.Close)
		w.mirrors = append(w.mirrors, server.URL+"/r")
		return l
	}
	without := func(all state, prefix string, each int) state {
		left := state{}
		n := 0
		for _, name := range all.names("") {
			if strings.HasPrefix(name, prefix) {
				if n++; n%2 == each {
					continue
				}
			}
			left[name] = all[name]
		}
		return left
	}
	t.Run("H-13 two mirrors with half of the files each", func(t *testing.T) {
		w := newWorld(t)
		w.server.serve(without(without(w.site.versions[2], "packs/", 0), "deltas/", 0))
		second(t, w, without(without(w.site.versions[2], "packs/", 1), "deltas/", 1))
		w.judge(w.update(), verdict{})
	})
	t.Run("H-13 the mirror has only what was", func(t *testing.T) {
		w := newWorld(t)
		second(t, w, w.site.versions[1])
		w.server.lie("releases/", transporttest.Status(503))
		w.judge(w.update(), verdict{any: true, trusts: atVersion2, says: []string{"releases/"}})
	})
	t.Run("H-13 another version comes in the middle", func(t *testing.T) {
		w := newWorld(t)
		w.server.lie("releases/", func(rw http.ResponseWriter, r *http.Request, honest http.Handler) {
			honest.ServeHTTP(rw, r)
			w.server.serve(w.site.versions[3])
		})
		w.judge(w.update(), verdict{})
	})
	t.Run("H-13 another version comes, and the old one is gone", func(t *testing.T) {
		w := newWorld(t)
		w.server.lie("releases/", each(func(rw http.ResponseWriter, r *http.Request, honest http.Handler) {
			honest.ServeHTTP(rw, r)
			w.server.serve(pruned(w.site.versions[3], w.newRelease()))
		}, transporttest.Honest))
		w.judge(w.update(), verdict{ends: 3})
	})
	t.Run("H-13 each version is gone as soon as it is there", func(t *testing.T) {
		w := newWorld(t)
		w.server.lie("releases/", func(rw http.ResponseWriter, r *http.Request, honest http.Handler) {
			honest.ServeHTTP(rw, r)
			w.server.put(state{"index/" + strings.TrimPrefix(w.newRelease(), "releases/") + ".zst": nil})
			w.server.lie("deltas/", transporttest.Status(404))
			w.server.lie("trees/", transporttest.Status(404))
		})
		w.judge(w.update(), verdict{err: fs.ErrNotExist, trusts: atVersion2})
	})
	t.Run("H-12 another mirror has the file", func(t *testing.T) {
		w := newWorld(t)
		second(t, w, w.site.versions[2])
		w.server.lie("releases/", transporttest.Status(404))
		w.server.lie("deltas/", transporttest.Status(404))
		w.server.lie("packs/", transporttest.Status(503))
		w.judge(w.update(), verdict{})
	})
	t.Run("H-09 another mirror is not slow", func(t *testing.T) {
		w := newWorld(t)
		second(t, w, w.site.versions[2])
		w.server.lie("releases/", transporttest.Raw(""))
		w.server.lie("deltas/", transporttest.CutAfter(1000))
		w.judge(w.update(), verdict{})
	})
	t.Run("H-13 all mirrors lie", func(t *testing.T) {
		w := newWorld(t)
		for _, l := range []*liar{w.server, second(t, w, w.site.versions[2])} {
			l.lie("packs/", swapped)
			l.lie("deltas/", transporttest.Status(404))
		}
		w.judge(w.update(), verdict{err: digest.ErrMismatch, trusts: atVersion2})
	})
	t.Run("H-13 the first of two lies about contents", func(t *testing.T) {
		w := newWorld(t)
		second(t, w, w.site.versions[2])
		w.server.lie("packs/", swapped)
		w.server.lie("deltas/", swapped)
		w.judge(w.update(), verdict{})
	})
	t.Run("H-13 two of three lie about contents", func(t *testing.T) {
		w := newWorld(t)
		for _, l := range []*liar{w.server, second(t, w, w.site.versions[2])} {
			l.lie("packs/", swapped)
			l.lie("deltas/", swapped)
		}
		second(t, w, w.site.versions[2])
		w.judge(w.update(), verdict{})
	})
	t.Run("H-13 the first of two lies about everything below the head", func(t *testing.T) {
		w := newWorld(t)
		second(t, w, w.site.versions[2])
		for _, prefix := range []string{"releases/", "index/", "trees/", "packs/", "deltas/"} {
			w.server.lie(prefix, swapped)
		}
		w.judge(w.update(), verdict{})
	})
	t.Run("B-16 what a mirror is not asked for", func(t *testing.T) {
		w := newWorld(t)
		l := second(t, w, w.site.versions[1])
		w.judge(w.update(), verdict{})
		for _, name := range l.asked() {
			if strings.HasPrefix(name, "trust/") {
				t.Errorf("a mirror was asked for %s while the server answered", name)
			}
		}
	})
	t.Run("H-17 no more than eight at a time", func(t *testing.T) {
		w := emptyWorld(t, base(t))
		var now, most, open atomic.Int64
		w.server.lie("", func(rw http.ResponseWriter, r *http.Request, honest http.Handler) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			honest.ServeHTTP(rw, r)
		})
		counted := httptest.NewUnstartedServer(w.server)
		counted.Config.ConnState = func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				open.Add(1)
			}
		}
		counted.Start()
		defer counted.Close()
		w.address = counted.URL + "/r"
		w.trust()
		open.Store(0)
		w.install()
		if open.Load() > 8 || most.Load() > 8 {
			t.Errorf("%d connections, %d requests at a time", open.Load(), most.Load())
		}
	})
}

package web_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/transport/transporttest"
	"github.com/larch-project/larch/transport/web"
)

func TestRedirects(t *testing.T) {
	const name = "/r/packs/a"
	tests := []struct {
		name, to string
		refused  string // part of the message; empty: followed
	}{
		{"path", name + "?x", ""},
		{"relative", "a?x", ""},
		{"other host", "http://other.example" + name + "?x", ""},
		{"other port", "http://repository.example:8080" + name + "?x", ""},
		{"nowhere", "", "to nowhere"},
		{"nonsense", "http://[", "to nowhere"},
		{"file", "file:///etc/passwd", "neither http nor https"},
		{"ftp", "ftp://repository.example/a", "neither http nor https"},
		{"unix", "unix:/run/a", "neither http nor https"},
		{"script", "javascript:alert(1)", "neither http nor https"},
		{"no host", "http:///a", "no host"},
		{"user", "http://user:secret@repository.example/a", "it names a user"},
		{"loopback", "http://127.0.0.1/a?secret", "a private address"},
		{"loopback by name", "http://LOCALHOST/a", "a private address"},
		{"loopback, version 6", "http://[::1]/a", "a private address"},
		{"loopback, mapped", "http://[::ffff:127.0.0.1]/a", "a private address"},
		{"cloud metadata", "http://169.254.169.254/latest/meta-data", "a private address"},
		{"own network", "http://192.168.1.1/a", "a private address"},
		{"zero", "http://0.0.0.0/a", "a private address"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, web.Options{}, func(t *testing.T, w *world) {
				w.server.Next(transporttest.Redirect(test.to))
				data, _, err := w.fetch(t, transport.Request{Name: "packs/a", Offset: 5, Length: 10})
				if test.refused == "" {
					if err != nil || !bytes.Equal(data, content[5:15]) {
						t.Errorf("%d bytes, %v", len(data), err)
					}
					return
				}
				checkError(t, err)
				if !errors.Is(err, transport.ErrRedirect) || !strings.Contains(err.Error(), test.refused) ||
					strings.Contains(err.Error(), "secret") {
					t.Errorf("%v", err)
				}
				if n := w.stats.Requests.Load(); n != 1 {
					t.Errorf("%d requests", n)
				}
			})
		})
	}
}

// Five are followed, six are not; the connection is kept.
func TestRedirectsEnd(t *testing.T) {
	for count, want := range map[int]error{5: nil, 6: transport.ErrRedirect} {
		bubble(t, web.Options{}, func(t *testing.T, w *world) {
			for range count {
				w.server.Next(transporttest.Redirect("/r/packs/a"))
			}
			if _, _, err := w.fetch(t, transport.Request{Name: "packs/a"}); !errors.Is(err, want) {
				t.Errorf("%d redirects: %v", count, err)
			}
			if n := w.stats.Requests.Load(); n != 6 {
				t.Errorf("%d redirects: %d requests", count, n)
			}
		})
	}
}

// https never becomes http.
func TestRedirectDowngrade(t *testing.T) {
	plain := httptest.NewServer(transporttest.NewServer(files()))
	defer plain.Close()
	handler := transporttest.NewServer(files())
	handler.Always(transporttest.Redirect(plain.URL + "/r/packs/a"))
	secure := httptest.NewTLSServer(handler)
	defer secure.Close()
	repository := open(t, secure.URL+"/r", web.Options{RootCAs: authority(secure)})
	_, err := repository.Fetch(t.Context(), transport.Request{Name: "packs/a"})
	if !errors.Is(err, transport.ErrRedirect) {
		t.Errorf("%v is not ErrRedirect", err)
	}
}

// Credentials go to the address's own origin alone: not to another port of its
// host, not to where it redirects, and again when it is asked again. Nothing else
// that tells something about us goes there either.
func TestRedirectCredentials(t *testing.T) {
	elsewhere := transporttest.NewServer(files())
	other := httptest.NewServer(elsewhere)
	defer other.Close()
	server := transporttest.NewServer(files())
	server.Next(transporttest.Redirect("/r/packs/a?again"), transporttest.Redirect(other.URL+"/r/packs/a"))
	own := httptest.NewServer(server)
	defer own.Close()
	repository := open(t, own.URL+"/r", web.Options{Token: "secret", UserAgent: "larch/1.2"})
	for range 2 {
		res, err := repository.Fetch(t.Context(), transport.Request{Name: "packs/a"})
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	for _, r := range server.Requests() {
		if r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("own host got %q", r.Header)
		}
	}
	want := []http.Header{{"User-Agent": {"larch/1.2"}, "Accept-Encoding": {"identity"}}}
	var have []http.Header
	for _, r := range elsewhere.Requests() {
		have = append(have, r.Header)
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("headers at the other host (-want +have):\n%s", diff)
	}
}

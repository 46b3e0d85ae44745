package web_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/transport/transporttest"
	"github.com/larch-project/larch/transport/web"
)

func TestAddresses(t *testing.T) {
	tests := []struct {
		address string
		bad     bool
	}{
		{"https://example.org", false},
		{"https://example.org/", false},
		{"https://EXAMPLE.org:8443/a/b//", false},
		{"http://[::1]:80/a%20b", false},
		{"http://[fe80::1%25eth0]/a", false},
		{"https://example.org/a%2fb", false},
		{"", true},
		{"example.org", true},
		{"/srv/repository", true},
		{"file:///srv/repository", true},
		{"ftp://example.org/", true},
		{"https:example.org", true},
		{"https://", true},
		{"https:///a", true},
		{"https://:443/", true},
		{"https://exa mple.org/", true},
		{"https://example.org/?a", true},
		{"https://example.org/?", true},
		{"https://example.org/#a", true},
		{"https://user:secret@example.org/", true},
		{"https://user:secret@example.org:port/", true},
		{"https://example.org/a/../b", true},
		{"https://example.org/%2e%2e/b", true},
		{"https://example.org/a//b", true},
		{"https://example.org/a%00b", true},
		{"https://example.org/a%0d%0ab", true},
		{"https://example.org/a%5c..", true},
		{"https://example.org/a\nb", true},
	}
	for _, test := range tests {
		_, err := web.New(test.address, web.Options{})
		if (err != nil) != test.bad {
			t.Errorf("%q: %v", test.address, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error repeats the password: %v", test.address, err)
		}
	}
}

// What is asked for arrives under the name it was asked by.
func TestEscaping(t *testing.T) {
	for base, want := range map[string]string{
		"http://x.example":           "/packs/a",
		"http://x.example/a%2fb/c/":  "/a%2Fb/c/packs/a",
		"http://x.example/a%20b/%3f": "/a%20b/%3F/packs/a",
	} {
		server := transporttest.NewServer(files())
		repository := open(t, base, web.Options{Dial: transporttest.Pipe(t, server)})
		repository.Fetch(t.Context(), transport.Request{Name: "packs/a"})
		if have := server.Requests()[0].RequestURI; !strings.EqualFold(have, want) {
			t.Errorf("%s: %s, not %s", base, have, want)
		}
	}
}

func TestCredentials(t *testing.T) {
	netrc := filepath.Join(t.TempDir(), "netrc")
	if err := os.WriteFile(netrc, []byte("machine localhost login anna password pass\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("anna:pass"))
	tests := []struct {
		name, address string
		opt           web.Options
		want          string // header
		bad           bool
	}{
		{"none", "http://localhost/r", web.Options{}, "", false},
		{"token", "http://localhost/r", web.Options{Token: "abc.DEF-1_2~3+4/5="}, "Bearer abc.DEF-1_2~3+4/5=", false},
		{"netrc", "http://LOCALHOST:80/r", web.Options{Netrc: netrc}, basic, false},
		{"token before netrc", "http://localhost/r", web.Options{Token: "t", Netrc: netrc}, "Bearer t", false},
		{"no netrc file", "http://localhost/r", web.Options{Netrc: netrc + ".none"}, "", false},
		{"netrc of another host", "http://127.0.0.1/r", web.Options{Netrc: netrc}, "", false},
		{"netrc not over http", "http://example.org/r", web.Options{Netrc: netrc}, "", false},
		{"token not over http", "http://example.org/r", web.Options{Token: "secret"}, "", true},
		{"impossible token", "http://localhost/r", web.Options{Token: "secret\r\nHost: x"}, "", true},
		{"netrc a folder", "http://localhost/r", web.Options{Netrc: filepath.Dir(netrc)}, "", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := transporttest.NewServer(files())
			test.opt.Dial = transporttest.Pipe(t, server)
			repository, err := web.New(test.address, test.opt)
			if err != nil {
				if !test.bad || strings.Contains(err.Error(), "secret") {
					t.Error(err)
				}
				return
			}
			defer repository.Close()
			if test.bad {
				t.Fatal("no error")
			}
			res, err := repository.Fetch(t.Context(), transport.Request{Name: "packs/a"})
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if have := server.Requests()[0].Header.Get("Authorization"); have != test.want {
				t.Errorf("Authorization: %q, not %q", have, test.want)
			}
		})
	}
}

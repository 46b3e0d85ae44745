package web_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/transport/transporttest"
	"github.com/larch-project/larch/transport/web"
)

// Proxies come from the environment that is passed in.
func TestProxy(t *testing.T) {
	server := transporttest.NewServer(files())
	pipe := transporttest.Pipe(t, server)
	environment := map[string]string{"http_proxy": "http://user:pass@proxy.example:3128", "NO_PROXY": "near.example"}
	for address, want := range map[string]string{
		"http://far.example/r":  "proxy.example:3128",
		"http://near.example/r": "near.example:80",
	} {
		var dialed string
		repository := open(t, address, web.Options{
			Getenv: func(key string) string { return environment[key] },
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				dialed = address
				return pipe(ctx, network, address)
			},
		})
		res, err := repository.Fetch(t.Context(), transport.Request{Name: "packs/a"})
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if dialed != want {
			t.Errorf("%s: dialed %s, not %s", address, dialed, want)
		}
	}
}

// At most eight connections serve any number of requests, also after errors with
// a short text and after redirects.
func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := transporttest.NewServer(files())
		server.Always(redirected)
		pipe := transporttest.Pipe(t, server)
		var dialed atomic.Int64
		repository := open(t, transporttest.Address, web.Options{
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				dialed.Add(1)
				return pipe(ctx, network, address)
			},
		})
		get := func(name string) {
			res, err := repository.Fetch(t.Context(), transport.Request{Name: name, Offset: 10, Length: 1000})
			if err == nil {
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		}
		for range 10 {
			get("packs/a")
			get("missing")
		}
		if n := dialed.Load(); n != 1 {
			t.Errorf("%d connections, one after the other", n)
		}
		var all sync.WaitGroup
		for range 30 {
			all.Go(func() { get("packs/a") })
		}
		all.Wait()
		if n := dialed.Load(); n > 8 {
			t.Errorf("%d connections", n)
		}
		repository.Close()
	})
}

func TestHTTP2IsUsed(t *testing.T) {
	handler := transporttest.NewServer(files())
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	handler.Next(transporttest.CutAfter(100_000), transporttest.Garbage())
	repository := open(t, server.URL+"/r", web.Options{RootCAs: authority(server)})
	res, err := repository.Fetch(t.Context(), transport.Request{Name: "packs/a"})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); err != nil || n != int64(len(content)) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if requests := handler.Requests(); len(requests) != 3 || requests[2].ProtoMajor != 2 {
		t.Errorf("%d requests, the last over %s", len(requests), requests[len(requests)-1].Proto)
	}
}

// Certificates are verified, and what does not verify is not tried again.
func TestCertificates(t *testing.T) {
	good := httptest.NewTLSServer(transporttest.NewServer(files()))
	defer good.Close()
	good.Config.ErrorLog = log.New(io.Discard, "", 0)
	old := httptest.NewUnstartedServer(transporttest.NewServer(files()))
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.Config.ErrorLog = good.Config.ErrorLog
	old.StartTLS()
	defer old.Close()
	plain := httptest.NewServer(transporttest.NewServer(files()))
	defer plain.Close()
	tests := []struct {
		name, address string
		roots         *x509.CertPool
	}{
		{"unknown authority", good.URL, x509.NewCertPool()},
		{"other name", strings.Replace(good.URL, "127.0.0.1", "localhost", 1), authority(good)},
		{"old TLS", old.URL, authority(old)},
		{"no TLS", strings.Replace(plain.URL, "http:", "https:", 1), nil},
	}
	for _, test := range tests {
		var stats transport.Stats
		repository := open(t, test.address+"/r", web.Options{RootCAs: test.roots, Stats: &stats})
		_, err := repository.Fetch(t.Context(), transport.Request{Name: "packs/a"})
		if err == nil || stats.Requests.Load() != 1 {
			t.Errorf("%s: %d requests, %v", test.name, stats.Requests.Load(), err)
		}
	}
}

// BenchmarkFetch fetches 64 MiB over loopback with reads of 256 KiB, beside plain
// net/http doing the same.
func BenchmarkFetch(b *testing.B) {
	big := make([]byte, 64<<20)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(big)))
		w.Write(big)
	}))
	defer server.Close()
	repository, err := web.New(server.URL, web.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer repository.Close()
	drain := func(b *testing.B, open func() (io.ReadCloser, error)) {
		b.SetBytes(int64(len(big)))
		b.ReportAllocs()
		buffer := make([]byte, 256<<10)
		for b.Loop() {
			body, err := open()
			if err != nil {
				b.Fatal(err)
			}
			for err == nil {
				_, err = body.Read(buffer)
			}
			if err != io.EOF {
				b.Fatal(err)
			}
			body.Close()
		}
	}
	b.Run("larch", func(b *testing.B) {
		drain(b, func() (io.ReadCloser, error) {
			res, err := repository.Fetch(context.Background(), transport.Request{Name: "packs/a"})
			if err != nil {
				return nil, err
			}
			return res.Body, nil
		})
	})
	b.Run("net-http", func(b *testing.B) {
		drain(b, func() (io.ReadCloser, error) {
			res, err := http.Get(server.URL + "/packs/a")
			if err != nil {
				return nil, err
			}
			return res.Body, nil
		})
	})
}

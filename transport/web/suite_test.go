package web_test

import (
	"crypto/x509"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/transport/transporttest"
	"github.com/larch-project/larch/transport/web"
)

func open(t *testing.T, address string, opt web.Options) *web.Transport {
	t.Helper()
	repository, err := web.New(address, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { repository.Close() })
	return repository
}

func TestSuite(t *testing.T) {
	for name, answer := range map[string]transporttest.Answer{
		"honest":             transporttest.Honest,
		"without ranges":     transporttest.NoRanges,
		"without sizes":      transporttest.NoSizes,
		"without validators": transporttest.NoValidators,
		"cut":                transporttest.CutAfter(200_000),
		"redirected":         redirected,
	} {
		t.Run(name, func(t *testing.T) {
			transporttest.Run(t, func(t *testing.T, dir string) transport.Transport {
				server := transporttest.NewServer(os.DirFS(dir))
				server.Always(answer)
				return open(t, transporttest.Address, web.Options{Dial: transporttest.Pipe(t, server)})
			})
		})
	}
}

func TestSuiteHTTP2(t *testing.T) {
	transporttest.Run(t, func(t *testing.T, dir string) transport.Transport {
		server := httptest.NewUnstartedServer(transporttest.NewServer(os.DirFS(dir)))
		server.EnableHTTP2 = true
		server.StartTLS()
		t.Cleanup(server.Close)
		return open(t, server.URL+"/r", web.Options{RootCAs: authority(server)})
	})
}

func authority(server *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return pool
}

package network

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/transport/transporttest"
)

// authority makes certificates that the machine believes.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, key: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t), pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key))(t)
	a.cert = must(x509.ParseCertificate(der))(t)
	a.pool.AddCert(a.cert)
	return a
}

// certificate makes one for 127.0.0.1, which change may spoil.
func (a *authority) certificate(change func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(a.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "a server"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	change(template)
	der := must(x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key))(a.t)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// secureWorld is newWorld over TLS; what the server presents can be changed.
func secureWorld(t *testing.T, a *authority) (*world, *atomic.Pointer[tls.Config]) {
	t.Helper()
	w := emptyWorld(t, base(t))
	good := &tls.Config{Certificates: []tls.Certificate{a.certificate(func(*x509.Certificate) {})}}
	var config atomic.Pointer[tls.Config]
	config.Store(good)
	server := httptest.NewUnstartedServer(w.server)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return config.Load(), nil },
		GetCertificate:     func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &good.Certificates[0], nil },
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	w.address, w.opt.RootCAs = server.URL+"/r", a.pool
	w.trust()
	w.install()
	w.server.serve(w.site.versions[2])
	w.heals = func() { config.Store(good) }
	return w, &config
}

// TestCertificates has a server that is not the one of its name.
func TestCertificates(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	for what, config := range map[string]*tls.Config{
		"expired":              {Certificates: []tls.Certificate{a.certificate(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })}},
		"of another host":      {Certificates: []tls.Certificate{a.certificate(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.example"} })}},
		"of another authority": {Certificates: []tls.Certificate{other.certificate(func(*x509.Certificate) {})}},
		"for clients":          {Certificates: []tls.Certificate{a.certificate(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })}},
		"none":                 {GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("none") }},
		"of TLS 1.0":           {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10, Certificates: []tls.Certificate{a.certificate(func(*x509.Certificate) {})}},
		"of TLS 1.1":           {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, Certificates: []tls.Certificate{a.certificate(func(*x509.Certificate) {})}},
	} {
		t.Run("H-07 a certificate "+what, func(t *testing.T) {
			w, presents := secureWorld(t, a)
			w.server.asked()
			presents.Store(config)
			err := w.update()
			if asked := w.server.asked(); len(asked) > 0 {
				t.Errorf("the server was asked for %v", asked)
			}
			failed := new(transport.Error)
			if !errors.As(err, &failed) {
				t.Errorf("%v is no transport.Error", err)
			}
			w.judge(err, verdict{any: true})
		})
	}
	t.Run("H-05 from https to http", func(t *testing.T) {
		w, _ := secureWorld(t, a)
		plain := httptest.NewServer(w.server)
		defer plain.Close()
		w.server.lie("releases/", transporttest.Redirect(plain.URL+"/r/x"))
		w.judge(w.update(), verdict{err: transport.ErrRedirect, trusts: atVersion2})
	})
	t.Run("H-07 plain http at the address of https", func(t *testing.T) {
		w, _ := secureWorld(t, a)
		plain := httptest.NewServer(w.server)
		defer plain.Close()
		w.mirrors = []string{"https" + plain.URL[len("http"):] + "/r"}
		w.server.lie("releases/", transporttest.Status(503))
		w.judge(w.update(), verdict{any: true, trusts: atVersion2})
	})
}

// TestHTTP2 has a server that floods the connection with what the protocol has besides
// answers.
func TestHTTP2(t *testing.T) {
	a := newAuthority(t)
	for what, flood := range map[string]func(*http2.Framer, *http2.HeadersFrame) error{
		"H-16 a header without end": func(f *http2.Framer, h *http2.HeadersFrame) error {
			if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: h.StreamID, BlockFragment: []byte{0x40, 1, 'x', 1, 'y'}}); err != nil {
				return err
			}
			block := headerBlock(":status", "200")
			for {
				if err := f.WriteContinuation(h.StreamID, false, append(block, make([]byte, 8000)...)); err != nil {
					return err
				}
			}
		},
		"H-16 resets": func(f *http2.Framer, h *http2.HeadersFrame) error {
			for range 100_000 {
				if err := f.WriteRSTStream(h.StreamID, http2.ErrCodeCancel); err != nil {
					return err
				}
			}
			return nil
		},
		"H-16 pings": func(f *http2.Framer, h *http2.HeadersFrame) error {
			for {
				if err := f.WritePing(false, [8]byte{}); err != nil {
					return err
				}
			}
		},
		"H-16 settings": func(f *http2.Framer, h *http2.HeadersFrame) error {
			for {
				if err := f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
					return err
				}
			}
		},
		"H-16 more than the window": func(f *http2.Framer, h *http2.HeadersFrame) error {
			if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: h.StreamID, BlockFragment: headerBlock(":status", "200"), EndHeaders: true}); err != nil {
				return err
			}
			for {
				if err := f.WriteData(h.StreamID, false, make([]byte, 16<<10)); err != nil {
					return err
				}
			}
		},
		"H-16 goodbye": func(f *http2.Framer, h *http2.HeadersFrame) error {
			return f.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, []byte("\x1b[31mcalm"))
		},
		"H-18 a push": func(f *http2.Framer, h *http2.HeadersFrame) error {
			return f.WritePushPromise(http2.PushPromiseParam{StreamID: h.StreamID, PromiseID: 2, EndHeaders: true,
				BlockFragment: headerBlock(":method", "GET", ":path", "/r/trust/timestamp.json", ":scheme", "https", ":authority", "x")})
		},
		"H-18 an answer to nobody": func(f *http2.Framer, h *http2.HeadersFrame) error {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: h.StreamID + 1000, BlockFragment: headerBlock(":status", "200"), EndHeaders: true})
		},
		"H-16 silence": func(*http2.Framer, *http2.HeadersFrame) error { return nil },
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.opt.StallTime, w.opt.RootCAs = 500*time.Millisecond, a.pool
			w.mirrors = []string{flooding(t, a, flood)}
			w.server.lie("releases/", transporttest.Status(503)) // so the mirror is asked
			w.judge(w.update(), verdict{any: true, trusts: atVersion2})
		})
	}
}

// flooding serves HTTP/2 over TLS, and answers each request by a flood. What remains of
// a connection is read until the client ends it.
func flooding(t *testing.T, a *authority, flood func(*http2.Framer, *http2.HeadersFrame) error) string {
	t.Helper()
	listener := must(tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{a.certificate(func(*x509.Certificate) {})}, NextProtos: []string{"h2"},
	}))(t)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serveFlood(conn, flood)
			}()
		}
	}()
	return "https://" + listener.Addr().String() + "/r"
}

func serveFlood(conn net.Conn, flood func(*http2.Framer, *http2.HeadersFrame) error) {
	if _, err := io.CopyN(io.Discard, conn, int64(len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(conn, conn)
	if framer.WriteSettings() != nil {
		return
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		if headers, ok := frame.(*http2.HeadersFrame); ok {
			go io.Copy(io.Discard, conn) // answers to the flood
			flood(framer, headers)
			break
		}
	}
	io.Copy(io.Discard, conn)
}

// headerBlock encodes names and values.
func headerBlock(pairs ...string) []byte {
	var b writer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(pairs); i += 2 {
		e.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return b
}

type writer []byte

func (w *writer) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

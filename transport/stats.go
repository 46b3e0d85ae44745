package transport

import (
	"context"
	"io"
	"sync/atomic"
)

// Stats counts what really happened on the way, retries and redirects included.
// The zero value is ready; one may serve several transports at once.
type Stats struct {
	Requests atomic.Int64 // requests sent
	Bytes    atomic.Int64 // bytes of bodies received, those thrown away included
}

// Counting counts what t does for its callers in s: a request for each Fetch,
// and the bytes that are read. For transports that do not retry; others count by
// themselves, where it happens.
func Counting(t Transport, s *Stats) Transport { return &counting{t, s} }

type counting struct {
	Transport
	stats *Stats
}

func (c *counting) Fetch(ctx context.Context, req Request) (*Response, error) {
	c.stats.Requests.Add(1)
	res, err := c.Transport.Fetch(ctx, req)
	if err != nil {
		return nil, err
	}
	res.Body = &countingBody{res.Body, c.stats}
	return res, nil
}

// Close closes the transport that is counted, if it can be closed.
func (c *counting) Close() error {
	if closer, ok := c.Transport.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

type countingBody struct {
	io.ReadCloser
	stats *Stats
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.stats.Bytes.Add(int64(n))
	return n, err
}

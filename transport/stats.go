package transport

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// Stats counts what really happened on the way, retries and redirects included.
// The zero value is ready; one may serve several transports at once.
type Stats struct {
	Requests atomic.Int64 // requests sent
	Bytes    atomic.Int64 // bytes of bodies received, those thrown away included

	trip atomic.Int64 // the shortest time from a request to its answer, ns; 0 if none was seen
	wait atomic.Int64 // time spent waiting for bytes of bodies, ns
}

// Link is what was seen of the way to a server.
type Link struct {
	Trip time.Duration `json:"trip"` // round trip; 0 if it is not known
	Rate int64         `json:"rate"` // bytes a second; 0 if it is not known
}

// rateBytes is from when a rate means something, in bytes.
const rateBytes = 1 << 20

// Answered notes how long the beginning of an answer took.
func (s *Stats) Answered(d time.Duration) {
	for {
		old := s.trip.Load()
		if old > 0 && old <= int64(d) || s.trip.CompareAndSwap(old, max(int64(d), 1)) {
			return
		}
	}
}

// Waited notes time that was spent waiting for bytes.
func (s *Stats) Waited(d time.Duration) { s.wait.Add(int64(d)) }

// Link gives what is known by now.
func (s *Stats) Link() Link {
	l := Link{Trip: time.Duration(s.trip.Load())}
	if n, wait := s.Bytes.Load(), s.wait.Load(); n >= rateBytes && wait > 0 {
		l.Rate = int64(float64(n) / float64(wait) * 1e9)
	}
	return l
}

// Price is how many bytes come in the time that a request takes, within limits; least
// if that is not known.
func (l Link) Price(least, most int64) int64 {
	if l.Trip <= 0 || l.Rate <= 0 {
		return least
	}
	price := float64(l.Rate) * l.Trip.Seconds()
	return int64(min(max(price, float64(least)), float64(most)))
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

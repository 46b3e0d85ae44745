package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/larch-project/larch/transport"
)

const (
	maxRedirects = 5
	shortAnswer  = 16 << 10    // bytes of an unwanted text that are read to keep the connection
	shortTime    = time.Second // and for how long
)

// query is what one attempt asks for.
type query struct {
	name    string
	offset  int64
	end     int64  // -1: that of the file
	held    string // validator of the caller's copy
	ifRange string // strong validator of what came before offset
}

func (q query) ranged() bool { return q.offset > 0 || q.end >= 0 }

// attempt is one request, with its redirects, and the answer.
type attempt struct {
	t      *Transport
	ctx    context.Context
	cancel context.CancelCauseFunc

	extent
	mark        mark
	notModified bool

	body     io.ReadCloser
	timer    *time.Timer
	patience time.Duration // time left to wait for bytes
}

// ask makes one attempt. Its errors are those of transport or of net/http.
func (t *Transport) ask(ctx context.Context, q query) (*attempt, error) {
	a := &attempt{t: t, patience: t.opt.StallTime}
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	res, err := a.follow(q)
	if err != nil {
		a.cancel(nil)
		return nil, explain(ctx, err)
	}
	a.body = res.Body
	if err := a.judge(q, res); err != nil {
		a.finish()
		return nil, err
	}
	a.timer = time.AfterFunc(t.opt.StallTime, a.giveUp)
	a.timer.Stop()
	return a, nil
}

// explain gives the context's error if that is the reason, and a stall its name.
// (Timeouts of net/http match context.DeadlineExceeded; ours must not.)
func explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return fmt.Errorf("%w: %v", transport.ErrStalled, err)
	}
	return err
}

// follow sends the request, and again to where redirects point.
func (a *attempt) follow(q query) (*http.Response, error) {
	to := a.t.locate(q.name)
	for range maxRedirects + 1 {
		res, err := a.send(to, q)
		if err != nil {
			return nil, err
		}
		if !redirects(res) {
			return res, nil
		}
		a.body = res.Body
		a.skip()
		if to, err = a.t.redirect(to, res.Header.Get("Location")); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: more than %d, one after the other", transport.ErrRedirect, maxRedirects)
}

func (a *attempt) send(to *url.URL, q query) (*http.Response, error) {
	req, err := http.NewRequestWithContext(a.ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return nil, err
	}
	h := req.Header
	h.Set("User-Agent", a.t.opt.UserAgent)
	h.Set("Accept-Encoding", "identity")
	if a.t.auth != "" && sameOrigin(to, a.t.base) {
		h.Set("Authorization", a.t.auth)
	}
	condition(h, q.held)
	if q.ranged() {
		last := ""
		if q.end >= 0 {
			last = strconv.FormatInt(q.end-1, 10)
		}
		h.Set("Range", fmt.Sprintf("bytes=%d-%s", q.offset, last))
		if q.ifRange != "" {
			h.Set("If-Range", q.ifRange)
		}
	}
	a.t.opt.Stats.Requests.Add(1)
	began := time.Now()
	res, err := a.t.client.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	a.t.opt.Stats.Answered(time.Since(began))
	res.Body = &counted{res.Body, a.t.opt.Stats}
	return res, nil
}

// Read reads from the answer until it takes too long: patience runs while we
// wait, and each byte that comes gives back as much as it may take at the least
// speed, up to StallTime. So a burst does not pay for a long silence, and the
// time that the caller takes between two reads counts for nothing.
func (a *attempt) Read(p []byte) (int, error) {
	began := time.Now()
	a.timer.Reset(a.patience)
	n, err := a.body.Read(p)
	a.timer.Stop()
	a.t.opt.Stats.Waited(time.Since(began))
	earned := time.Duration(float64(n) / float64(a.t.opt.MinSpeed) * float64(time.Second))
	a.patience = min(a.t.opt.StallTime, a.patience-time.Since(began)+earned)
	if err != nil && err != io.EOF {
		if cause := context.Cause(a.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

// giveUp ends a read that has taken too long.
func (a *attempt) giveUp() {
	a.cancel(fmt.Errorf("%w: below %d bytes/s for %v", transport.ErrStalled, a.t.opt.MinSpeed, a.t.opt.StallTime))
}

// close ends the attempt; what was not read is lost, with its connection.
func (a *attempt) close() {
	if a.timer != nil {
		a.timer.Stop()
	}
	a.cancel(nil)
	a.body.Close()
}

// finish ends an attempt of which nothing more is wanted.
func (a *attempt) finish() {
	a.skip()
	a.close()
}

// skip reads the rest of an answer if that is short and quickly there, so that
// its connection can serve again, and closes it.
func (a *attempt) skip() {
	timer := time.AfterFunc(shortTime, func() { a.cancel(nil) })
	defer timer.Stop()
	io.CopyN(io.Discard, a.body, shortAnswer)
	a.body.Close()
}

// counted counts the bytes of a body as they come.
type counted struct {
	io.ReadCloser
	stats *transport.Stats
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.stats.Bytes.Add(int64(n))
	return n, err
}

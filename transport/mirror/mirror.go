// Package mirror makes one transport of several that serve the same repository.
//
// A file that never changes is asked of the first mirror that is well, and of the
// next one on any error or when it is missing; a body that breaks goes on from
// where it was on another mirror, if that has a file of the same size. What
// changes, the signed head, is asked of the primary, so that a mirror which lags
// behind is not believed while the primary can be asked; and what the primary
// says is missing is missing.
//
// A mirror that fails is left alone for a while, so that one which is down costs
// one failure and not one a file. It is asked in that time only when no other
// could help. That goes for the primary too.
//
// No mirror is trusted more than another: callers verify what they get, and tell when
// it was wrong (Response.Refuse), which counts as a failure.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/larch-project/larch/transport"
)

const maxRest = 10 * time.Minute

// Options are choices for New.
type Options struct {
	// Head tells which names are those of files that change: what is below
	// trust/. Nil: none.
	Head func(name string) bool

	// Rest is how long a mirror is left alone after it failed: default 30 s,
	// and double after each further failure, up to 10 minutes.
	Rest time.Duration
}

// Transport asks several transports.
type Transport struct {
	members []*member // the primary first
	opt     Options
}

// member is one of the transports, and how it fares.
type member struct {
	transport.Transport
	primary bool

	mu       sync.Mutex
	failures int       // since it last answered
	until    time.Time // left alone until then
	refused  bool      // for what it gave: until then answers do not make it well
}

// New makes one transport of a primary and others, which are asked in their
// order. They should retry little by themselves: another mirror is the better
// retry. The transport takes them over: Close closes them.
func New(primary transport.Transport, others []transport.Transport, opt Options) *Transport {
	if opt.Head == nil {
		opt.Head = func(string) bool { return false }
	}
	if opt.Rest <= 0 {
		opt.Rest = 30 * time.Second
	}
	t := &Transport{members: []*member{{Transport: primary, primary: true}}, opt: opt}
	for _, other := range others {
		t.members = append(t.members, &member{Transport: other})
	}
	return t
}

// Fetch implements transport.Transport. If all mirrors fail, the error is that of
// the first which failed otherwise than by not having the file, since it may have
// it; for the head, that of one which says that the file is missing.
func (t *Transport) Fetch(ctx context.Context, req transport.Request) (*transport.Response, error) {
	if err := req.Check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	m, res, err := t.first(ctx, req)
	if err != nil || res.NotModified {
		cancel()
		return res, err
	}
	b := &body{
		t: t, ctx: ctx, cancel: cancel, name: req.Name,
		fixed: !t.opt.Head(req.Name) && res.Size >= 0, size: res.Size, limit: -1,
		from: res.Body, used: []*member{m}, pos: res.Offset,
	}
	if res.Offset == req.Offset {
		b.limit = req.End()
	}
	whole := *res
	whole.Body, whole.Refuse = b, b.refuse
	return &whole, nil
}

// first asks one member after the other until one has an answer. That a file of
// the head is missing is the primary's word; while the primary fails, it is that
// of the mirrors which are well, and the others are not asked again for it.
func (t *Transport) first(ctx context.Context, req transport.Request) (*member, *transport.Response, error) {
	head := t.opt.Head(req.Name)
	var missing, failed []error
	for _, m := range t.order() {
		if head && len(missing) > 0 && m.rests(time.Now()) {
			break
		}
		res, err := t.ask(ctx, m, req)
		switch {
		case err == nil:
			return m, res, nil
		case ctx.Err() != nil:
			return nil, nil, err
		case !errors.Is(err, fs.ErrNotExist):
			failed = append(failed, err)
			continue
		case head && m.primary:
			return nil, nil, err
		}
		missing = append(missing, err)
	}
	if head {
		return nil, nil, summary(append(missing, failed...))
	}
	return nil, nil, summary(append(failed, missing...))
}

// Close closes the members that can be closed.
func (t *Transport) Close() error {
	var failures []error
	for _, m := range t.members {
		if closer, ok := m.Transport.(io.Closer); ok {
			failures = append(failures, closer.Close())
		}
	}
	return errors.Join(failures...)
}

// ask fetches from one member and remembers how that went.
func (t *Transport) ask(ctx context.Context, m *member, req transport.Request) (*transport.Response, error) {
	res, err := m.Fetch(ctx, req)
	t.note(ctx, m, err)
	return res, err
}

// order gives the members that are well, then those that are left alone.
func (t *Transport) order() []*member {
	now := time.Now()
	var well, resting []*member
	for _, m := range t.members {
		if m.rests(now) {
			resting = append(resting, m)
		} else {
			well = append(well, m)
		}
	}
	return append(well, resting...)
}

func (m *member) rests(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return now.Before(m.until)
}

// note remembers a success or a failure. What says something about one file only
// is neither, nor is the caller's change of mind.
func (t *Transport) note(ctx context.Context, m *member, err error) {
	if ctx.Err() != nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, transport.ErrRange) ||
		errors.Is(err, transport.ErrChanged) {
		return
	}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused = now.Before(m.until) && m.refused || err == errWrong
	switch {
	case err == nil && m.refused:
	case err == nil:
		m.failures, m.until = 0, time.Time{}
	case now.Before(m.until): // of those who asked at the same time one counts
	default:
		rest := maxRest
		if m.failures < 16 {
			rest = min(t.opt.Rest<<m.failures, maxRest)
		}
		m.failures++
		m.until = now.Add(rest)
	}
}

// summary makes one error of those of all members; the first counts.
func summary(failures []error) error {
	if len(failures) == 1 {
		return failures[0]
	}
	return fmt.Errorf("%w; %d more could not help either", failures[0], len(failures)-1)
}

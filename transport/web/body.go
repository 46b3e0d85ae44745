package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync"

	"github.com/larch-project/larch/transport"
)

// errEarly: the server stopped where it should not have.
var errEarly = errors.New("connection ended too early")

// body is a file on its way; it outlives the connections that it comes by.
type body struct {
	t      *Transport
	ctx    context.Context // ended by Close
	cancel context.CancelFunc
	name   string

	mu     sync.Mutex // held while reading
	budget budget
	from   *attempt // nil: broken
	broken error    // why
	pos    int64    // of the next byte, in the file
	limit  int64    // end of the range; -1: none but the file's end
	size   int64    // of the file; -1 unknown
	mark   mark     // of the content that the caller has had so far
	err    error    // io.EOF, or what callers get from now on
}

// begin asks until there is an answer, and hands it on.
func (t *Transport) begin(ctx context.Context, req transport.Request) (*transport.Response, error) {
	b := &body{t: t, name: req.Name, budget: budget{
		retries: t.opt.Retries,
		enough:  max(1, int64(float64(t.opt.MinSpeed)*t.opt.StallTime.Seconds())),
		random:  t.random,
	}}
	b.ctx, b.cancel = context.WithCancel(ctx)
	q := query{name: req.Name, offset: req.Offset, end: req.End(), held: req.Validator}
	if err := b.open(q); err != nil {
		b.cancel()
		return nil, b.fail(err)
	}
	if b.from.notModified {
		b.from.finish()
		b.cancel()
		return &transport.Response{Body: http.NoBody, Size: -1, Validator: req.Validator, NotModified: true}, nil
	}
	b.accept(q)
	return &transport.Response{
		Body:      b,
		Offset:    b.pos,
		Size:      b.size,
		Validator: b.mark.validator(),
	}, nil
}

// open asks until there is an answer or no point in asking.
func (b *body) open(q query) error {
	for {
		a, err := b.t.ask(b.ctx, q)
		if err == nil {
			b.from = a
			return nil
		}
		if err := b.budget.spend(b.ctx, err); err != nil {
			return err
		}
	}
}

// accept takes the first answer for what it says it is.
func (b *body) accept(q query) {
	a := b.from
	b.pos, b.limit, b.size, b.mark = a.start, -1, a.size, a.mark
	if a.start == q.offset {
		b.limit = q.end
	}
	if a.size < 0 && a.end >= 0 {
		b.limit = a.end
	}
}

// end is where the body has to end, -1 if only the server knows. A part that
// ends before it is allowed, and asked for again.
func (b *body) end() int64 {
	if b.limit < 0 || b.size < 0 {
		return max(b.limit, b.size)
	}
	return min(b.limit, b.size)
}

// Read implements io.Reader. Its errors are *transport.Error.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.err == nil && len(p) > 0 {
		if err := b.ctx.Err(); err != nil {
			b.stop(err)
			break
		}
		if b.from == nil {
			b.resume()
			continue
		}
		n, err := b.from.Read(b.clip(p))
		b.pos += int64(n)
		b.budget.move(n)
		b.settle(err)
		if n > 0 {
			return n, nil
		}
	}
	return 0, b.err
}

// clip shortens p to what is still wanted: a server may send more.
func (b *body) clip(p []byte) []byte {
	if end := b.end(); end >= 0 && int64(len(p)) > end-b.pos {
		return p[:end-b.pos]
	}
	return p
}

// settle decides, after a read, whether the body is complete or broken.
func (b *body) settle(err error) {
	switch {
	case b.pos == b.end():
		b.from.finish()
		b.stop(io.EOF)
	case err == io.EOF && b.from.end < 0 && b.size < 0:
		b.stop(io.EOF)
	case err != nil:
		b.from.close()
		b.from, b.broken = nil, b.reason(err)
	}
}

// reason names an end of the connection for what it is.
func (b *body) reason(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: after %d bytes", errEarly, b.pos)
	}
	return explain(b.ctx, err)
}

// stop ends the body for good.
func (b *body) stop(err error) {
	if err != io.EOF {
		err = b.fail(err)
	}
	if b.from != nil {
		b.from.close()
		b.from = nil
	}
	b.err = err
	b.cancel()
}

// resume goes on after a break, on a new connection.
func (b *body) resume() {
	err := b.budget.spend(b.ctx, b.broken)
	if err == nil {
		err = b.open(query{name: b.name, offset: b.pos, end: b.limit, ifRange: b.mark.strong()})
	}
	if err == nil {
		err = b.rejoin()
	}
	if err != nil {
		b.stop(err)
	}
}

// rejoin checks that the new answer continues what came before it, and goes to
// the place in it if the server has no ranges. A break on that way is another
// break of the body.
func (b *body) rejoin() error {
	a := b.from
	if a.mark.contradicts(b.mark) || a.size >= 0 && (a.size < b.pos || b.size >= 0 && b.size != a.size) {
		return transport.ErrChanged
	}
	b.size = max(b.size, a.size)
	if a.start == b.pos {
		return nil
	}
	b.budget.enough = math.MaxInt64 // what is read again and again is no progress
	n, err := io.CopyN(io.Discard, a, b.pos)
	switch {
	case err == nil:
	case err == io.EOF && a.end < 0:
		return fmt.Errorf("%w: it has %d bytes now", transport.ErrChanged, n)
	default:
		a.close()
		b.from, b.broken = nil, b.reason(err)
	}
	return nil
}

func (b *body) fail(err error) error { return b.t.fail(b.name, b.budget.tries+1, err) }

// Close ends the body, and a Read that waits.
func (b *body) Close() error {
	b.cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.stop(context.Canceled)
	}
	return nil
}

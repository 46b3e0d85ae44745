package mirror

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/larch-project/larch/transport"
)

// body is a file that comes from one member, and from the next if that breaks.
type body struct {
	t      *Transport
	ctx    context.Context // ended by Close
	cancel context.CancelFunc
	name   string
	fixed  bool  // content never changes: others can continue it
	size   int64 // of the file, if fixed
	limit  int64 // end of the range; -1: that of the file

	mu   sync.Mutex // held while reading
	from io.ReadCloser
	used []*member // the last one is being read; the others broke
	pos  int64     // of the next byte, in the file
	err  error     // for good
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.err == nil {
		n, err := b.from.Read(b.clip(p))
		b.pos += int64(n)
		switch {
		case err == io.EOF || err == nil && b.pos == b.limit:
			b.err = io.EOF
		case err != nil && !b.change(err):
			b.err = err
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, b.err
}

// clip shortens p to what is wanted: a member without ranges gives more.
func (b *body) clip(p []byte) []byte {
	if b.limit >= 0 && int64(len(p)) > b.limit-b.pos {
		return p[:b.limit-b.pos]
	}
	return p
}

// change goes on with another member after an error of the present one, and
// tells whether there is one.
func (b *body) change(err error) bool {
	b.t.note(b.ctx, b.used[len(b.used)-1], err)
	if b.ctx.Err() != nil || !b.fixed {
		return false
	}
	req := transport.Request{Name: b.name, Offset: b.pos}
	if b.limit >= 0 {
		req.Length = b.limit - b.pos
	}
	for _, m := range b.t.order() {
		if slices.Contains(b.used, m) {
			continue
		}
		b.used = append(b.used, m)
		if res, err := b.t.ask(b.ctx, m, req); err == nil {
			if b.join(res) {
				return true
			}
			res.Body.Close()
		}
	}
	return false
}

// join takes over a member's answer if that continues what was read so far.
func (b *body) join(res *transport.Response) bool {
	if res.Size != b.size || res.NotModified {
		return false
	}
	if res.Offset != b.pos {
		if _, err := io.CopyN(io.Discard, res.Body, b.pos-res.Offset); err != nil {
			return false
		}
	}
	b.from.Close()
	b.from = res.Body
	return true
}

// errWrong is what is wrong with a member whose bytes were refused.
var errWrong = errors.New("not what was signed")

// refuse counts as a failure of all who gave something, and tells whether somebody is
// well who did not.
func (b *body) refuse() bool {
	b.mu.Lock()
	used := slices.Clone(b.used)
	b.mu.Unlock()
	for _, m := range used {
		b.t.note(context.Background(), m, errWrong)
	}
	now := time.Now()
	return slices.ContainsFunc(b.t.members, func(m *member) bool { return !m.rests(now) })
}

// Close ends the body, and a Read that waits.
func (b *body) Close() error {
	b.cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = context.Canceled
	}
	return b.from.Close()
}

// Package bounded reads what a stranger sends, up to a limit and not beyond.
package bounded

import (
	"errors"
	"fmt"
	"io"
)

// ErrTooLarge is matched when there was more than the limit allows.
var ErrTooLarge = errors.New("larger than allowed")

// ReadAll reads r to its end, at most limit bytes; it reads one byte more to
// tell, and memory grows only with what has come.
func ReadAll(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: limit %d bytes", ErrTooLarge, limit)
	}
	return data, err
}

// Reader gives r's bytes and then, if there are more than limit, ErrTooLarge
// instead of an end.
func Reader(r io.Reader, limit int64) io.Reader { return &reader{r, limit, limit} }

type reader struct {
	r           io.Reader
	left, limit int64
}

func (b *reader) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("%w: limit %d bytes", ErrTooLarge, b.limit)
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n + int(b.left), fmt.Errorf("%w: limit %d bytes", ErrTooLarge, b.limit)
	}
	return n, err
}

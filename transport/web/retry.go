package web

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/larch-project/larch/transport"
)

const (
	firstPause = 250 * time.Millisecond
	maxPause   = 30 * time.Second
	maxWait    = time.Minute // asked for by Retry-After; more is not worth waiting for
)

// budget is how much patience a body has left. It is the body's alone.
type budget struct {
	retries int            // without progress
	enough  int64          // bytes that are progress
	random  func() float64 // 0 to below 1

	tries  int   // without progress so far
	stalls int   // of these
	moved  int64 // bytes since the last try
}

// move notes that bytes came. A stall is forgiven only after much more than comes
// on a connection that is just below the floor before it counts as stalled.
func (b *budget) move(n int) {
	if b.moved += int64(n); b.moved >= b.enough {
		b.tries = 0
	}
	if b.moved/32 >= b.enough {
		b.stalls = 0
	}
}

// spend waits until it is time to try again after an error. It returns that
// error if there is no point in trying, or the context's if that ends.
func (b *budget) spend(ctx context.Context, err error) error {
	if b.tries >= max(b.retries, 0) || !retryable(err) {
		return err
	}
	if errors.Is(err, transport.ErrStalled) {
		if b.stalls++; b.stalls > 1 {
			return err
		}
	}
	pause, ok := b.pause(err)
	if !ok {
		return err
	}
	b.tries, b.moved = b.tries+1, 0
	return sleep(ctx, pause)
}

// pause is how long to wait before the next try; false if the server wants more
// time than we have.
func (b *budget) pause(err error) (time.Duration, bool) {
	pause := maxPause
	if b.tries < 16 {
		pause = min(firstPause<<b.tries, maxPause)
	}
	pause = pause/2 + time.Duration(b.random()*float64(pause/2))
	if status, ok := errors.AsType[*transport.StatusError](err); ok {
		return status.RetryAfter + pause, status.RetryAfter <= maxWait
	}
	if b.tries == 0 && b.moved >= b.enough {
		return 0, true // broken in the middle of good work: go on at once
	}
	return pause, true
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// retryable tells whether the same request may succeed a moment later. Whatever
// is not known to be final is: net/http has no types for broken connections.
func retryable(err error) bool {
	if status, ok := errors.AsType[*transport.StatusError](err); ok {
		return status.Temporary()
	}
	for _, final := range []error{
		context.Canceled, context.DeadlineExceeded, http.ErrSchemeMismatch,
		transport.ErrRange, transport.ErrChanged, transport.ErrRedirect, transport.ErrAnswer,
	} {
		if errors.Is(err, final) {
			return false
		}
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return !dns.IsNotFound
	}
	return !untrusted(err)
}

// untrusted tells whether err is a certificate that we do not accept, or a peer
// that does not speak TLS.
func untrusted(err error) bool {
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, hostname := errors.AsType[x509.HostnameError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	op, _ := errors.AsType[*net.OpError](err)
	alert := op != nil && op.Op == "remote error" // crypto/tls: the peer refused us
	return verification || authority || hostname || invalid || record || alert
}

// retryAfter reads a Retry-After header: seconds or a date; 0 if there is none
// that makes sense. (RFC 9110 §10.2.3)
func retryAfter(value string, now time.Time) time.Duration {
	const ages = 100 * 365 * 24 * time.Hour
	digits := value != "" && strings.Trim(value, "0123456789") == ""
	if digits {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(ages/time.Second) {
			return ages
		}
		return time.Duration(seconds) * time.Second
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(0, date.Sub(now).Round(time.Second))
}

package transport

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"time"
)

// Errors that callers may act on. A missing file matches fs.ErrNotExist, a
// refusal for lack of credentials fs.ErrPermission, the end of the context
// context.Canceled or context.DeadlineExceeded.
var (
	// ErrName: the name cannot be that of a file in a repository.
	ErrName = errors.New("not the name of a file in a repository")

	// ErrStalled: no connection or no answer in time, or bytes came more slowly
	// than the floor. Another mirror may do better.
	ErrStalled = errors.New("server does not answer, or too slowly")

	// ErrRange: the file has no such range, or the server sent another one.
	ErrRange = errors.New("server has no such range")

	// ErrChanged: a connection broke, and what the server has now is another
	// file than what it began to send. Fetching it anew may work.
	ErrChanged = errors.New("file changed while it was fetched")

	// ErrRedirect: the server pointed to where we do not go.
	ErrRedirect = errors.New("refused redirect")

	// ErrAnswer: the server broke the rules of spec/6-transport.md otherwise.
	ErrAnswer = errors.New("server gave an answer that makes no sense")
)

// StatusError is an answer other than the file. It matches fs.ErrNotExist for
// 404 and 410, fs.ErrPermission for 401, 403 and 407, ErrRange for 416.
type StatusError struct {
	Code int // of HTTP

	// RetryAfter is how long the server asked to be left alone, 0 if it did not.
	RetryAfter time.Duration
}

// Error implements error. It holds none of the server's text.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("server answered %d", e.Code)
	if name := http.StatusText(e.Code); name != "" {
		text += " " + name
	}
	if e.RetryAfter > 0 {
		text += fmt.Sprintf(" and asked to wait %v", e.RetryAfter)
	}
	return text
}

// Is implements the interface that errors.Is looks for.
func (e *StatusError) Is(target error) bool {
	switch e.Code {
	case http.StatusNotFound, http.StatusGone:
		return target == fs.ErrNotExist
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return target == fs.ErrPermission
	case http.StatusRequestedRangeNotSatisfiable:
		return target == ErrRange
	}
	return false
}

// Temporary tells whether the same request may succeed later: 408, 429 and most
// of 5xx.
func (e *StatusError) Temporary() bool {
	switch e.Code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return e.Code >= 500 && e.Code <= 599
}

// Error is how a transport reports that it could not fetch a file.
type Error struct {
	Name  string // of the file
	From  string // the repository's address or folder, without credentials
	Tries int    // requests made in vain since bytes last came; 0: not counted
	Err   error
}

// Error says what was being fetched, from where, what went wrong and what to do.
func (e *Error) Error() string {
	text := fmt.Sprintf("fetching %s from %s: %v", e.Name, e.From, e.Err)
	if e.Tries > 1 {
		text += fmt.Sprintf(" (%d tries)", e.Tries)
	}
	if what := advice(e.Err); what != "" {
		text += "; " + what
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// advice says what somebody who sees err can do. It is empty where that depends
// on what the file is for.
func advice(err error) string {
	status, _ := errors.AsType[*StatusError](err)
	_, network := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, fs.ErrNotExist):
		return ""
	case errors.Is(err, ErrStalled), errors.Is(err, context.DeadlineExceeded):
		return "check the network, try again later, or use a mirror"
	case errors.Is(err, ErrChanged):
		return "try again"
	case errors.Is(err, ErrRange), errors.Is(err, ErrAnswer):
		return "check that the address is that of a repository, or use a mirror"
	case errors.Is(err, ErrRedirect):
		return "use the address that the repository has now"
	case errors.Is(err, fs.ErrPermission):
		return "check the token, the netrc file, or who may read the repository"
	case status != nil && status.Temporary():
		return "try again later, or use a mirror"
	case network:
		return "check the address and the network"
	}
	return ""
}

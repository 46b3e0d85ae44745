package transport

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strings"
	"unicode"
)

// Limits on what callers hand in (spec/6-transport.md §6.1, §6.3).
const (
	MaxName      = 1024 // bytes of a name
	MaxValidator = 512  // bytes of a validator
)

// Transport fetches files of one repository. Implementations are safe for
// concurrent use; those that hold something (connections, a folder's handle)
// also implement io.Closer, to be closed when no Body is in use any more.
type Transport interface {
	// Fetch begins to fetch a file or a range of it, and returns when it knows
	// what it will get. ctx also governs the Body: when ctx ends, so do reads.
	//
	// A missing file is an error that matches fs.ErrNotExist; the other errors
	// that callers may act on are listed with the package's variables.
	Fetch(ctx context.Context, req Request) (*Response, error)
}

// Request names what is wanted. Request{Name: name} is the whole file.
type Request struct {
	Name   string // slash-separated, relative to the repository: see CheckName
	Offset int64  // of the first byte wanted
	Length int64  // bytes wanted; 0 or less: to the end of the file

	// Validator, if not empty, is that of the copy the caller holds: if the
	// file is still the same, the Response says NotModified and has no bytes.
	// One that came from another server is harmless: it does not match.
	Validator string
}

// Response is the beginning of an answer.
type Response struct {
	// Body holds the bytes from Offset on. It ends where the range does or
	// where the file does, whichever is first; but when Offset is not the one
	// that was asked for, the server has no ranges, and Body is the whole file.
	// How much a server sends is its own choice: a caller reads at most what it
	// expects. Body is never nil, has one reader at a time, and must be closed,
	// which may be done at any time from anywhere and ends a Read.
	//
	// A clean end is never reported before the end that the server announced.
	Body io.ReadCloser

	// Offset is where Body starts: the offset asked for, or 0.
	Offset int64

	// Size is that of the whole file in bytes as the server says, -1 if it does
	// not. Untrusted.
	Size int64

	// Validator stands for this content of this file on this server; empty if
	// the server gives none. At most MaxValidator bytes of printable ASCII.
	Validator string

	// NotModified: the file is the one that Request.Validator stands for.
	NotModified bool

	// Refuse, if not nil, tells the transport that what Body gave is not what signed
	// metadata names. Others than the server that gave it are asked first from now
	// on; it tells whether there is one, so that asking again makes sense. It may be
	// called from anywhere, after Close too.
	Refuse func() bool
}

// Refused calls Refuse, if there is one.
func (r *Response) Refused() bool { return r.Refuse != nil && r.Refuse() }

// Whole tells whether the request is for the whole file.
func (r Request) Whole() bool { return r.Offset == 0 && r.Length <= 0 }

// End is the offset behind the last byte wanted, -1 for the end of the file.
func (r Request) End() int64 {
	if r.Length <= 0 {
		return -1
	}
	return r.Offset + r.Length
}

// Check reports a request that no transport may carry out: a name that
// CheckName refuses (the error matches ErrName), an impossible range, or a
// validator that no transport can have given.
func (r Request) Check() error {
	if err := CheckName(r.Name); err != nil {
		return err
	}
	if r.Offset < 0 || r.Length > 0 && r.Offset > math.MaxInt64-r.Length {
		return fmt.Errorf("fetching %s: %d bytes from offset %d: %w", r.Name, r.Length, r.Offset, fs.ErrInvalid)
	}
	if r.Validator != "" && !ValidValidator(r.Validator) {
		return fmt.Errorf("fetching %s: validator %.64q: %w", r.Name, r.Validator, fs.ErrInvalid)
	}
	return nil
}

// CheckName reports whether name can name a file of a repository: parts
// separated by single slashes, none of them "", "." or "..", all printable
// UTF-8 without backslash, at most MaxName bytes. The error matches ErrName.
// (spec/6-transport.md §6.1)
func CheckName(name string) error {
	odd := func(r rune) bool { return !unicode.IsPrint(r) || r == '\\' }
	if len(name) > MaxName || name == "." || !fs.ValidPath(name) || strings.ContainsFunc(name, odd) {
		return fmt.Errorf("%.128q: %w", name, ErrName)
	}
	return nil
}

// ValidValidator tells whether s can be a validator: 1 to MaxValidator bytes of
// printable ASCII. Transports pass on no other.
func ValidValidator(s string) bool {
	odd := func(r rune) bool { return r < ' ' || r > '~' }
	return s != "" && len(s) <= MaxValidator && !strings.ContainsFunc(s, odd)
}

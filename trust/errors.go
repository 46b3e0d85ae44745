package trust

import (
	"errors"
	"fmt"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/larch-project/larch/digest"
)

// What is wrong with metadata or with a key. Each is matched with errors.Is; the
// text of the error says what to do. Metadata that is missing matches
// fs.ErrNotExist, and metadata that is not what signed metadata names matches
// digest.ErrMismatch.
var (
	// ErrExpired: the metadata was right once, but its time is over.
	ErrExpired = errors.New("has expired")
	// ErrRollback: older than, or in contradiction to, what was trusted before.
	ErrRollback = errors.New("goes back behind what was trusted before")
	// ErrSignature: not signed by enough of the keys that are trusted for it.
	ErrSignature = errors.New("is not signed by the trusted keys")
	// ErrFingerprint: no root is signed by the key of this fingerprint.
	ErrFingerprint = errors.New("root key not found")
	// ErrFormat: not metadata in its one form, or beyond a limit.
	ErrFormat = errors.New("is not valid metadata")
	// ErrKey: the private key that is needed is not in the key folder.
	ErrKey = errors.New("private key is not here")
	// ErrKeyFile: a key file or folder that others can read, or that holds no key.
	ErrKeyFile = errors.New("key file cannot be used")
	// ErrPassphrase: a key file is protected and the passphrase missing or wrong.
	ErrPassphrase = errors.New("passphrase is missing or wrong")
)

// Error says which metadata file is wrong and how. It matches its Kind.
type Error struct {
	File   string // within the repository, such as trust/timestamp.json
	Kind   error  // ErrExpired, ErrRollback, ErrSignature, ErrFormat or digest.ErrMismatch
	Detail string // safe to print
}

func (e *Error) Error() string {
	parts := []string{fmt.Sprintf("%s %v", e.File, e.Kind), e.Detail, advice(e.Kind)}
	if e.Detail == "" {
		parts = append(parts[:1], parts[2])
	}
	return strings.Join(parts, ": ")
}

// Unwrap gives the kind.
func (e *Error) Unwrap() error { return e.Kind }

// advice says what somebody who meets this kind of error can do.
func advice(kind error) string {
	switch kind {
	case ErrExpired:
		return "check this machine's clock; if it is right, ask the publisher to run `larch repo refresh`"
	case ErrRollback:
		return "the server or mirror may be out of date or lying: try again later or elsewhere, and ask the publisher if it stays so"
	case ErrSignature:
		return "do not trust this server; ask the publisher whether the keys were changed"
	case digest.ErrMismatch:
		return "the server may be in the middle of an update: try again in a few minutes"
	}
	return "the server may not be a Larch repository, or the file is damaged: check the address, or run `larch check` on the repository"
}

// problem makes an *Error.
func problem(file string, kind error, format string, args ...any) error {
	return &Error{File: file, Kind: kind, Detail: fmt.Sprintf(format, args...)}
}

// refused turns what go-tuf says about a file into an *Error of our kinds. The
// documents were checked by parse before, so that what is left is about
// signatures, versions, hashes and time.
func refused(file string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, &metadata.ErrExpiredMetadata{}):
		return &Error{File: file, Kind: ErrExpired}
	case errors.Is(err, &metadata.ErrBadVersionNumber{}):
		return &Error{File: file, Kind: ErrRollback, Detail: err.Error()}
	case errors.Is(err, &metadata.ErrLengthOrHashMismatch{}):
		return &Error{File: file, Kind: digest.ErrMismatch, Detail: err.Error()}
	case errors.Is(err, &metadata.ErrUnsignedMetadata{}):
		return &Error{File: file, Kind: ErrSignature, Detail: err.Error()}
	case errors.Is(err, &metadata.ErrRepository{}) && strings.Contains(err.Error(), "missing info"):
		return &Error{File: file, Kind: ErrRollback, Detail: err.Error()}
	}
	return &Error{File: file, Kind: ErrFormat, Detail: fmt.Sprintf("%.200q", err.Error())}
}

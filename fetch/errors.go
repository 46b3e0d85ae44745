package fetch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/transport"
)

// DamageError says that a pack is not what the release needs: the repository or
// a copy of it is damaged there, or its index is wrong. Wrong bytes match
// digest.ErrMismatch, a missing pack fs.ErrNotExist.
type DamageError struct {
	Pack   digest.Digest
	Offset int64 // of the frame at which it was noticed, bytes; of a content of several it may be another
	Err    error
}

// Error names the file of the repository and the place in it.
func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged at byte %d: %v", repo.PackName(e.Pack), e.Offset, e.Err)
}

// Unwrap gives the cause.
func (e *DamageError) Unwrap() error { return e.Err }

var (
	errFrame = fmt.Errorf("%w: the frame does not decompress", digest.ErrMismatch)
	errShort = fmt.Errorf("%w: the pack ends too early", digest.ErrMismatch)
)

// asDamage tells an error of reading a pack that says something about the pack
// from one that says something about the server or this machine.
func asDamage(err error) (error, bool) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return err, true
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errShort, true
	case errors.Is(err, transport.ErrRange), errors.Is(err, transport.ErrChanged):
		return fmt.Errorf("%w: %w", digest.ErrMismatch, err), true
	}
	return err, false
}

// storeFailed tells whether err means that the store takes nothing more, from
// wherever it may come.
func storeFailed(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, store.ErrReadOnly)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/larch-project/larch/convert/btrfssend"
	"github.com/larch-project/larch/convert/tarball"
	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/install"
	"github.com/larch-project/larch/internal/bounded"
	"github.com/larch-project/larch/internal/erofs"
	"github.com/larch-project/larch/internal/pool"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/sandbox"
	"github.com/larch-project/larch/store"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/tree"
	"github.com/larch-project/larch/trust"
)

// Exit codes are interface; docs/json.md.
const (
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
	exitTrust    = 4
	exitNetwork  = 5
	exitDisk     = 6
	exitDeclined = 7
	exitDamage   = 8
)

var (
	// errDeclined means that the user said no, or could not be asked.
	errDeclined = errors.New("declined")
	// errDamage means that a check found something; it was printed already.
	errDamage = errors.New("damage found")
)

// partialError is why a part was not done of a verb that has printed its document
// already.
type partialError struct{ err error }

func (e *partialError) Error() string { return e.err.Error() }

func (e *partialError) Unwrap() error { return e.err }

// outcome says what an error means for the caller, and what to do next; hint is
// empty where the error says so itself.
type outcome struct {
	is   []error
	code int
	hint string
}

// outcomes are tried in order: the first that an error matches counts.
func outcomes() []outcome {
	return []outcome{
		{[]error{context.Canceled, context.DeadlineExceeded}, exitDeclined, "nothing was changed; what was fetched is kept, and the next run goes on from there"},
		{[]error{errDeclined}, exitDeclined, ""},
		{[]error{errDamage}, exitDamage, ""},
		{[]error{release.ErrVersion}, exitUsage, ""},
		{[]error{pool.ErrFull}, exitDisk, "free some space on the disk below the pool, and run the command again: it goes on from where it was"},
		{[]error{pool.ErrUnmounted}, exitDisk, "larch pool mount; or remove the empty folder, if the pool is gone for good"},
		{[]error{syscall.ENOSPC, syscall.EDQUOT}, exitDisk, "free some space (larch gc helps) and run the command again: it goes on from where it was"},
		{[]error{syscall.EROFS}, exitDisk, "the file system is read-only; choose another folder with --root"},
		{[]error{syscall.EXDEV}, exitDisk, "all folders of an installation, its store and its deployments, must be on one file system"},
		{[]error{syscall.EIO}, exitDisk, "the disk reports errors: look at the kernel's log, and run larch verify"},
		{[]error{deploy.ErrUnmounted}, exitFailed, "\"larch mount --system --all\", run by root, mounts what a restart has left unmounted"},
		{[]error{deploy.ErrDamaged}, exitDamage, "larch verify --repair makes it again"},
		{[]error{trust.ErrExpired, trust.ErrRollback, trust.ErrSignature, trust.ErrFingerprint}, exitTrust, ""},
		{[]error{digest.ErrMismatch}, exitTrust, "the server or a mirror gives wrong bytes: try again, or ask the publisher to run larch check"},
		{[]error{trust.ErrFormat, repo.ErrIndex, repo.ErrDelta, release.ErrFormat, tree.ErrFormat, bounded.ErrTooLarge}, exitTrust, "the server gives something else than a repository: check its address"},
		{[]error{install.ErrRelease}, exitTrust, "tell the publisher; nothing was changed"},
		{[]error{install.ErrNotInstalled}, exitNotFound, "larch list shows what is installed"},
		{[]error{install.ErrUnknownVersion}, exitNotFound, "larch info shows the newest version"},
		{[]error{repo.ErrUnknownRelease}, exitNotFound, "larch repo log lists the versions"},
		{[]error{install.ErrUnknownRemote}, exitNotFound, "larch remote list shows those that are trusted"},
		{[]error{install.ErrArgument, install.ErrRemoteFile}, exitUsage, ""},
		{[]error{install.ErrOwner, install.ErrFormat, store.ErrReadOnly}, exitDisk, ""},
		{[]error{install.ErrRemoteExists, install.ErrOtherRemote, install.ErrRequired, install.ErrNothingToUndo, install.ErrBackend, deploy.ErrInUse}, exitFailed, ""},
		{[]error{sandbox.ErrNoBubblewrap, sandbox.ErrUnusable}, exitFailed, "or run it without isolation, if you trust it with all that is yours: larch run --no-sandbox"},
		{[]error{release.ErrUnknownRef}, exitNotFound, "larch search shows what the remotes have, larch remote list which remotes there are"},
		{[]error{release.ErrAmbiguous}, exitNotFound, "say more of it, such as kind/id/arch/channel"},
		{[]error{release.ErrRef}, exitUsage, ""},
		{[]error{pool.ErrNone}, exitNotFound, "larch pool create makes one"},
		{[]error{pool.ErrRefused}, exitFailed, ""},
		{[]error{install.ErrNotRoot}, exitFailed, "larch path says where an installed release is already, larch run needs no mount"},
		{[]error{install.ErrNoPlace, install.ErrNotMounted, install.ErrPoint, erofs.ErrFormat, erofs.ErrTooLarge}, exitFailed, ""},
		{[]error{btrfssend.ErrSubvolume}, exitNotFound, ""},
		{[]error{btrfssend.ErrName}, exitUsage, ""},
		{[]error{btrfssend.ErrFormat, btrfssend.ErrParent, tarball.ErrFormat, repo.ErrFormat, repo.ErrExists, repo.ErrVersion, repo.ErrMetadata}, exitFailed, ""},
		{[]error{trust.ErrKey, trust.ErrKeyFile, trust.ErrPassphrase}, exitFailed, "say where the keys are with --keys"},
	}
}

// judge gives exit code and hint for an error.
func judge(err error) (code int, hint string) {
	var wrong *usageError
	if errors.As(err, &wrong) {
		return exitUsage, ""
	}
	for _, o := range outcomes() {
		for _, is := range o.is {
			if errors.Is(err, is) {
				return o.code, o.hint
			}
		}
	}
	var failed *transport.Error
	if errors.As(err, &failed) {
		return exitNetwork, "" // it says what to do
	}
	if errors.Is(err, fs.ErrPermission) {
		return exitDisk, "the user who runs larch may not write there; choose another folder with --root"
	}
	if errors.Is(err, fs.ErrNotExist) {
		return exitNotFound, ""
	}
	return exitFailed, ""
}

// failure is the document of any verb that fails.
type failure struct {
	Error problem `json:"error"`
}

type problem struct {
	Message string `json:"message"`
	Hint    string `json:"hint"`
	Code    int    `json:"code"`
}

// complain prints an error, with a line that says what to do next, and gives the
// exit code. What strangers wrote in it is harmless by then.
func (c *command) complain(err error) int {
	code, hint := judge(err)
	var partial *partialError
	if c.json && !errors.Is(err, errDamage) && !errors.As(err, &partial) {
		if c.encode(failure{problem{err.Error(), hint, code}}) == nil {
			return code
		}
	}
	if errors.Is(err, errDamage) {
		return code
	}
	fmt.Fprintf(c.err, "larch: %s\n", harmless(err))
	if hint != "" {
		fmt.Fprintf(c.err, "larch: %s\n", hint)
	}
	return code
}

// harmless escapes an error's text line by line.
func harmless(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = safe(line)
	}
	return strings.Join(lines, "\n       ")
}

package install

import "errors"

// Errors that callers decide on, besides those of the packages below:
// release.ErrUnknownRef and release.ErrAmbiguous for names, deploy.ErrInUse,
// digest.ErrMismatch, and those of trust and transport.
var (
	// ErrNotInstalled: the ref is none of those that are installed.
	ErrNotInstalled = errors.New("not installed")
	// ErrUnknownVersion: the line has no such release, or not any more.
	ErrUnknownVersion = errors.New("no such version")
	// ErrArgument: what was given can be no name, address or fingerprint.
	ErrArgument = errors.New("not usable")
	// ErrUnknownRemote: no remote has this name.
	ErrUnknownRemote = errors.New("no such remote")
	// ErrRemoteExists: a remote of this name is there already.
	ErrRemoteExists = errors.New("there is a remote of this name")
	// ErrRemoteFile: the text is no .larchrepo file.
	ErrRemoteFile = errors.New("not a .larchrepo file")
	// ErrOtherRemote: what is installed came from another remote, or from one of
	// another root key, which alone may update it.
	ErrOtherRemote = errors.New("installed from another remote")
	// ErrRequired: something else that is installed requires the ref.
	ErrRequired = errors.New("required by what is installed")
	// ErrNothingToUndo: there is no transaction to undo, or what was before it has
	// been collected.
	ErrNothingToUndo = errors.New("nothing to undo")
	// ErrFormat: the folder is an installation of another format, or a file of it is
	// damaged.
	ErrFormat = errors.New("not an installation that this larch can read")
	// ErrOwner: the folder belongs to somebody else, or others can write in it.
	ErrOwner = errors.New("not a safe place for an installation")
	// ErrBackend: there is no such backend, or this machine cannot use it.
	ErrBackend = errors.New("backend cannot be used")
	// ErrRelease: what is signed contradicts itself: the tree is not what the release
	// says about it, or holds what its kind must not.
	ErrRelease = errors.New("the release is not what it says")
)

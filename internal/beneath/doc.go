// Package beneath resolves names below one directory, and nowhere else.
//
// It is the only place in Larch that turns a name into a file below a store, a
// deployment, an export folder or a repository. A [Dir] holds a directory's
// handle; each name given to it is resolved by the kernel's openat2 with
// RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and RESOLVE_NO_MAGICLINKS, so that no
// part of the name can lead out or be swapped for a link in between, whoever
// else writes there. The last part is never followed.
//
// Every call that changes something asks the Dir's fault hook first, if there is
// one: with it a test stops the work at each change in turn, and looks at what
// is left. See [Dir.WithFault].
//
// Source: openat2(2); Linux 5.6.
package beneath

// Package mount makes mounts through the kernel's interface of file descriptors
// (fsopen, fsconfig, fsmount, move_mount): an EROFS image straight from its file or
// through a loop device, and overlayfs over a data-only layer.
//
// A mount is made unattached, under no name; who has it can look at it before anybody
// else sees it, and attaches it in one step. What a kernel lacks is tried, not guessed
// from its version.
//
// Source: fsopen(2), fsconfig(2), fsmount(2), move_mount(2);
// https://docs.kernel.org/filesystems/overlayfs.html;
// https://docs.kernel.org/filesystems/erofs.html.
package mount

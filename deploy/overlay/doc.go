// Package overlay is the form that needs no privileges and shows the store's own
// contents under the tree's names: overlayfs, mounted in a mount namespace of the
// application's own.
//
// Make looks at the contents and leaves a note. Whoever starts a program gets a mount
// namespace of its own, and there, in a file system in memory, the tree of stubs:
// directories, symlinks and files of at most tree.InlineMax bytes as they are, and for
// each other file an empty file of the right size, mode and time with two attributes, by
// which overlayfs finds the content below objects/ and, where the file system has
// fs-verity, compares it with its digest. A mount by an ordinary user exists in his own
// user and mount namespace alone, so View.Prepare changes a command so that it begins
// there, through Enter, which makes and mounts all this. When its last process ends, it
// is gone.
//
// # Why the stubs are not kept
//
// Stubs on the disk belong to the user, who may change them, so all of them would have to
// be compared with the signed tree before each mount, which takes as long as making them
// in memory. On ext4 each takes a block for its attributes, which do not fit into the
// inode: 50 MB for a release of 12,000 files, written at each installation and read, one
// random block at a time, at the first start after a boot. In memory they take 1.3 KiB
// each while a program runs, and nothing else.
//
// Source: https://docs.kernel.org/filesystems/overlayfs.html, "Data-only lower
// layers", "fs-verity support", "User xattr".
package overlay

// Package overlay is the form that needs no privileges and shows the store's own
// contents under the tree's names: overlayfs, mounted in a mount namespace of the
// application's own.
//
// Make writes a tree of stubs into the deployment: directories, symlinks and files
// of at most tree.InlineMax bytes as they are, and for each other file an empty file
// of the right size, mode and time with two attributes, by which overlayfs finds the
// content below objects/ and, where the file system has fs-verity, compares it with
// its digest. A mount by an ordinary user exists in his own user and mount namespace
// alone, so View.Prepare changes a command so that it begins there, through Enter.
// When its last process ends, so does the mount.
//
// Stubs are the user's own files, who may change them, so View.Prepare compares
// them with the tree as it was signed before each mount.
//
// Source: https://docs.kernel.org/filesystems/overlayfs.html, "Data-only lower
// layers", "fs-verity support", "User xattr".
package overlay

// Package composefs is the form for root: an EROFS image with the names of a tree,
// made on this machine, and overlayfs over it and the store's contents.
//
// Make writes the image from the verified tree, and refuses one whose digest is not
// the one that the release states: so the kernel parses nothing that came from the
// network, and yet reads what was signed. Open mounts it unless it is mounted: after a
// restart, deployments come back when they are first used. Before each mount the
// image is compared with its digest, and mounted by the file that was compared; then
// one file is read through the mount before it is attached to a name.
//
// With fs-verity on the store, overlayfs refuses contents that do not measure what the
// image says: everything that is read is what was signed.
//
// The image refers to contents as ab/cdef..., which the store has under that name
// only for those without the run bit; for the others the deployment has a folder of
// links, and that is a second data-only layer.
//
// Source: https://docs.kernel.org/filesystems/overlayfs.html, "Data-only lower
// layers", "fs-verity support"; spec/3-release.md §3.5.
package composefs

// Package pool makes and keeps a btrfs for an installation on a machine whose file system
// is something else: in a file, through a loop device, or on a device of its own.
//
// The kernel parses a pool's file system, so a pool is only ever mounted that was made
// here: its file bears a mark, in an attribute that only root can write and that no copy
// or download has, with the file's inode number and the file system's UUID; and nobody
// but root may be able to write to it or to put another file in its place.
package pool

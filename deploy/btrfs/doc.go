// Package btrfs makes deployments that are read-only subvolumes of btrfs, on an
// installation that is on btrfs, the store included.
//
// A new version is a snapshot of the one before with the difference of the two trees
// made in it; without one before it is a new subvolume. Contents share their blocks with
// the store's objects, so that they are on the disk once. What is in memory is not
// shared: btrfs keeps pages for each inode.
//
// The kernel protects a subvolume in use from nothing: the lock of the deployment does.
package btrfs

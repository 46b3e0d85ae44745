// Package btrfssend writes and reads btrfs send streams, without btrfs and without
// root.
//
// A stream is a list of commands that make a subvolume: of nothing, or of a
// snapshot of another one. "btrfs send" writes them, "btrfs receive" applies them.
//
// [Write] makes such a stream of a tree and its contents, or of the difference of
// two trees. What it writes depends on the trees alone, so the same two releases
// give the same bytes, and a subvolume has the same UUID wherever it was received:
// a stream of changes finds the parent that an earlier stream has made.
//
// [Open] reads streams of "btrfs send" as a tree.Source. It applies them to a
// directory tree in memory, whose contents are pieces of one temporary file
// without a name; no name in a stream is ever looked up in a file system. What the
// format cannot mean, or a tree cannot hold, is an error that names the stream and
// the byte at which it was noticed.
//
// Versions 1 to 3 are read, with contents compressed by zlib, zstd or lzo; 1 and 2
// are written, not compressed. Source: spec/12-btrfs-send.md.
package btrfssend

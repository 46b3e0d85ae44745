// Package digest computes and checks the one name that content has in Larch:
// its fs-verity digest (SHA-256, 4 KiB blocks, no salt).
//
// The digest is the hash of a small descriptor that holds the content's size
// and the root of a Merkle tree over its 4 KiB blocks. So the same 32 bytes
// name a file on the server, in a release's tree, in the store, and in the
// kernel's own check at read time; and because it is a Merkle root, one block
// or one range can be checked without the rest.
//
// Three uses, three types:
//
//   - [Hasher] names content that passes by, in one pass and constant memory;
//     [Sum] does so for a reader and uses both cores when the content is large.
//   - [Reader] hands content on only after it was checked to its end.
//   - [Tree] keeps the Merkle tree, so that any block or range can be checked by
//     itself; [Builder] makes it, or only the digest, from pieces in any order.
//
// Source: the kernel's Documentation/filesystems/fsverity.rst; spec/1-digest.md.
package digest

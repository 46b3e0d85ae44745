// Package delta makes one content out of another: pure functions on bytes, which
// know nothing of where these come from.
//
// [Encode] compares an old and a new content and writes a patch; [Decode] reads the
// old content and the patch, and writes the new one. A patch is the smallest of
// what the package knows: a Zstandard frame with or without the old content as its
// dictionary, or a list of copies from the old content, with corrections.
//
// The last is what programs need. Rebuilding one moves most of its code by some
// bytes, and with it change all references to what moved: calls, loads, pointers,
// offsets in tables. Copies with their differences (Percival, "Naive differences of
// executable code", 2003) make little of that; but since all copies are known
// before anything is corrected, so is where everything went, and what most
// references have become can be predicted, without taking the program apart. What
// is left is told bit by bit, by a range coder with adaptive, mixed models.
//
// Decode takes memory that does not depend on the contents ([Memory]): the old one
// is read at random, the new one leaves as it is made. Its input is untrusted; it
// does not know digests, and the caller compares what comes out.
//
// Source: spec/11-delta.md.
package delta

// Package trust keeps the keys and the signed metadata of a repository, on both
// sides: publishers change it, machines follow it. It is The Update Framework
// (TUF), and a thin layer on go-tuf, which verifies signatures, thresholds,
// versions and hashes; the layer adds files, keys, locks, limits and words.
//
// Five kinds of documents lie in the folder trust/ of a repository. A root names
// the keys of all roles, itself included; the top-level targets delegate refs to
// publishers; each publisher's targets say which release document is the newest
// of a ref; a snapshot lists the targets' versions and hashes, so that nobody can
// mix states; and the timestamp names the snapshot and lives for a week, so that
// nobody can hide news for longer. All but the timestamp have their version in
// the name and never change.
//
// The publisher's side is [Init], [Open] and [Repository]: every change reads the
// newest state under a lock, signs, and ends with one rename of timestamp.json;
// a new root ends with the creation of its file. Private keys are in a [KeyStore],
// outside of the repository. [Check] finds any damage.
//
// The machine's side is [Client]. It starts from the fingerprint of a root key or
// from a root, and keeps what it verified in a folder that looks like the
// repository's own. Nothing that a server sends can take it back to an older
// state, make it mix two, or hold it where it is beyond the expiry of the
// timestamp; such attempts, and damage, are errors of their own kind, and leave
// what was trusted before.
//
// Documents are decoded strictly before go-tuf sees them: in one form only,
// without null, within limits. So what was read is what was signed, and shapes
// that go-tuf does not expect never reach it.
//
// Source: spec/4-trust.md; the TUF specification, version 1.0.
package trust

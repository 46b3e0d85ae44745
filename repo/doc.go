// Package repo is the published folder: static files that any web server can
// serve, written by publishers and read by everybody.
//
// A repository holds releases, the texts of their trees, packs with the contents,
// and for each release an index that says where in the packs its contents are.
// All of these are written under names that never change; the signed head
// (package trust) is written last and is the commit point. So readers see a
// release wholly or not at all, whatever happens to its publisher, and what an
// interrupted publisher leaves is not referenced by anything: [Repository.Prune]
// removes it.
//
// [Repository.Publish] reads a tree's contents, writes those that no release of
// the repository has yet, and makes the release. Small contents share frames of
// 256 KiB, in path order, so that neighbours compress together and are fetched
// together; large ones are cut into frames of 1 MiB, so that parts of them can be
// fetched. [Repository.Repack] rewrites small and half-dead packs as history
// grows.
//
// Releases lead to each other by deltas: files beside the packs that make new
// contents out of old ones ([Delta]), and from nothing by a stream that is smaller
// than the packs. Nobody has to have them: what they make is checked, and packs have
// it too. Publish makes those that pay within a budget of processor time;
// [Repository.MakeDelta] makes any other, anywhere. Deltas chain, and [Cheapest]
// finds the chain.
//
// Memory: tens of bytes for each distinct content, and fixed buffers; for making
// deltas up to ten times the largest file, 1.4 GiB at most.
//
// Format: spec/5-repository.md; the patches in deltas: spec/11-delta.md.
package repo

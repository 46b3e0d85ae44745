// Package fetch decides which bytes of a repository travel to this machine, and
// has them travel.
//
// It begins with documents: [Release] and [Tree] bring what signed metadata leads
// to. Then it is about contents, in three steps, of which only the last changes
// anything:
//
//   - [Survey] compares what a tree needs with what is here, in either form, and
//     [Need.Seed] with what lies about in local folders. Neither uses the network:
//     if all is here, nothing more is asked for.
//   - [NewPlan] looks up the rest in the release's index ([Index]): frames of
//     packs, neighbours joined where the gap between them is small, cut into
//     ranges of some MiB. The numbers of Need and Plan are exact, to be shown
//     before the act.
//   - [Plan.Run] copies what is here, fetches the ranges, several at a time,
//     decompresses their frames on all cores and hands the contents to the store,
//     which gives a name to nothing that it has not checked.
//
// Where the publisher has deltas, [FindRoad] finds the chain of them that leads from
// a release that is here, or from nothing, to the one that is wanted; it brings the
// tree as well, and [Road.NewPlan] decides for each content between the deltas and
// the packs. A road is never needed: whatever is wrong with it, packs have the same
// contents, and Run goes on with them.
//
// All input is untrusted. Documents are capped by what signed metadata says of
// them and checked against their names. The index is a hint that nobody vouches
// for: every number in it is bounded, what cannot be true is refused, and what is
// untrue costs at most the download of what it names, since each content is
// checked by its digest.
//
// What arrived whole is kept, whatever happens to the rest, and is not in the next
// plan: that is all there is to resuming. The least that counts is one content; of
// one that is cut into frames, those that came are lost with the process.
//
// Some things go wrong without being anybody's fault, and are mended on the way. A
// server without ranges is found out by one answer, and then gives each pack once.
// A pack that has gone, since the repository was repacked, has the index read
// again, once. Frames that are wrong are fetched again, once, when all else is
// there. A file of this machine that is not what it was is replaced by a fetch.
//
// Memory: some seventy bytes for each distinct content, plan and index included,
// and for each frame under way its stored form, which is a few hundred KiB as a
// rule and 1 MiB at most. A road takes as much again for each delta on it, and one
// large group at a time repo.UnpackMemory.
//
// Source: spec/7-fetch.md.
package fetch

// Package fetch decides which bytes of a repository travel to this machine, and
// has them travel.
//
// [Survey] compares the contents that a tree needs with what the store has, in
// either form, and [Need.Seed] with what lies about in local folders; neither uses
// the network. What is missing is looked up in the release's index, and becomes a
// [Plan]: frames of packs, neighbours joined where the gap is small, cut into
// segments of which several are fetched at a time. The numbers of Need and Plan
// are exact, to be shown before the act. [Plan.Run] fetches the segments,
// decompresses frames on all cores, and hands the contents to the store, which
// checks each against its digest before it gets its name.
//
// All input is untrusted. Documents are capped by what signed metadata says of
// them and checked against their names. The index is only a hint: what it leads to
// is bounded by the sizes in it, which are bounded themselves, and checked by
// digest. What arrived whole is kept, whatever happens to the rest, and never
// fetched again. Memory: about fifty bytes for each distinct content, and for each
// request under way one frame.
//
// Source: spec/8-fetch.md.
package fetch

// Package tree is the list of files that a release consists of.
//
// A tree names every file with its mode, owner, size and digest. Its text is that
// of composefs-dump(5), which people can read and diff, in one canonical form: a
// text that [Decode] accepts is the one that [Encoder] writes for its entries,
// byte for byte, so the digest of the text names the tree. spec/2-tree.md is the
// format, and numbers the rules that a [RuleError] names.
//
// Everything is a stream. Entries come and go one by one in canonical order (a
// directory, what is in it, its next sibling), as sequences of the standard
// library whose error, if there is one, is the last thing they give. Memory does
// not grow with the number of files; an application of 400,000 files is read,
// written, compared and scanned in a few MiB.
//
// A [Source] is where trees come from: a folder ([Folder]), an archive. It gives
// entries whose contents are not read yet; [Hash] reads them, and [Scan] does
// all of it for a folder. [Rules] say what a kind of release may contain: Fold
// removes what a build leaves behind by accident, Check refuses the rest.
//
// Two trees are compared by [Diff].
package tree

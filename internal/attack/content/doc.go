// Package content attacks Larch with what a stranger can put into a repository, an
// archive or a file that is opened: names and shapes of trees, metadata of inodes,
// encodings and sizes, contents and their compression, deltas, and what is shown and
// exported.
//
// It has tests alone. Whoever publishes here holds the keys: nearly all that is wrong
// is signed as it should be, since otherwise the signature would be what is refused.
// A case is a subtest that begins with its number; each of its variants comes by
// every road by which it can come, and after each of them one function, judge, says
// whether anything but an error came of it. At the end of a case an honest release
// is put in place, and the plain update must succeed, with nothing left behind.
package content

// Package store keeps verified objects on this machine.
//
// An object is content under its digest, in one of two forms, with the run bit
// and without, since forms on disk that link to it need an inode for each:
//
//	objects/ab/cdef...    content, mode 0444
//	objects/ab/cdef....x  the same with the run bit, mode 0555
//	trees/DIGEST.zst      texts of trees, sealed
//	releases/DIGEST       release documents
//	unclean               names that an unfinished transaction gave
//	tmp/                  what is being written
//
// Nothing is ever written to its own name. A [Batch] writes contents to files
// without a name, checking each against its digest; then one barrier for the
// whole file system (syncfs) makes all of them durable; then each is linked to
// its name. So an object that has its name is whole, after a power cut too, and
// what had its name before an interruption is never fetched again: there is not
// one fsync a file.
//
// That is the first line of defence. The second does not rely on file systems
// and disks to keep their promises at the moment when everything failed: names
// that were given by a transaction which never ended are listed in the file
// unclean, and an object that is listed there is hashed again before it is
// believed. See [Store.Begin] and [Store.Doubt].
//
// One process writes at a time: whoever calls anything that changes the store
// holds the installation's lock. Reading needs no lock.
package store

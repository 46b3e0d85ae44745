// Package erofs makes composefs images: EROFS file systems that hold the names of a
// tree, and refer to contents elsewhere.
//
// What it writes is bit for bit what mkcomposefs of composefs 1.0.8 writes for the
// same tree, in the formats 0 and 1, so that one digest stands for the image whoever
// makes it. A [Builder] takes the entries, checks and remembers them compactly; Finish
// lays the image out; the [Image] is written as a stream.
//
// Source: https://docs.kernel.org/filesystems/erofs.html and the on-disk format in
// Linux, fs/erofs/erofs_fs.h; composefs, libcomposefs/lcfs-writer-erofs.c and
// composefs-dump(5), for the choices that the format leaves open.
package erofs

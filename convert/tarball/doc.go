// Package tarball reads tar archives as trees: .tar, .tar.gz and .tar.zst.
//
// An archive is a list in any order of names with headers, each before its
// content. [Open] reads all headers once and keeps, for each name, where its
// header is: about 50 bytes, the name, and each directory's path once. Everything
// else is read again when it is needed, so a compressed archive is first written, uncompressed, to a file
// without a name in the temporary folder (TMPDIR).
//
// What is there twice, leads out of the tree, or is neither directory, regular
// file, symlink nor hardlink, is refused by the rule of spec/2-tree.md that it
// breaks: an archive has one meaning, or none. Directories may be repeated, as
// archives that were appended to do; the last header counts. Directories that
// are missing are made, owned by root with mode 0755. Names may begin with "./".
// Extended attributes are read from the pax records that GNU tar and bsdtar
// write (SCHILY.xattr.*).
package tarball

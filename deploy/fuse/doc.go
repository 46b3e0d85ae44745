// Package fuse is the form that a process of Larch's serves: each block of each file is
// checked against what was signed when it is read, on any file system, and contents may
// come when they are asked for. It needs /dev/fuse, and fusermount3 unless it is root
// that mounts.
//
// A deployment is
//
//	deployments/NAME.fuse/
//	    lock
//	    index     the tree, in the form from which the server answers
//	    leaves    of the contents of more than one block: see digest.Tree
//
// and one process for each installation serves all of them in one mount:
//
//	fuse/
//	    mnt/NAME  the view
//	    log       what the server could not tell who reads; log.old is the older half
//	    lock      held by who starts or ends the server
//	    order/    in which order contents were first read, where that was asked for
//
// # What the kernel remembers
//
// A tree never changes, so the kernel may keep for ever what it was told of it: names,
// that there is no such name, attributes, links, folders and pages. Files are opened
// without asking the server. So what is read again costs what it costs on any file
// system, and a block is checked when it comes into memory, as fs-verity does it. Where
// the file system has fs-verity, and its measure of an object is the digest, the server
// leaves the checking to the kernel. Node ids follow from what they stand for: equal
// files of several deployments are one inode, whose pages are in memory once; the
// object's own are dropped when they were read, or never come into memory.
//
// Only the mount's root, where deployments come and go, is asked for again each second;
// who removes a deployment, or makes it anew, has the server and the kernel forget it
// before.
//
// # Passthrough
//
// The kernel can read a store's object itself (Linux 6.9), for root: the pages are the
// object's then, shared with all other forms, and nothing is copied. For that it has to
// tell of each file that is opened and closed, of all in the mount or of none. The first
// file that is opened decides for as long as the mount lives: the kernel reads objects
// itself where it lets the server have it so, fs-verity vouches for the content, and the
// contents that are shown then have a mean size of 1 MiB or more. An application of small
// files is served without; content that comes on demand, too, as long as it is not here.
//
// In such a mount each open is decided anew. Content that fs-verity does not vouch for
// is served and checked here, until all have closed the file. Of 65,536 files that are
// open at the same time 8,192 have their object open in the kernel.
//
// # Damage
//
// A block that is wrong is EIO, for that block alone, and a line in the log that says
// which file has it and what to do. Where the kernel reads the object itself, or
// fs-verity does the checking, it is EIO for as many blocks around it as the kernel reads
// at once; of passthrough the kernel's log alone has the line.
//
// The index is checked as a whole when it is loaded: against damage. That it is the tree
// that was signed is found out by Make, and by comparing the view with the tree.
//
// # The server's life
//
// Open starts it where there is none: whoever holds fuse/lock, so there is one. A
// supervisor mounts, answers the kernel's greeting, and keeps the connection open; its
// child answers all else. When the child dies another one takes the connection over,
// with the same greeting: it finds out by itself what the node ids of the one before
// mean, and answers what the one before owed. The kernel copies each request to memory
// that the supervisor holds, too, so that nothing is lost and nobody notices, whatever
// the kernel's age. When child and supervisor are killed, the mount is dead: who waits
// gets an error, and the next Open mounts anew. A deployment that was removed while something of it was open
// stays readable, but not beyond the death of the child.
//
// The server ends when its mount is taken away and the last file there is closed: by
// Stop, or when the last deployment is removed. Unmounting asks nothing of it, so it
// cannot hang.
//
// # Limits
//
// The tables take some 150 bytes for each entry of a tree, Make 400. Of Merkle trees
// 32 MiB are kept, or one that is larger: content takes 1/128 of its size while it is
// read. Link counts are 1. Files of 0:0 are shown as the owner of the installation's. A
// user's mount can be seen by that user alone; root's by all, with permissions checked.
//
// Source: https://docs.kernel.org/filesystems/fuse/fuse.html; fuse(4).
package fuse

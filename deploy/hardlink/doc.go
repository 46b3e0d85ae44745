// Package hardlink makes deployments that are folders of links into the store.
//
// It is the form for any machine: it needs no privileges and no particular file
// system, costs names alone, and equal content of all deployments is in memory
// once. A file that cannot share the store's inode, because of its owner, mode,
// time or attributes, is a copy, which shares blocks where the file system can.
//
// A deployment is
//
//	deployments/NAME.hardlink/
//	    lock
//	    tree/    the view
//
// built in tmp/, made durable by one barrier, and moved into place.
package hardlink

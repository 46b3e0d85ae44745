// Package deploy is the contract between what a machine has and the forms in
// which it has it.
//
// A release is a list of files, and its contents are objects in the store. A
// backend makes a form of it that programs can use: a folder of links, a mounted
// image, a snapshot. Each is a package below this one; all of them pass the suite
// in package deploytest, and docs/backend-contract.md says how each fits.
//
// A deployment is one release in one form. It is a folder
//
//	deployments/NAME.BACKEND/
//
// below the installation's root, whatever the form keeps in it, and has a file
// lock: who uses the deployment holds it shared, so that nothing in use is taken
// away. A deployment appears in one step, complete and durable, and disappears in
// one step; what is under construction or being deleted is in tmp/.
//
// A form shows the tree as it is, with these liberties:
//
//   - write permission of regular files may be missing;
//   - the owner 0:0 may be the owner of the installation;
//   - files of equal content may be one file, so link counts mean nothing.
//
// Names, kinds, all other bits of modes, contents, texts of links, times of
// change and extended attributes are exact. [Compare] finds every difference.
package deploy

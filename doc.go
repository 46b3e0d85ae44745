// Package larch is the root of Larch: it packages a folder of files as an
// application, a runtime or an OS image, publishes it as static files, and
// installs, verifies, updates, undoes, runs and removes it on Linux machines.
//
// The folders are the stages of the flow, in this order:
//
//	convert/   other worlds, in and out
//	digest/    the name of content
//	tree/      lists of files
//	release/   what a release is
//	trust/     keys and signed metadata
//	delta/     the difference of two files
//	repo/      the published folder
//	transport/ how named bytes travel
//	fetch/     which bytes travel
//	store/     verified objects on this machine
//	deploy/    forms on disk, one backend a folder
//	install/   what this machine has
//	sandbox/   running a program
//	check/     the oracle: what is wrong with any of these
//	cmd/larch/ the command
//
// spec/ has the formats; ARCHITECTURE.md follows a file through all of it. This
// package holds no code: deps_test.go, beside it, checks that imports go forward
// only.
package larch

//go:build amd64

// Package trace runs a program so that something happens at one of the calls by
// which it changes the world: it is killed before it, or the call fails.
//
// The program and everything that it starts are held by ptrace(2). A seccomp filter,
// loaded by a small program before execve(2), stops them at the calls that can change
// files and at no other, so that a run takes hardly longer than without. One counter
// numbers the calls of all threads and processes in the order in which they came; a
// [Plan] says what happens at which number.
//
// Programs with several threads do not make their calls in the same order each time,
// nor quite as many. A run says how many it saw, and whether it came to the one that
// was meant.
package trace

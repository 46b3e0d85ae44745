// Package local holds attacks by who is on the machine already: an application
// inside its sandbox, other users, a hostile environment, and accidents that look
// like them.
//
// Everything goes through the real command and the real bubblewrap, as root and as
// an ordinary user. Each attack has a number: K for the sandbox, J for local users
// and the environment, I for faults and concurrency. The name of a test begins with
// the number; numbers that tests elsewhere cover are in the table of cases_test.go,
// which also sees to it that none is missing.
//
// The package has tests only.
package local

//go:build amd64

// Command faults stops larch at every call by which it changes files, and looks at
// what is left.
//
// Each scenario is a command with the world that it finds: a repository with its keys,
// or an installation. The command is run once, and its calls are counted; then for each
// of them, on a new copy of the world, it is killed before the call, or the call fails,
// once or from then on. After that the oracle must find nothing wrong, what users see
// must be exactly the old or the new state, and must run; the plain command given again
// must come to the new state, and after it, and the command that collects where there is
// one, the world must hold what a world holds in which nothing ever failed.
//
//	go run ./internal/faults -all        all points, and a table for docs/reliability.md
//	go run ./internal/faults -scenario update -at 17 -action kill -v
package main

// Command larch packages folders of files as applications, runtimes and OS
// images, publishes them as static files, and installs, verifies, updates, runs
// and removes them. It parses flags, makes one call of the library for each verb,
// and prints what came of it.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
)

// memoryTarget keeps the garbage collector from letting the heap double beyond
// what the work needs, in bytes. The environment's GOMEMLIMIT is stronger.
const memoryTarget = 56 << 20

// publishTarget is memoryTarget for who packs, and deltaTarget for who makes deltas,
// which takes as much as ten times the largest file.
const (
	publishTarget = 104 << 20
	deltaTarget   = 1400 << 20
)

// allow sets another target than the one that a process starts with.
func (c *command) allow(bytes int64) {
	if c.getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes)
	}
}

func main() { os.Exit(larch()) }

// larch is main with an exit code, so that test scripts can call it.
func larch() int {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryTarget)
	}
	log.SetOutput(io.Discard) // net/http writes there what servers say unasked
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	c := &command{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, now: time.Now}
	return c.run(ctx, os.Args[1:])
}

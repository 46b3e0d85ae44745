//go:build amd64

// Command launch becomes another program that stops at its calls: launch MODE PROGRAM
// [ARGS]. See package trace, which starts it.
package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"github.com/larch-project/larch/internal/faults/trace"
)

// The filter is of one thread: the one that becomes the program.
func init() { runtime.LockOSThread() }

func main() {
	err := fmt.Errorf("launch: wrong use")
	if len(os.Args) >= 3 {
		if err = trace.Mode(os.Args[1]).Load(); err == nil {
			err = syscall.Exec(os.Args[2], os.Args[2:], os.Environ())
		}
	}
	fmt.Fprintln(os.Stderr, "launch:", err)
	os.Exit(125)
}

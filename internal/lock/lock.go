// Package lock keeps processes apart with flock(2) on an open file.
//
// The lock belongs to the open file description: it goes when the file is closed
// or its process ends, however that ends, so nothing is ever left locked. Give
// each holder a file of its own.
package lock

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// retry is how often a waiting process asks again; flock has no wait that a
// context can end.
const retry = 20 * time.Millisecond

// Exclusive waits until f is held by nobody else, or ctx ends.
func Exclusive(ctx context.Context, f *os.File) error { return wait(ctx, f, unix.LOCK_EX) }

// Shared waits until nobody holds f exclusively, or ctx ends.
func Shared(ctx context.Context, f *os.File) error { return wait(ctx, f, unix.LOCK_SH) }

// TryExclusive takes f at once, or reports false if anybody holds it.
func TryExclusive(f *os.File) (bool, error) { return try(f, unix.LOCK_EX) }

// TryShared shares f at once, or reports false if somebody holds it exclusively.
func TryShared(f *os.File) (bool, error) { return try(f, unix.LOCK_SH) }

func try(f *os.File, how int) (bool, error) {
	for {
		switch err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err {
		case nil:
			return true, nil
		case unix.EINTR:
		case unix.EWOULDBLOCK:
			return false, nil
		default:
			return false, &os.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
	}
}

func wait(ctx context.Context, f *os.File, how int) error {
	for {
		held, err := try(f, how)
		if held || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(retry):
		}
	}
}

package fuse_test

import (
	"context"
	"testing"

	"github.com/larch-project/larch/deploy/deploytest"
	"github.com/larch-project/larch/deploy/fuse"
)

// command serves through the test binary.
var command = []string{"/proc/self/exe", "serve-fuse"}

func TestMain(m *testing.M) {
	deploytest.Main(m, deploytest.Commands{
		"serve-fuse": func(args []string) error { return fuse.Serve(context.Background(), command, args, nil) },
	})
}

var backend = fuse.Backend{Command: command}

// newRoot gives a folder whose server ends with the test.
func newRoot(t testing.TB) string {
	dir := t.TempDir()
	t.Cleanup(func() {
		if err := fuse.Stop(context.Background(), dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestContract(t *testing.T) {
	deploytest.Run(t, backend, func(t *testing.T) string { return newRoot(t) })
}

// backendStop ends a machine's server.
func backendStop(t testing.TB, m *machine) error { return fuse.Stop(t.Context(), m.dir) }

package fuse_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/deploytest"
	"github.com/larch-project/larch/deploy/fuse"
	"github.com/larch-project/larch/internal/beneath"
)

// command serves through the test binary.
var command = []string{"/proc/self/exe", "serve-fuse"}

func TestMain(m *testing.M) {
	deploytest.Main(m, deploytest.Commands{
		"serve-fuse":    func(args []string) error { return fuse.Serve(context.Background(), command, args, nil) },
		"serve-lazy":    serveLazy,
		"open-and-read": openAndRead,
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

// openAndRead opens a deployment and prints a file of it.
func openAndRead(args []string) error {
	root, err := beneath.Open(args[0])
	if err != nil {
		return err
	}
	defer root.Close()
	view, err := backend.Open(context.Background(), deploy.Site{Root: root}, args[1])
	if err != nil {
		return err
	}
	defer view.Close()
	data, err := os.ReadFile(filepath.Join(view.Path, args[2]))
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(data)
	return err
}

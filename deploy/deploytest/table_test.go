package deploytest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/composefs"
	"github.com/larch-project/larch/deploy/deploytest"
	"github.com/larch-project/larch/deploy/fuse"
	"github.com/larch-project/larch/deploy/hardlink"
	"github.com/larch-project/larch/deploy/overlay"
	"github.com/larch-project/larch/internal/verity"
)

var server = []string{"/proc/self/exe", "serve"}

func TestMain(m *testing.M) {
	deploytest.Main(m, deploytest.Commands{
		"enter": overlay.Enter,
		"serve": func(args []string) error { return fuse.Serve(context.Background(), server, args, nil) },
	})
}

// The table of docs/backends.md is what is seen here: one for file systems with
// fs-verity, one for those without. What this kernel cannot do is not compared.
func TestTableOfTheDocumentation(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root sees all backends")
	}
	data, err := os.ReadFile("../../docs/backends.md")
	if err != nil {
		t.Fatal(err)
	}
	heading := "without fs-verity"
	probe, err := os.Create(filepath.Join(t.TempDir(), "probe"))
	if err != nil {
		t.Fatal(err)
	}
	if verity.Probe(probe) == nil {
		heading = "with fs-verity"
	}
	_, rest, ok := strings.Cut(string(data), "### On a file system "+heading+"\n")
	if !ok {
		t.Fatalf("docs/backends.md has no section for file systems %s", heading)
	}
	table, _, _ := strings.Cut(rest, "\n#")
	for _, b := range []deploy.Backend{
		hardlink.Backend{}, overlay.Backend{Command: []string{"/proc/self/exe", "enter"}}, composefs.Backend{}, fuse.Backend{Command: server},
	} {
		o := deploytest.Observe(t, b, func(t *testing.T) string { return t.TempDir() })
		if !o.Usable {
			continue
		}
		if b.Name() == "composefs" && heading == "with fs-verity" && before(t, 6, 6) {
			continue // overlayfs has no option verity there, as the page says
		}
		row := fmt.Sprintf("| `%s` | %s | %s |", b.Name(), o.Damage, o.Cache)
		t.Log(row)
		if !strings.Contains(table, row+"\n") {
			t.Errorf("docs/backends.md does not have, %s: %s", heading, row)
		}
	}
}

// before tells whether the kernel is older than a release.
func before(t *testing.T, major, minor int) bool {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var a, b int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &a, &b); err != nil {
		t.Fatal(err)
	}
	return a < major || a == major && b < minor
}

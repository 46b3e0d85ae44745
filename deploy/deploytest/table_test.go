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
	"github.com/larch-project/larch/deploy/btrfs"
	"github.com/larch-project/larch/deploy/composefs"
	"github.com/larch-project/larch/deploy/deploytest"
	"github.com/larch-project/larch/deploy/fuse"
	"github.com/larch-project/larch/deploy/hardlink"
	"github.com/larch-project/larch/deploy/overlay"
	"github.com/larch-project/larch/internal/btrfs/btrfstest"
	"github.com/larch-project/larch/internal/verity"
)

var server = []string{"/proc/self/exe", "serve"}

func TestMain(m *testing.M) {
	deploytest.Main(m, deploytest.Commands{
		"enter": overlay.Enter,
		"serve": func(args []string) error { return fuse.Serve(context.Background(), server, args, nil) },
	})
}

// The tables of docs/backends.md are what is seen here: those for file systems with
// fs-verity or for those without. What this kernel cannot do is not compared.
func TestTablesOfTheDocumentation(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root sees all backends")
	}
	data, err := os.ReadFile("../../docs/backends.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("ordinary", func(t *testing.T) {
		compareTable(t, string(data), "On a file system", func(t *testing.T) string { return t.TempDir() })
	})
	t.Run("btrfs", func(t *testing.T) {
		dir := btrfstest.New(t, 512)
		compareTable(t, string(data), "On btrfs", func(t *testing.T) string {
			name, err := os.MkdirTemp(dir, "site-")
			if err != nil {
				t.Fatal(err)
			}
			return name
		})
	})
}

func compareTable(t *testing.T, page, where string, newDir func(*testing.T) string) {
	heading := where + " without fs-verity"
	probe, err := os.Create(filepath.Join(newDir(t), "probe"))
	if err != nil {
		t.Fatal(err)
	}
	measured := verity.Probe(probe) == nil // which closes it
	if measured {
		heading = where + " with fs-verity"
	}
	_, rest, ok := strings.Cut(page, "### "+heading+"\n")
	if !ok {
		t.Fatalf("docs/backends.md has no section %q", heading)
	}
	table, _, _ := strings.Cut(rest, "\n#")
	for _, b := range []deploy.Backend{
		hardlink.Backend{}, overlay.Backend{Command: []string{"/proc/self/exe", "enter"}}, composefs.Backend{}, btrfs.Backend{}, fuse.Backend{Command: server},
	} {
		o := deploytest.Observe(t, b, newDir)
		if !o.Usable {
			continue
		}
		if b.Name() == "composefs" && measured && before(t, 6, 6) {
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

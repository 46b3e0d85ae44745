package btrfs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/larch-project/larch/deploy/btrfs"
	"github.com/larch-project/larch/deploy/deploytest"
	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/btrfs/btrfstest"
)

// onBtrfs names a folder on btrfs where the tests are, when they are run once more by
// another user.
const onBtrfs = "LARCH_TEST_ON_BTRFS"

func TestMain(m *testing.M) { deploytest.Main(m, nil) }

// pool gives a folder on btrfs.
func pool(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv(onBtrfs); dir != "" {
		return dir
	}
	return btrfstest.New(t, 512)
}

// newDir gives an empty folder in dir.
func newDir(dir string) func(t *testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		name, err := os.MkdirTemp(dir, "site-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			root, err := beneath.Open(dir)
			if err != nil {
				t.Error(err)
				return
			}
			defer root.Close()
			if err := root.RemoveAll(filepath.Base(name)); err != nil { // os.RemoveAll knows no subvolumes
				t.Error(err)
			}
		})
		return name
	}
}

func TestContract(t *testing.T) { deploytest.Run(t, btrfs.Backend{}, newDir(pool(t))) }

// an ordinary user, whether or not the file system lets the owner delete subvolumes
func TestAsUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become somebody else")
	}
	for name, options := range map[string][]string{"may delete": {"user_subvol_rm_allowed"}, "must empty": nil} {
		t.Run(name, func(t *testing.T) {
			dir := btrfstest.New(t, 512, options...)
			inTest := filepath.Dir(dir)
			for name, mode := range map[string]os.FileMode{dir: 0o777, inTest: 0o755, filepath.Dir(inTest): 0o755} {
				if err := os.Chmod(name, mode); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv(onBtrfs, dir)
			deploytest.AllAsUser(t)
		})
	}
}

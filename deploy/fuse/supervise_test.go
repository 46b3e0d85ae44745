package fuse

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
)

// Nobody answers on this mount: a supervisor that asked it something would wait for ever,
// and could not be killed.
func TestSupervisorAsksItsMountNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	root, err := beneath.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := prepare(root); err != nil {
		t.Fatal(err)
	}
	device, err := attach(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close() // which ends the mount for whoever waits for it
	defer unix.Unmount(filepath.Join(root.Path(), mountPoint), unix.MNT_DETACH)
	if _, err := greet(int(device.Fd())); err != nil {
		t.Fatal(err)
	}
	readAhead(root)
	major, minor, err := root.Device(mountPoint)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(fmt.Sprintf(readAheadName, major, minor))
	if err != nil || strings.TrimSpace(string(have)) != strconv.Itoa(maxRead>>10) {
		t.Errorf("%q KiB are read ahead, error %v", have, err)
	}
}

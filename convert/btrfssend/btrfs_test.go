package btrfssend

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// disk is a mounted btrfs of its own.
type disk struct {
	t   testing.TB
	dir string
}

// newDisk makes a btrfs in a loop file, where that can be.
func newDisk(t testing.TB, options ...string) *disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can mount, send and receive")
	}
	for _, program := range []string{"mkfs.btrfs", "btrfs", "losetup"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no program %s: install btrfs-progs (make deps)", program)
		}
	}
	if _, err := os.Stat("/sys/fs/btrfs"); err != nil {
		t.Skip("the kernel has no btrfs")
	}
	d := &disk{t, t.TempDir()}
	image := filepath.Join(t.TempDir(), "image")
	d.run("truncate", "-s", "1G", image)
	d.run("mkfs.btrfs", "-q", image)
	loop := strings.TrimSpace(d.run("losetup", "--find", "--show", image))
	t.Cleanup(func() { d.run("losetup", "-d", loop) })
	if err := unix.Mount(loop, d.dir, "btrfs", 0, strings.Join(options, ",")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.dir, 0); err != nil {
			t.Error(err)
		}
	})
	return d
}

// run runs a program that must succeed and gives what it printed.
func (d *disk) run(name string, args ...string) string {
	d.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// path is where a subvolume is.
func (d *disk) path(name string) string { return filepath.Join(d.dir, name) }

// receive applies a stream with the real program.
func (d *disk) receive(stream []byte) {
	d.t.Helper()
	cmd := exec.Command("btrfs", "receive", d.dir)
	cmd.Stdin = bytes.NewReader(stream)
	if out, err := cmd.CombinedOutput(); err != nil {
		dump := exec.Command("btrfs", "receive", "--dump")
		dump.Stdin = bytes.NewReader(stream)
		text, _ := dump.CombinedOutput()
		d.t.Fatalf("btrfs receive: %v\n%s\n%.3000s", err, out, text)
	}
}

// send gives what the real program writes.
func (d *disk) send(args ...string) []byte {
	d.t.Helper()
	cmd := exec.Command("btrfs", append([]string{"-q", "send"}, args...)...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("btrfs send %s: %v\n%s", strings.Join(args, " "), err, &complaint)
	}
	return out
}

// roundTrip writes one tree, and the changes to another, and compares what the
// real program makes of them.
func roundTrip(t *testing.T, d *disk, name string, before, after *fixed, opt Options) {
	t.Helper()
	a, b := before.subvolume(name+"-a"), after.subvolume(name+"-b")
	d.receive(stream(t, a, nil, opt))
	sameTree(t, "received, "+a.Name, folder(t, d.path(a.Name)).text, before.text)
	d.receive(stream(t, b, &a, opt))
	sameTree(t, "received, "+b.Name, folder(t, d.path(b.Name)).text, after.text)
}

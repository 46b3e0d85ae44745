package btrfssend

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
)

// states gives the two states of a pair as trees.
func (p pairOf) states(t testing.TB) (before, after *fixed) {
	t.Helper()
	dir := t.TempDir()
	first, second := filepath.Join(dir, "before"), filepath.Join(dir, "after")
	write(t, first, "always", "here")
	p.before(t, first)
	if out, err := exec.Command("cp", "-a", first, second).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p.after(t, second)
	return folder(t, first), folder(t, second)
}

// TestReceive has the real program apply what Write writes, full and as changes,
// forwards and back.
func TestReceive(t *testing.T) {
	shared := newDisk(t)
	for _, p := range pairs() {
		t.Run(p.name, func(t *testing.T) {
			d := &disk{t, shared.dir}
			before, after := p.states(t)
			for _, version := range []uint32{1, 2} {
				opt := Options{Version: version}
				name := fmt.Sprintf("%s, version %d", p.name, version)
				roundTrip(t, d, name, before, after, opt)
				if version == 2 {
					a, b := before.subvolume("back to a"), after.subvolume("from b")
					d.receive(stream(t, a, &b, opt))
					sameTree(t, "received back", folder(t, d.path(a.Name)).text, before.text)
					d.run("btrfs", "subvolume", "delete", d.path(a.Name))
				}
				d.run("btrfs", "subvolume", "delete", d.path(name+"-a"), d.path(name+"-b"))
			}
		})
	}
}

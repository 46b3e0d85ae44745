package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/deploy"
	"github.com/larch-project/larch/deploy/hardlink"
	"github.com/larch-project/larch/trust"
)

// tried is a backend that says of itself what a test wants.
type tried struct {
	hardlink.Backend
	support deploy.Support
}

func (b tried) Probe(context.Context, deploy.Site) deploy.Support { return b.support }

// A disk that fails at this moment is no reason to take another form.
func TestDefaultBackendIsNotChosenByAnAccident(t *testing.T) {
	for err, chosen := range map[error]bool{fmt.Errorf("probing: %w", unix.EIO): false, unix.EMFILE: false, unix.EXDEV: true} {
		m := newMachine(t)
		m.opt.Backends = []deploy.Backend{tried{support: deploy.Support{Why: err.Error(), Err: err}}, hardlink.Backend{}}
		have, failed := m.chooseBackend(t.Context(), "")
		if chosen != (have != nil) || !chosen && !errors.Is(failed, err) {
			t.Errorf("%v: %+v, %v", err, have, failed)
		}
	}
}

// A process that is killed while it tries a backend leaves what it has mounted.
func TestMountsOfKilledTrialsAreSwept(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: mounts something")
	}
	p := newPublisher(t, trust.InitOptions{})
	m := newMachine(t)
	m.trust("example", p)
	for _, name := range []string{"tmp/probe/mount", "tmp/probe/mount/inner"} {
		dir := filepath.Join(m.dir, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("probe", dir, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	}
	if err := m.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
	if held, err := m.hold(t.Context()); err != nil {
		t.Error(err)
	} else {
		held.Close()
	}
	if left, err := os.ReadDir(filepath.Join(m.dir, "tmp")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

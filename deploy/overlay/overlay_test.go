package overlay_test

import (
	"testing"

	"github.com/larch-project/larch/deploy/deploytest"
	"github.com/larch-project/larch/deploy/overlay"
)

func TestMain(m *testing.M) {
	deploytest.Main(m, deploytest.Commands{"enter": overlay.Enter})
}

// backend mounts through the test binary.
var backend = overlay.Backend{Command: []string{"/proc/self/exe", "enter"}}

func TestBackend(t *testing.T) {
	deploytest.Run(t, backend, func(t *testing.T) string { return t.TempDir() })
}

func TestAsUser(t *testing.T) { deploytest.AllAsUser(t) }

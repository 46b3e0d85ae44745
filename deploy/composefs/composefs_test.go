package composefs_test

import (
	"os"
	"testing"

	"github.com/larch-project/larch/deploy/composefs"
	"github.com/larch-project/larch/deploy/deploytest"
)

func TestBackend(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount images")
	}
	deploytest.Run(t, composefs.Backend{}, func(t *testing.T) string { return t.TempDir() })
}

func TestMain(m *testing.M) { deploytest.Main(m, nil) }

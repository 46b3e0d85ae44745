package hardlink_test

import (
	"testing"

	"github.com/larch-project/larch/deploy/deploytest"
	"github.com/larch-project/larch/deploy/hardlink"
)

func TestContract(t *testing.T) {
	deploytest.Run(t, hardlink.Backend{}, func(t *testing.T) string { return t.TempDir() })
}

package btrfssend

import (
	"errors"
	"testing"

	"github.com/larch-project/larch/tree"
)

func isRule(t *testing.T, err error, rule string) {
	t.Helper()
	var broken *tree.RuleError
	if !errors.As(err, &broken) || broken.Rule != rule {
		t.Fatalf("%v, and not rule %s", err, rule)
	}
}

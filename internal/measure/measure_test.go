package measure

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunSaysWhatACommandTook(t *testing.T) {
	u, out, err := Run([]string{"WHAT=hello"}, "sh", "-c", `echo "$WHAT"`)
	if err != nil || out != "hello\n" || u.Memory <= 0 || u.Wall <= 0 {
		t.Errorf("%v %q %v", u, out, err)
	}
	if _, _, err = Run(nil, "sh", "-c", "echo no >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "no") {
		t.Errorf("a failed command gives %v", err)
	}
}

func TestOnceLeavesNothingHalf(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	broken := errors.New("broken")
	if err := Once(dir, func(string) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("have %v", err)
	}
	calls := 0
	for range 2 {
		err := Once(dir, func(aside string) error {
			calls++
			return os.WriteFile(filepath.Join(aside, "file"), nil, 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "file")); err != nil || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

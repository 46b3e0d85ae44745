//go:build !386

package content

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// larch is the real command, built once.
var larch = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "larch-attack-")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "larch")
	out, err := exec.Command("go", "build", "-o", path, "github.com/larch-project/larch/cmd/larch").CombinedOutput()
	if err != nil {
		return "", errors.New(err.Error() + ": " + string(out))
	}
	return path, nil
})

var built string // the folder of larch

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// ran is what a run of the command came to.
type ran struct {
	code     int
	out, err string
	memory   int64 // peak, bytes
}

// run runs the command on an installation.
func run(t testing.TB, dir string, args ...string) ran {
	t.Helper()
	path, err := larch()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	home := quick(t)
	cmd.Env = append(os.Environ(), "LARCH_ROOT="+dir, "HOME="+home, "XDG_DATA_HOME="+home+"/data", "XDG_CONFIG_HOME="+home+"/config", "TMPDIR="+home)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	var failed *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return ran{cmd.ProcessState.ExitCode(), out.String(), complaint.String(), usage.Maxrss << 10}
}

// peak is what the command may take, in bytes.
const peak = 256 << 20

// judgeRun: the exit code is one of these, memory is bounded, and nothing of a
// stranger's acts on the terminal.
func judgeRun(t *testing.T, r ran, codes ...int) {
	t.Helper()
	expected := false
	for _, code := range codes {
		expected = expected || r.code == code
	}
	if !expected {
		t.Errorf("exit code %d, want %v: %s", r.code, codes, r.err)
	}
	if r.memory > peak {
		t.Errorf("%d MiB of memory", r.memory>>20)
	}
	for _, text := range []string{r.out, r.err} {
		for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
			judgeMessage(t, errors.New(line))
		}
	}
	if strings.Contains(r.err, "panic") || strings.Contains(r.err, "goroutine") {
		t.Error(r.err)
	}
}

// realWorld is a world whose clock is the real one, for the command.
func realWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOf(t, newPublisherAt(t, time.Now().Add(-24*time.Hour).Truncate(time.Second)))
}

// bomb tells a lie whose cost must stay bounded, and lets the command update to it.
func (w *world) bomb(t *testing.T, what string, l *lie, codes []int, some ...road) {
	t.Helper()
	for _, by := range some {
		t.Run(name("%s, by %s", what, by), func(t *testing.T) {
			w.p.tell(t, l, by)
			dir, verb := w.m.dir, []string{"update", "--yes"}
			if by == byStream {
				dir, verb = w.newcomer(t).dir, []string{"install", hello.String(), "--yes", "--backend", "hardlink"}
			}
			judgeRun(t, run(t, dir, verb...), codes...)
			if codes[0] != 0 {
				w.judge(t)
				return
			}
			if w.fresh = nil; by != byStream {
				w.back(t)
			}
		})
	}
}

// validJSON tells whether a text is one document.
func validJSON(s string) bool { return json.Valid([]byte(s)) }

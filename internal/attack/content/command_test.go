//go:build !386

package content

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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
	if os.Getenv(launching) != "" {
		os.Exit(launch())
	}
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// launching has this program start a command and write its peak memory to descriptor
// 3: a process starts out with the peak of the one that started it, so that one has to
// be small.
const launching = "LARCH_ATTACK_LAUNCH"

func launch() int {
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, launching) })
	if err := cmd.Run(); cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		return 125
	}
	fmt.Fprint(os.NewFile(3, "peak"), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
	return cmd.ProcessState.ExitCode()
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
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(own, append([]string{path}, args...)...)
	home := quick(t)
	cmd.Env = append(os.Environ(), launching+"=1", "LARCH_ROOT="+dir, "HOME="+home, "XDG_DATA_HOME="+home+"/data", "XDG_CONFIG_HOME="+home+"/config", "TMPDIR="+home)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	note, err := os.Create(filepath.Join(home, "peak"))
	if err != nil {
		t.Fatal(err)
	}
	defer note.Close()
	cmd.ExtraFiles = []*os.File{note}
	var failed *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	kib, err := strconv.ParseInt(string(readFile(t, note.Name())), 10, 64)
	if err != nil {
		t.Fatalf("larch %s did not run to its end: %v, %v: %s%s", args, cmd.ProcessState, err, out.String(), complaint.String())
	}
	return ran{cmd.ProcessState.ExitCode(), out.String(), complaint.String(), kib << 10}
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
	t.Logf("%d MiB", r.memory>>20)
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

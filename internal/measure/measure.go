// Package measure runs commands and says what they took, serves folders and
// counts what is asked and sent, and fetches the real trees that benchmarks
// measure with.
//
// CPU and memory are what the kernel says of finished processes. Peak memory has
// a floor: a process starts out with the peak of the one that started it, so the
// programs that measure keep little in memory themselves.
package measure

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Usage is what a command took.
type Usage struct {
	CPU    time.Duration // user and system, of the process and those it waited for
	Wall   time.Duration
	Memory int64 // peak, bytes
}

// Plus is what two commands took, one after the other.
func (u Usage) Plus(v Usage) Usage {
	return Usage{u.CPU + v.CPU, u.Wall + v.Wall, max(u.Memory, v.Memory)}
}

// Command is a command that complains on this program's standard error.
func Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	return cmd
}

// Run runs a command to its end and gives its standard output. Env is added to
// this program's environment; what the command complains of is in the error, which it may print as a document.
func Run(env []string, name string, args ...string) (Usage, string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	// The kernel counts the most that a parent ever had as the child's, too; from here on,
	// that is what it has now (proc_pid_clear_refs(5)).
	os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	if err != nil {
		return Usage{}, "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, cmp.Or(complaint.String(), out.String()))
	}
	state := cmd.ProcessState
	rusage := state.SysUsage().(*syscall.Rusage)
	return Usage{state.UserTime() + state.SystemTime(), wall, int64(rusage.Maxrss) << 10}, out.String(), nil
}

// RemoveAll removes a folder, be its folders read-only or not.
func RemoveAll(dir string) error {
	filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			os.Chmod(p, 0o755)
		}
		return nil
	})
	return os.RemoveAll(dir)
}

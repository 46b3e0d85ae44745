package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// process is a command with the files that it is handed.
type process struct {
	cmd   *exec.Cmd
	owned []*os.File // to close when the command has ended
	args  []string   // options of bubblewrap, for --args
}

func (p *process) close() {
	for _, f := range p.owned {
		f.Close()
	}
	p.owned = nil
}

// own closes a file with the process.
func (p *process) own(f *os.File) { p.owned = append(p.owned, f) }

// add appends options of bubblewrap.
func (p *process) add(args ...string) { p.args = append(p.args, args...) }

// pass hands bubblewrap a file, which p then owns, and gives the number by which
// it knows it.
func (p *process) pass(f *os.File) string {
	p.own(f)
	p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, f)
	return strconv.Itoa(2 + len(p.cmd.ExtraFiles))
}

// passData hands bubblewrap bytes to read.
func (p *process) passData(name string, data []byte) (string, error) {
	f, err := memory(name, data, 0)
	if err != nil {
		return "", err
	}
	return p.pass(f), nil
}

// memory gives a file without a name that holds data, at its beginning. Flags that
// an older kernel does not know (those of Linux 6.3) are left out.
func memory(name string, data []byte, flags int) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|flags)
	if err == unix.EINVAL && flags != 0 {
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fmt.Errorf("memory for %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.WriteAt(data, 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("memory for %s: %w", name, err)
	}
	return f, nil
}

// run starts the command, waits, and tells the program's end from bubblewrap's.
func (p *process) run(ctx context.Context) (int, error) {
	// The kernel ends the sandbox with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	status, err := p.start()
	if err != nil {
		return 0, err
	}
	report, _ := io.ReadAll(io.LimitReader(status, 64<<10))
	status.Close()
	err = p.cmd.Wait()
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	code := exitCode(p.cmd.ProcessState)
	if p.args != nil && p.cmd.ProcessState.Exited() && code != 0 && !ended(report) {
		return 0, fmt.Errorf("%w: it ended with code %d before the program began%s", ErrUnusable, code, whyNoNamespaces(os.ReadFile))
	}
	return code, nil
}

// start starts the command; what it gives is at its end when bubblewrap is, and
// holds its report.
func (p *process) start() (*os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer write.Close()
	if p.args != nil {
		// Behind all other files; the options were written without it.
		p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, write)
		number := strconv.Itoa(2 + len(p.cmd.ExtraFiles))
		p.cmd.Args = append([]string{p.cmd.Args[0], "--json-status-fd", number}, p.cmd.Args[1:]...)
	}
	if err := p.cmd.Start(); err != nil {
		read.Close()
		return nil, err
	}
	return read, nil
}

// ended tells whether bubblewrap reported that the program ran to its end.
func ended(report []byte) bool {
	for d := json.NewDecoder(bytes.NewReader(report)); ; {
		var line struct {
			ExitCode *int `json:"exit-code"`
		}
		if d.Decode(&line) != nil {
			return false
		}
		if line.ExitCode != nil {
			return true
		}
	}
}

// exitCode is what a shell would say.
func exitCode(s *os.ProcessState) int {
	if status, ok := s.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return s.ExitCode()
}

// whyNoNamespaces says which setting keeps this user from sandboxes; "" if none is
// known.
func whyNoNamespaces(read func(string) ([]byte, error)) string {
	for _, s := range []struct{ name, forbids, words string }{
		{"/proc/sys/user/max_user_namespaces", "0", "user namespaces are switched off"},
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", "user namespaces are for root alone"},
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "AppArmor restricts user namespaces: bwrap needs a profile that allows them"},
	} {
		if value, err := read(s.name); err == nil && strings.TrimSpace(string(value)) == s.forbids {
			return fmt.Sprintf(": %s (%s is %s)", s.words, s.name, s.forbids)
		}
	}
	return ""
}

package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
)

// maxArgs bounds what the options of one sandbox may take, in bytes.
const maxArgs = 1 << 20

// bubblewrap is the program as this machine has it.
type bubblewrap struct {
	path          string
	disableUserns bool // it can forbid namespaces inside the sandbox
}

// findBubblewrap looks for the program and asks it what it can do. A setuid one is
// refused: it would prepare, as root, what the caller asks for.
func findBubblewrap(ctx context.Context, name, searchPath string) (*bubblewrap, error) {
	b := &bubblewrap{path: name}
	if name == "" {
		b.path = lookPath("bwrap", searchPath)
	}
	info, err := os.Stat(b.path)
	switch {
	case b.path == "" || errors.Is(err, fs.ErrNotExist):
		return nil, ErrNoBubblewrap
	case err != nil:
		return nil, fmt.Errorf("bubblewrap: %w", err)
	case info.Mode()&os.ModeSetuid != 0:
		return nil, fmt.Errorf("%w: %s is setuid: remove its mark, and let users have namespaces", ErrUnusable, b.path)
	}
	help := exec.CommandContext(ctx, b.path, "--help")
	help.Env = []string{}
	text, err := help.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: asking %s what it can do: %w", ErrUnusable, b.path, err)
	}
	for _, option := range []string{"--bind-fd ", "--json-status-fd ", "--perms ", "--cap-drop "} {
		if !bytes.Contains(text, []byte(option)) {
			return nil, fmt.Errorf("%w: %s is too old, it has no option %s: update the package bubblewrap", ErrUnusable, b.path, strings.TrimSpace(option))
		}
	}
	b.disableUserns = bytes.Contains(text, []byte("--disable-userns "))
	return b, nil
}

// lookPath finds a program in the absolute folders of a PATH; "" if it is in none.
func lookPath(name, searchPath string) string {
	for _, dir := range filepath.SplitList(searchPath) {
		if full := filepath.Join(dir, name); filepath.IsAbs(dir) && unix.Access(full, unix.X_OK) == nil {
			return full
		}
	}
	return ""
}

// executable gives the path to execute, when it is known which files are passed.
// Bubblewrap's first process stays in the sandbox, where root's program could open it
// by /proc/1/exe and, on some kernels, write to it; so root runs a sealed copy.
func (b *bubblewrap) executable(p *process, uid int) (string, error) {
	if uid != 0 {
		return b.path, nil
	}
	f, err := os.Open(b.path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	program, err := io.ReadAll(f)
	if err != nil {
		return "", err
	}
	copied, err := memory("bwrap", program, unix.MFD_EXEC)
	if err != nil {
		return "", err
	}
	defer copied.Close()
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(copied.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return "", fmt.Errorf("sealing a copy of bwrap: %w", err)
	}
	// Above the numbers that the files passed to it will have, and those that they take
	// on the way there.
	above := max(512, 4*len(p.cmd.ExtraFiles))
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil && limit.Cur <= uint64(above) {
		above = int(limit.Cur) - 1
	}
	fd, err := unix.FcntlInt(copied.Fd(), unix.F_DUPFD_CLOEXEC, above)
	if err != nil {
		return "", fmt.Errorf("copy of bwrap: %w", err)
	}
	p.own(os.NewFile(uintptr(fd), "bwrap"))
	return "/proc/self/fd/" + strconv.Itoa(fd), nil
}

// confined prepares a program in its sandbox.
func confined(ctx context.Context, h *host, app App, args []string, opt Options) (*process, error) {
	b, err := findBubblewrap(ctx, opt.Bwrap, h.environ["PATH"])
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, b.path)}
	p.cmd.Env = []string{} // of bubblewrap; the program's own is among the options
	err = build(p, b, h, app, args, opt)
	if err == nil {
		p.cmd.Path, err = b.executable(p, h.uid)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// build writes the options, in the order in which bubblewrap carries them out.
func build(p *process, b *bubblewrap, h *host, app App, args []string, opt Options) error {
	s := &setup{process: p, host: h, app: app, note: opt.Note, env: make(map[string]string)}
	if s.note == nil {
		s.note = func(string) {}
	}
	p.args = []string{}
	s.isolate(b)
	for _, step := range []func() error{
		s.base, s.programs, s.etc, s.devices,
		func() error { return s.folders(opt.Hidden) },
		s.dataFolder, s.persistent, s.command, s.sockets, s.seccomp,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	s.add("--remount-ro", "/", "--chdir", s.start(opt.Dir))
	s.environment()
	number, err := p.passData("arguments", []byte(strings.Join(p.args, "\x00")+"\x00"))
	if err != nil {
		return err
	}
	p.cmd.Args = append([]string{"bwrap", "--args", number, "--", s.app.Command}, args...)
	return checkArgs(p)
}

// checkArgs is a last look at what bubblewrap will be given.
func checkArgs(p *process) error {
	size := 0
	for _, arg := range p.args {
		size += len(arg) + 1
		if strings.ContainsRune(arg, 0) {
			return fmt.Errorf("%w: NUL in an option", ErrPolicy)
		}
	}
	if size > maxArgs {
		return fmt.Errorf("%w: options of %d bytes, limit %d", ErrPolicy, size, maxArgs)
	}
	return nil
}

// setup is a sandbox being built.
type setup struct {
	*process
	host    *host
	app     App
	note    func(string)
	env     map[string]string
	files   *beneath.Dir // of the application
	runtime *beneath.Dir // of its runtime; nil for the machine's
	places  []place      // of the machine, sorted by path
	kept    *beneath.Dir // the program's own data
	data    string       // where that is
}

// isolate takes everything away; the steps after it give back.
func (s *setup) isolate(b *bubblewrap) {
	s.add("--unshare-user", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try",
		"--die-with-parent", "--new-session", "--cap-drop", "ALL")
	if b.disableUserns {
		s.add("--disable-userns")
	}
	if !s.shares("network") {
		s.add("--unshare-net")
	}
	if !s.shares("ipc") {
		s.add("--unshare-ipc")
	}
}

func (s *setup) seccomp() error {
	program, err := filterBytes(runtime.GOARCH, s.app.Metadata.Permissions.Features)
	if err != nil {
		return err
	}
	number, err := s.passData("seccomp", program)
	if err != nil {
		return err
	}
	s.add("--seccomp", number)
	return nil
}

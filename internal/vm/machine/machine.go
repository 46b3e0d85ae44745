// Package machine starts virtual machines that end when their job is done: QEMU for
// the hardware, virtiofsd to show the host's / to the guest, and this very program
// as the guest's first process (package guest).
//
// It needs root, since virtiofsd answers in the guest's name for all users' files.
// Nothing of a machine is left behind; where the program that started it is killed
// with SIGKILL, its processes still end, and only a folder of some megabytes stays.
package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/larch-project/larch/internal/vm/guest"
	"github.com/larch-project/larch/internal/vm/kernel"
)

// Config describes a machine.
type Config struct {
	Kernel  kernel.Kernel
	Job     guest.Job // Modules, Index and Disks are filled in
	Disks   []string  // images, raw, that the guest changes: /dev/vda, /dev/vdb and so on
	Memory  int       // MiB
	KVM     bool      // use the processor itself; otherwise it is emulated
	Stdout  io.Writer // of the commands; their stdin is empty
	Stderr  io.Writer
	CutText string // cut the power when this appears on Stdout; empty: never
}

// BootTime is how long a guest may take until its commands begin. An emulated one
// takes 3 seconds on an idle host, and took 10 on a busy one.
const BootTime = 4 * time.Minute

// ErrCut says that Config.CutText was seen, and the power cut. What the guest had
// handed to its disks by then is in their images, asked to be durable or not; what
// it still had in memory is lost.
var ErrCut = errors.New("the power was cut")

// A DiedError says that a machine ended before its job did.
type DiedError struct {
	Early   bool   // before the first command began
	Console string // the end of what the guest's kernel printed
	QEMU    string // the same of QEMU and, in early boot, of virtiofsd
}

func (e *DiedError) Error() string {
	when := "while its commands ran"
	if e.Early {
		when = "in early boot"
	}
	return fmt.Sprintf("the guest died %s\n%s%s", when, e.QEMU, e.Console)
}

// Run boots a machine, waits for its end, and gives the exit status of each
// command. When ctx ends, so does the machine, at once, and the error is ctx's
// cause. Other errors: ErrCut and *DiedError.
func Run(ctx context.Context, c Config) (statuses []int, err error) {
	runtime.LockOSThread() // the helpers live as long as the thread that started them
	defer runtime.UnlockOSThread()
	dir, err := os.MkdirTemp("", "larch-vm-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c.Job.Modules, c.Job.Index, c.Job.Disks = c.Kernel.Modules(), c.Kernel.IndexFile(), len(c.Disks)
	if err := writeArchive(filepath.Join(dir, archive), c.Kernel, c.Job); err != nil {
		return nil, fmt.Errorf("making the guest's first file system: %w", err)
	}
	stop, err := share(dir)
	if err != nil {
		return nil, err
	}
	defer stop()
	return boot(ctx, dir, c)
}

// boot runs QEMU until it ends.
func boot(ctx context.Context, dir string, c Config) ([]int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := newWatch(c.Stdout, c.CutText, cancel)
	cmd := exec.CommandContext(ctx, emulator, arguments(dir, c)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	printed, err := os.Create(filepath.Join(dir, printedFile))
	if err != nil {
		return nil, err
	}
	defer printed.Close()
	cmd.Stdout, cmd.Stderr = printed, printed
	lines, err := connect(cmd, w.stdout, c.Stderr, w.events)
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		lines.abandon()
		return nil, fmt.Errorf("%w; `vm setup` installs it", err)
	}
	late := time.AfterFunc(BootTime, w.tooLate)
	defer late.Stop()
	err = errors.Join(lines.drain(), ignoreExit(cmd.Wait()))
	switch cause := context.Cause(ctx); cause {
	case nil, errBoot:
	case ErrCut:
		return nil, cause
	default:
		return nil, fmt.Errorf("%w\n%s", cause, end(dir, consoleFile))
	}
	if err != nil {
		return nil, err
	}
	if statuses := w.statuses(); len(statuses) == len(c.Job.Commands) {
		return statuses, nil
	}
	return nil, died(dir, !w.isUp())
}

// ignoreExit drops the news that QEMU was killed or failed: what that means is
// known from the events.
func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

const (
	consoleFile = "console"
	printedFile = "qemu.log"
	shareLog    = "virtiofsd.log"
	tail        = 4 << 10 // bytes of each that are worth reading
)

func died(dir string, early bool) error {
	e := &DiedError{Early: early, Console: end(dir, consoleFile), QEMU: end(dir, printedFile)}
	if early { // later it only tells that QEMU has gone
		e.QEMU += end(dir, shareLog)
	}
	return e
}

// end gives the last lines of a file, or nothing where there is none.
func end(dir, name string) string {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	text = text[max(0, len(text)-tail):]
	return strings.ToValidUTF8(string(text), "?")
}

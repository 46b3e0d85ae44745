package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Statuses of commands that could not be run, as shells have them.
const (
	notRunnable = 126
	notFound    = 127
)

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Devices appear a moment after their driver.
const (
	deviceTries = 1000
	devicePause = 10 * time.Millisecond
)

// ports are the ways out. Each file is in blocking mode, since commands inherit it:
// a write returns when the host has taken all of it.
type ports struct{ stdout, stderr, event int }

// openPorts finds the ports by name.
func openPorts() (p ports, err error) {
	for name, port := range map[string]*int{StdoutPort: &p.stdout, StderrPort: &p.stderr, EventPort: &p.event} {
		if *port, err = openPort(name); err != nil {
			return p, err
		}
	}
	return p, nil
}

func openPort(name string) (int, error) {
	var device string
	err := await("port "+name, func() bool {
		files, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, f := range files {
			if have, err := os.ReadFile(f); err == nil && strings.TrimSpace(string(have)) == name {
				device = filepath.Join("/dev", filepath.Base(filepath.Dir(f)))
				return exists(device)
			}
		}
		return false
	})
	if err != nil {
		return -1, err
	}
	fd, err := unix.Open(device, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: device, Err: err}
	}
	return fd, nil
}

func waitForDisks(n int) error {
	for i := range n {
		disk := "/dev/vd" + string(rune('a'+i))
		if err := await(disk, func() bool { return exists(disk) }); err != nil {
			return err
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func await(what string, there func() bool) error {
	for range deviceTries {
		if there() {
			return nil
		}
		time.Sleep(devicePause)
	}
	return fmt.Errorf("%s did not appear", what)
}

func (p ports) say(e Event) error { return write(p.event, e.String()+"\n") }

func write(fd int, text string) error {
	for len(text) > 0 {
		n, err := unix.Write(fd, []byte(text))
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("writing to the host: %w", err)
		}
		text = text[max(n, 0):]
	}
	return nil
}

// run runs one command and gives its exit status. Processes that it leaves behind
// go on.
func run(c Command, p ports) int {
	if c.Title != "" {
		// the output before may have ended within a line
		if err := write(p.stdout, "\n"+titleLine(c.Title)); err != nil {
			return notRunnable
		}
	}
	pid, err := start(c, p)
	if err != nil {
		write(p.stderr, fmt.Sprintf("guest: %v\n", err))
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			return notFound
		}
		return notRunnable
	}
	return wait(pid)
}

func start(c Command, p ports) (pid int, err error) {
	os.Setenv("PATH", searchPath) // where LookPath looks
	name := c.Args[0]
	if strings.Contains(name, "/") && !filepath.IsAbs(name) {
		name = filepath.Join(c.Dir, name)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return 0, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	pid, err = syscall.ForkExec(path, c.Args, &syscall.ProcAttr{
		Dir:   c.Dir,
		Env:   append([]string{"PATH=" + searchPath, "HOME=/root"}, c.Env...),
		Files: []uintptr{null.Fd(), uintptr(p.stdout), uintptr(p.stderr)},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, &fs.PathError{Op: "executing", Path: path, Err: err}
	}
	return pid, nil
}

// wait waits for a child, and collects the orphans that end meanwhile.
func wait(pid int) int {
	for {
		var status unix.WaitStatus
		switch ended, err := unix.Wait4(-1, &status, 0, nil); {
		case err == unix.EINTR:
		case err != nil:
			return notRunnable
		case ended != pid:
		case status.Signaled():
			return 128 + int(status.Signal())
		default:
			return status.ExitStatus()
		}
	}
}

// reapAll waits for all that were killed.
func reapAll() {
	for {
		if _, err := unix.Wait4(-1, nil, 0, nil); err != nil && err != unix.EINTR {
			return
		}
	}
}

package fuse

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
)

// What the processes are, by the first argument of Serve.
const (
	roleSupervisor = "serve"
	roleChild      = "child"
)

// readyWord is what the supervisor says when it has mounted; anything else is why it
// could not.
const readyWord = "ready"

// Files that the processes inherit.
const (
	rootFD   = 3 // the site's root, in both
	readyFD  = 4 // in the supervisor: where it says that it is ready
	deviceFD = 4 // in the child: the connection to the kernel
	servedFD = 5 // in the child: where it says that it has answered a request
	opensFD  = 6 // in the child: the table of open files
	askedFD  = 7 // in the child: the requests that are under way
)

// Serve is what the command that Backend.Command names does: args are what follows the
// command, and source, which may be nil, has the contents that the store lacks. It
// returns when nothing is mounted any more. It takes over the files 3 to 7 that it
// finds open, so it is for a process of its own.
func Serve(ctx context.Context, command, args []string, source Source) error {
	if len(args) == 0 {
		return errors.New("fuse: to be started by larch alone")
	}
	unix.CloseOnExec(rootFD)
	unix.CloseOnExec(readyFD)
	root, err := beneath.Open("/proc/self/fd/" + strconv.Itoa(rootFD))
	if err != nil {
		return fmt.Errorf("fuse: to be started by larch alone: %w", err)
	}
	switch { // root stays open as long as the process lives
	case args[0] == roleSupervisor && len(args) == 2:
		s := supervisor{command: command, path: args[1], root: root, log: newLog(root, time.Now)}
		return s.run(ctx, os.NewFile(readyFD, "ready"))
	case args[0] == roleChild && len(args) == 4:
		unix.CloseOnExec(servedFD)
		unix.CloseOnExec(opensFD)
		unix.CloseOnExec(askedFD)
		return serveChild(root, args[2], args[3], source)
	}
	return fmt.Errorf("fuse: unknown arguments %q", args)
}

// supervisor keeps the connection to the kernel open while the child serves it, and
// starts another child when one dies: the mount outlives it.
type supervisor struct {
	command []string
	path    string // of the root, for who lists processes
	root    *beneath.Dir
	log     *logFile
	device  *os.File
	opens   *os.File // the table of open files
	asked   *os.File // the requests that are under way
	init    []byte   // the kernel's first request, which every child has to know
}

// run mounts, says so, and sees to it that there is a child until the mount is gone.
func (s *supervisor) run(ctx context.Context, ready *os.File) error {
	c, err := s.begin(ctx)
	if err != nil {
		fmt.Fprintln(ready, err)
		ready.Close()
		return err
	}
	defer s.device.Close()
	fmt.Fprintln(ready, readyWord)
	ready.Close()
	stop := context.AfterFunc(ctx, func() { detach(context.WithoutCancel(ctx), s.root) })
	defer stop()
	return s.watch(c)
}

// begin mounts and starts the first child.
func (s *supervisor) begin(ctx context.Context) (_ *child, err error) {
	if s.device, err = attach(ctx, s.root); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			detach(ctx, s.root)
			s.device.Close()
		}
	}()
	if s.init, err = greet(int(s.device.Fd())); err != nil {
		return nil, fmt.Errorf("greeting the kernel: %w", err)
	}
	readAhead(s.root)
	if s.opens, err = newShared("larch-opens", tableSize); err != nil {
		return nil, err
	}
	if s.asked, err = newShared("larch-asked", underwaySize); err != nil {
		return nil, err
	}
	return s.start(childFirst)
}

// readAhead has the kernel ask for as much at a time as a request can hold: it takes
// 128 KiB otherwise. That needs root, and is not necessary. It asks the mount nothing: a
// supervisor that waits for an answer and is killed, and the child with it, keeps the
// connection open for ever.
func readAhead(root *beneath.Dir) {
	major, minor, err := root.Device(mountPoint)
	if err != nil || os.Geteuid() != 0 {
		return
	}
	name := fmt.Sprintf(readAheadName, major, minor)
	_ = os.WriteFile(name, []byte(strconv.Itoa(maxRead>>10)), 0)
}

// readAheadName is where a device's is, in KiB.
const readAheadName = "/sys/class/bdi/%d:%d/read_ahead_kb"

// How a child comes to its connection.
const (
	childFirst = "first"
	childAgain = "again" // another one has answered requests before
)

// child is a process that serves.
type child struct {
	cmd    *exec.Cmd
	served *os.File // where it writes one byte, when it has answered a request
}

// start starts a child.
func (s *supervisor) start(how string) (*child, error) {
	served, its, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer its.Close()
	args := append(s.command[1:len(s.command):len(s.command)], roleChild, s.path, how, hex.EncodeToString(s.init))
	c := &child{exec.Command(s.command[0], args...), served}
	c.cmd.Dir = "/"
	c.cmd.ExtraFiles = []*os.File{s.root.File(), s.device, its, s.opens, s.asked}
	if err := c.cmd.Start(); err != nil {
		served.Close()
		return nil, err
	}
	return c, nil
}

// wait waits until it has ended, and tells whether it had answered anything.
func (c *child) wait() (served bool, err error) {
	defer c.served.Close()
	err = c.cmd.Wait()
	n, _ := c.served.Read(make([]byte, 1))
	return n > 0, err
}

// maxUseless is how many children, one after the other, may die before they have answered
// a request: the mount is given up then, and who waits for it gets an error.
const maxUseless = 8

// watch starts a new child when one dies; one that ends by itself has found the mount
// gone.
func (s *supervisor) watch(c *child) error {
	for useless := 0; ; {
		served, err := c.wait()
		if err == nil {
			return nil
		}
		if useless++; served {
			useless = 0
		}
		s.log.printf("the server ended: %v", err)
		if useless == maxUseless {
			err = fmt.Errorf("the server died %d times before it answered: %w", useless, err)
		} else if c, err = s.start(childAgain); err == nil {
			continue
		}
		s.log.printf("the mount is given up: %v", err)
		return errors.Join(err, detach(context.Background(), s.root))
	}
}

// parseHow reads the arguments of a child.
func parseHow(how, initText string) (again bool, init []byte, err error) {
	init, err = hex.DecodeString(strings.TrimSpace(initText))
	if err != nil || how != childFirst && how != childAgain {
		return false, nil, fmt.Errorf("fuse: unknown arguments %q, %q", how, initText)
	}
	return how == childAgain, init, nil
}

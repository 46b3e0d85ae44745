package disk

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Device is a block device whose content is in memory, of a process of its own.
type Device struct {
	folder  string
	server  *exec.Cmd
	loop    *Loop
	journal journal
	faults  *faults
}

// Open serves a device that begins as the image in a file, which is only read. folder
// is made; nothing else may be in it.
func Open(image, folder string) (*Device, error) {
	mounted := filepath.Join(folder, "mnt")
	if err := os.MkdirAll(mounted, 0o700); err != nil {
		return nil, err
	}
	d := &Device{folder: folder}
	log, control := filepath.Join(folder, "log"), filepath.Join(folder, "control")
	var err error
	if d.journal, err = openJournal(log); err != nil {
		return nil, err
	}
	if d.faults, err = mapFaults(control); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if err := d.start(image, mounted, log, control); err != nil {
		return nil, errors.Join(fmt.Errorf("serving a disk: %w", err), d.Close())
	}
	if d.loop, err = Attach(filepath.Join(mounted, fileName)); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// start starts the server, and waits until it serves.
func (d *Device) start(args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	server := exec.Command(self)
	server.Args = append([]string{childName}, args...)
	server.Stderr = os.Stderr
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	d.server = server
	_, err = bufio.NewReader(said).ReadString('\n')
	return err
}

// Path is the block device's.
func (d *Device) Path() string { return d.loop.Path() }

// Mark adds a mark to the log.
func (d *Device) Mark(text string) error { return d.journal.add(Entry{Kind: Mark, Text: text}) }

// Log is what the device was asked until now.
func (d *Device) Log() ([]Entry, error) { return d.journal.read() }

// Fail makes the next n requests of these kinds fail with an input or output error.
func (d *Device) Fail(ops Op, n int64) { d.faults.set(ops, n) }

// Close ends the device, which must not be mounted, and removes its folder.
func (d *Device) Close() error {
	var err error
	if d.faults != nil {
		d.faults.set(0, 0)
	}
	if d.loop != nil {
		err = d.loop.Close()
	}
	if d.server != nil {
		mounted := filepath.Join(d.folder, "mnt")
		if busy := Unmount(mounted); busy != nil {
			err = errors.Join(err, busy)
			unix.Unmount(mounted, unix.MNT_DETACH)
			d.server.Process.Kill()
		}
		d.server.Wait()
	}
	d.journal.f.Close()
	return errors.Join(err, os.RemoveAll(d.folder))
}

// patience is how long the kernel may take to let go of something.
const patience = 20 * time.Second

var errPatience = errors.New("the kernel has not let go of it")

// await waits for something of which the kernel sends no word.
func await(is func() bool) error {
	for begin := time.Now(); !is(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > patience {
			return errPatience
		}
	}
	return nil
}

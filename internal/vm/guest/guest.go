package guest

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Enter takes a process over that runs in a guest, as its first process or as the
// kernel's modprobe; then it does not return. Elsewhere it does nothing. A program
// calls it before anything else, with its arguments.
func Enter(args []string) {
	switch {
	case os.Getpid() == 1 && args[0] == "/"+InitFile:
		if err := live(); err != nil {
			fmt.Fprintf(os.Stderr, "guest: %v\n", err) // the console
		}
		powerOff()
	case args[0] == modprobeFile:
		os.Exit(modprobe(args))
	}
}

func live() error {
	if err := mountKernel(); err != nil {
		return err
	}
	job, err := readJob("/" + JobFile)
	if err != nil {
		return err
	}
	if err := loadEarly("/" + EarlyDir); err != nil {
		return err
	}
	if err := switchRoot(job); err != nil {
		return err
	}
	ports, err := openPorts()
	if err != nil {
		return err
	}
	if err := prepare(job); err != nil {
		return err
	}
	if err := ports.say(Event{Up: true}); err != nil {
		return err
	}
	for _, c := range job.Commands {
		if err := ports.say(Event{Status: run(c, ports)}); err != nil {
			return err
		}
	}
	return nil
}

// prepare does what needs nothing but the new root.
func prepare(job Job) error {
	if err := serveModules(); err != nil {
		return err
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	if err := load(job, append([]string{"loop"}, job.Load...)...); err != nil {
		return err
	}
	if err := waitForDisks(job.Disks); err != nil {
		return err
	}
	for _, m := range job.Mounts {
		if err := mountAt(m.Device, m.Dir, m.Type, 0, ""); err != nil {
			return err
		}
	}
	return nil
}

func readJob(path string) (job Job, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return job, err
	}
	return job, json.Unmarshal(data, &job)
}

// powerOff leaves file systems clean: every process is ended, and everything that
// can be is unmounted.
func powerOff() {
	unix.Kill(-1, unix.SIGKILL) // all but this one
	reapAll()
	unix.Sync()
	unmountAll()
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Fprintf(os.Stderr, "guest: turning off: %v\n", err)
	}
	select {}
}

// loopbackUp lets programs talk to servers of their own.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	defer unix.Close(s)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}

package guest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/vm/modules"
)

// modprobeFile is this program under the name by which the kernel calls it.
const modprobeFile = runDir + "/modprobe"

// serveModules has the kernel ask this program for modules that it misses.
func serveModules() error {
	return os.WriteFile("/proc/sys/kernel/modprobe", []byte(modprobeFile), 0)
}

// modprobe loads the module that the kernel asks for, by its last argument, and
// gives the exit status.
func modprobe(args []string) int {
	job, err := readJob(filepath.Join(runDir, JobFile))
	if err == nil {
		err = load(job, args[len(args)-1])
	}
	var unknown *modules.UnknownError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &unknown): // what a kernel lacks it asks for in hope alone
		console(err)
	}
	return 1
}

// console prints to the console: a process that the kernel started has no stderr.
func console(err error) {
	f, openErr := os.OpenFile("/dev/console", os.O_WRONLY, 0)
	if openErr != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "guest: %v\n", err)
}

// load loads modules of the host's folder, and what these need.
func load(job Job, names ...string) error {
	text, err := os.ReadFile(job.Index)
	if err != nil {
		return err
	}
	index, err := modules.Parse(string(text))
	if err != nil {
		return err
	}
	paths, err := index.Order(names...)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := loadFile(job.module(path)); err != nil {
			return err
		}
	}
	return nil
}

// loadEarly loads all modules of a folder of the archive, in the order of names.
func loadEarly(dir string) error {
	entries, err := os.ReadDir(dir)     // sorted
	if errors.Is(err, os.ErrNotExist) { // all are built in
		return nil
	}
	for _, e := range entries {
		if err := loadFile(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return err
}

// loadFile loads one module, unless it is loaded already.
func loadFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && err != unix.EEXIST {
		return fmt.Errorf("loading %s: %w", path, err)
	}
	return nil
}

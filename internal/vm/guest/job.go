// Package guest is what runs inside a virtual machine: its first process, which
// prepares a system out of what the host shares, runs commands in it, and turns the
// machine off.
//
// It is the same program that started the machine: the archive that the kernel
// unpacks holds it as /init, beside the [Job] and the modules that must be loaded
// before anything of the host can be seen. The host's / is then mounted below an
// overlay, whose upper layer is memory, and becomes the guest's /. So commands find
// the tools and files of the host, and what they change is lost with the machine,
// except below the folders of Job.Writable and on disks.
//
// When a module is missing, the kernel calls /run/vm/modprobe: this program again.
// [Enter] finds out which of the two a process is.
//
// The commands' stdout and stderr and, on a third line, what happened ([Event]),
// leave by ports of virtio-serial. What goes wrong before is on the console.
package guest

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// The names that host and guest have agreed on.
const (
	ShareTag   = "host" // of the share with the host's /
	StdoutPort = "out"
	StderrPort = "err"
	EventPort  = "event"
	InitFile   = "init"     // in the archive: this program, where the kernel looks for it
	JobFile    = "job.json" // in the archive, and again in the guest's /run/vm
	EarlyDir   = "modules"  // in the archive: 000.ko, 001.ko and so on, to be loaded before the share is there
	runDir     = "/run/vm"  // in the guest
)

// Early lists the modules without which nothing of the host can be seen.
func Early() []string {
	return []string{"virtio_pci", "virtio_console", "virtio_blk", "fuse", "virtiofs", "overlay"}
}

// Job says what is to be done in a guest. Paths are the host's.
type Job struct {
	Modules  string    // the folder of the kernel's modules
	Index    string    // the file with their index
	Load     []string  // modules to load before the commands, beyond those that the kernel asks for
	Writable []string  // folders in which changes are the host's
	Disks    int       // how many disks to wait for: /dev/vda, /dev/vdb and so on
	Mounts   []Mount   // file systems on those
	Commands []Command // run one after another
}

// Mount is a file system on a disk; its folder is made.
type Mount struct{ Device, Type, Dir string }

// Command is one program to be run as root. Its environment has PATH and HOME, and
// what Env adds. The program is looked for in PATH.
type Command struct {
	Title string // if not empty, a line on stdout says it before the command begins: ParseTitle
	Args  []string
	Dir   string
	Env   []string
}

const titleMark = "=== command "

func titleLine(title string) string { return titleMark + title + "\n" }

// ParseTitle finds the title in a line of stdout that says one.
func ParseTitle(line string) (title string, ok bool) {
	title, ok = strings.CutPrefix(line, titleMark)
	return strings.TrimSuffix(title, "\n"), ok
}

// Event is what the guest says of its progress, one on a line: "up" when
// everything is prepared, then "exit STATUS" for each command.
type Event struct {
	Up     bool // the commands begin
	Status int  // otherwise: how a command ended, 128+N by signal N
}

func (e Event) String() string {
	if e.Up {
		return "up"
	}
	return "exit " + strconv.Itoa(e.Status)
}

// ParseEvent reads one line.
func ParseEvent(line string) (Event, error) {
	if line == "up" {
		return Event{Up: true}, nil
	}
	text, ok := strings.CutPrefix(line, "exit ")
	status, err := strconv.Atoi(text)
	if !ok || err != nil || status < 0 || status > 255 {
		return Event{}, fmt.Errorf("the guest said %q", line)
	}
	return Event{Status: status}, nil
}

// Encode writes a job for the archive.
func (j Job) Encode() ([]byte, error) { return json.Marshal(j) }

func (j Job) module(path string) string { return filepath.Join(j.Modules, path) }

package release

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/larch-project/larch/internal/escape"
)

// Permissions are the holes in a program's sandbox, each list as it is in the end:
// items that a later "!" takes away are gone, except in Filesystems, where they
// keep part of a place that is given. Items that this version does not know stay
// in the lists, and nothing is given for them. The zero value is complete
// isolation.
type Permissions struct {
	Shared      []string          `json:"shared,omitempty"`      // network, ipc
	Sockets     []string          `json:"sockets,omitempty"`     // wayland, x11, fallback-x11, pulseaudio
	Devices     []string          `json:"devices,omitempty"`     // dri, input, kvm, shm, usb, all
	Features    []string          `json:"features,omitempty"`    // devel, bluetooth, canbus
	Filesystems []string          `json:"filesystems,omitempty"` // as Filesystem.String writes them, each place once
	Persistent  []string          `json:"persistent,omitempty"`  // folders in the program's home that outlast a run
	Unset       []string          `json:"unset,omitempty"`       // variables that are not passed on
	Environment map[string]string `json:"environment,omitempty"` // variables that are set
}

// known says what each item lets a program do. What is not in here is not given.
var known = map[string]map[string]string{
	"shared": {
		"network": "use the network",
		"ipc":     "exchange shared memory and messages with other programs (System V IPC)",
	},
	"socket": {
		"wayland":      "show windows (Wayland)",
		"x11":          "show windows (X11), and so see and control all other X11 windows",
		"fallback-x11": "show windows (X11) where there is no Wayland, and so see and control all other X11 windows",
		"pulseaudio":   "play sound, and record it",
	},
	"device": {
		"dri":   "use the graphics card",
		"input": "read keyboards, mice and game controllers directly",
		"kvm":   "run virtual machines",
		"shm":   "exchange shared memory with other programs (/dev/shm)",
		"usb":   "use USB devices",
		"all":   "use all devices",
	},
	"feature": {
		"devel":     "trace and measure its own processes",
		"bluetooth": "use Bluetooth sockets",
		"canbus":    "use CAN bus sockets",
	},
}

// Describe says in plain words what a run gives beyond the sandbox, a line each,
// safe to print: just what the sandbox uses, and what is asked for and not given.
func (p Permissions) Describe() []string {
	var lines []string
	for _, l := range p.flags() {
		for _, item := range l.items {
			lines = append(lines, describeFlag(l.kind, item))
		}
	}
	for _, item := range p.Filesystems {
		lines = append(lines, describeFilesystem(item))
	}
	for _, name := range p.Persistent {
		lines = append(lines, describePersistent(name))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Environment)) {
		lines = append(lines, fmt.Sprintf(`set the variable %s to "%s"`, escape.Text(name), escape.Text(p.Environment[name])))
	}
	for _, name := range p.Unset {
		lines = append(lines, "leave out the variable "+escape.Text(name))
	}
	return lines
}

// Gained says, in the words of Describe, what p allows that old does not: for an
// update to ask about. It errs on the side of asking. Folders that the program
// keeps for itself and variables of its own environment are not asked about.
func (p Permissions) Gained(old Permissions) []string {
	var lines []string
	had := old.flags()
	for i, l := range p.flags() {
		for _, item := range l.items {
			if !slices.Contains(had[i].items, item) {
				lines = append(lines, describeFlag(l.kind, item))
			}
		}
	}
	now, before := p.places(), old.places()
	seen := make(map[string]bool)
	for _, at := range slices.Concat(now, before) {
		at.Access = access(now, at.Place)
		if !seen[at.Place] && at.Access > access(before, at.Place) {
			lines = append(lines, describeFilesystem(at.String()))
		}
		seen[at.Place] = true
	}
	return lines
}

type flags struct {
	kind  string
	items []string
}

func (p Permissions) flags() []flags {
	return []flags{{"shared", p.Shared}, {"socket", p.Sockets}, {"device", p.Devices}, {"feature", p.Features}}
}

// places reads Filesystems; an item that cannot be read, as a caller's own value
// may have it, is a place of its own.
func (p Permissions) places() (places []Filesystem) {
	for _, item := range p.Filesystems {
		fs, err := ParseFilesystem(item)
		if err != nil {
			fs = Filesystem{item, ReadWrite}
		}
		places = append(places, fs)
	}
	return places
}

func describeFlag(kind, item string) string {
	if words := known[kind][item]; words != "" {
		return words
	}
	return notGiven(kind, item)
}

func notGiven(kind, item string) string {
	return fmt.Sprintf(`not given, though asked for: %s "%s"`, kind, escape.Text(item))
}

func describeFilesystem(item string) string {
	fs, err := ParseFilesystem(item)
	where := placeWords(fs.Place)
	switch {
	case err == nil && fs.Access == NoAccess:
		return "no access to " + where
	case err != nil || !fs.Given():
		return notGiven("filesystem", item)
	case fs.Access == ReadOnly || fs.Place == "host-os" || fs.Place == "host-etc":
		return "read " + where
	case fs.Place == "home" || fs.Place == "host":
		return "read and change " + where + ", and so do whatever you can (~/.bashrc and ~/.ssh are among them)"
	case fs.Access == Create:
		return "read and change " + where + ", made if missing"
	}
	return "read and change " + where
}

func placeWords(place string) string {
	switch place {
	case "home":
		return "all files in your home folder"
	case "host":
		return "all your files and those of the machine, except the system's own"
	case "host-os":
		return "the system's programs and libraries (/usr)"
	case "host-etc":
		return "the system's settings (/etc)"
	}
	head, sub, _ := strings.Cut(place, "/")
	words := folders[head]
	switch {
	case words == "":
		return escape.Text(place)
	case sub == "":
		return words
	}
	return escape.Text(sub) + " in " + words
}

func describePersistent(name string) string {
	if name == "." {
		return notGiven("persistent", name)
	}
	return "keep the folder ~/" + escape.Text(name) + " for itself"
}

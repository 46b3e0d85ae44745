package release

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Access is what a program may do with a place. Greater means more.
type Access uint8

// The kinds of access.
const (
	NoAccess Access = iota
	ReadOnly
	ReadWrite
	Create // ReadWrite, and the folder is made if it is missing
)

var accessSuffixes = []struct {
	suffix string
	access Access
}{{":ro", ReadOnly}, {":rw", ReadWrite}, {":create", Create}}

// Filesystem is one item of the permission filesystems: a place, and what a
// program may do with it and with all that is below it. Of two items the one with
// the more specific place counts.
type Filesystem struct {
	Place  string // home, host, host-os, host-etc, xdg-NAME[/SUB], ~/PATH, /PATH, or something unknown
	Access Access // NoAccess for an item that begins with "!"
}

// folders are the places of the desktop, with what people call them.
var folders = map[string]string{
	"xdg-desktop":      "your desktop folder",
	"xdg-documents":    "your documents",
	"xdg-download":     "your downloads",
	"xdg-music":        "your music",
	"xdg-pictures":     "your pictures",
	"xdg-public-share": "your public folder",
	"xdg-templates":    "your templates",
	"xdg-videos":       "your videos",
	"xdg-cache":        "the caches of your programs",
	"xdg-config":       "the settings of your programs",
	"xdg-data":         "the data of your programs",
	"xdg-run":          "your session's folder",
}

// reserved are never given, nor what is below them, nor what they are below. What
// a sandbox has in these places is its own, the system's, or the way out.
var reserved = []string{
	"/app", "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32",
	"/proc", "/run/host", "/run/user", "/sbin", "/sys", "/usr",
}

// private are never given either, nor what is below them: what Larch and other
// applications keep, and the sockets that start programs outside of any sandbox.
// Where what is above them is given, they are hidden.
var private = []string{
	"~/.var/app", "~/.cache/larch", "~/.config/larch", "~/.local/share/larch", "/var/lib/larch",
	"xdg-cache/larch", "xdg-config/larch", "xdg-data/larch", "xdg-run/bus", "xdg-run/systemd",
}

// ParseFilesystem reads one item. A path that is not in its shortest form or has
// ".." in it is an error; an unknown place is not, but it is never given.
func ParseFilesystem(item string) (Filesystem, error) {
	fs := Filesystem{Access: ReadWrite}
	place, denied := strings.CutPrefix(item, "!")
	for _, s := range accessSuffixes {
		if without, ok := strings.CutSuffix(place, s.suffix); ok {
			place, fs.Access = without, s.access
			break
		}
	}
	if denied {
		fs.Access = NoAccess
	}
	if len(place) > 1 {
		place = strings.TrimSuffix(place, "/")
	}
	if place == "~" {
		place = "home"
	}
	if place == "" || path.Clean(place) != place || place == "." || place == ".." || strings.HasPrefix(place, "../") {
		return Filesystem{}, fmt.Errorf("filesystems: %.80q: want a name or a path without . and ..", item)
	}
	fs.Place = place
	return fs, nil
}

// String gives the one form of the item.
func (f Filesystem) String() string {
	switch f.Access {
	case NoAccess:
		return "!" + f.Place
	case ReadOnly:
		return f.Place + ":ro"
	case Create:
		return f.Place + ":create"
	}
	return f.Place
}

// Given tells whether the place is one that can be given to a program at all.
func (f Filesystem) Given() bool {
	head, sub, _ := strings.Cut(f.Place, "/")
	switch {
	case slices.ContainsFunc(private, func(p string) bool { return within(f.Place, p) }):
		return false
	case f.Place == "home" || f.Place == "host" || f.Place == "host-os" || f.Place == "host-etc":
		return true
	case folders[head] != "":
		return head != "xdg-run" || sub != ""
	case head == "~":
		return true
	case path.IsAbs(f.Place):
		return !Reserved(f.Place)
	}
	return false
}

// Reserved tells whether an absolute path is one that no permission gives, or
// leads to one, or is below one.
func Reserved(name string) bool {
	return slices.ContainsFunc(reserved, func(r string) bool { return within(name, r) || within(r, name) })
}

// within tells whether name is dir or below it.
func within(name, dir string) bool {
	return name == dir || dir == "/" || strings.HasPrefix(name, dir+"/")
}

// covers tells whether all of place b is surely part of place a, wherever this
// machine has them.
func covers(a, b string) bool {
	switch {
	case a == "host":
		return b != "host-os" && b != "host-etc"
	case a == "home":
		return b == "home" || strings.HasPrefix(b, "~/")
	}
	return within(b, a)
}

// access is what items allow at a place: that of the most specific one that
// covers it. Items of unknown places count like others, so that what is not given
// today is still asked for before a later version gives it.
func access(items []Filesystem, place string) Access {
	best := Filesystem{Access: NoAccess}
	for _, item := range items {
		if covers(item.Place, place) && (best.Place == "" || covers(best.Place, item.Place)) {
			best = item
		}
	}
	return best.Access
}

// settleFilesystems leaves one item for each place, the last, in its one form.
func settleFilesystems(items []string) (left []string, err error) {
	var parsed []Filesystem
	for _, item := range items {
		fs, err := ParseFilesystem(item)
		if err != nil {
			return nil, err
		}
		parsed = slices.DeleteFunc(parsed, func(have Filesystem) bool { return have.Place == fs.Place })
		parsed = append(parsed, fs)
	}
	for _, fs := range parsed {
		left = append(left, fs.String())
	}
	return left, nil
}

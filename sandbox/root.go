package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
)

// maxSettings bounds the entries of a runtime's etc.
const maxSettings = 4096

// base makes what every sandbox has: the root, which becomes read-only in the end,
// and the places that are the program's own and last as long as it does.
func (s *setup) base() error {
	s.add("--proc", "/proc", "--dir", "/run", "--dir", "/var",
		"--perms", "1777", "--tmpfs", "/tmp",
		"--perms", "1777", "--tmpfs", "/var/tmp",
		"--symlink", "../run", "/var/run",
		"--perms", "0700", "--tmpfs", s.sessionDir())
	if s.host.uid == 0 {
		// Root inside is root to the kernel's settings in /proc/sys too.
		s.add("--remount-ro", "/proc")
	}
	return nil
}

// sessionDir is the session's folder inside the sandbox.
func (s *setup) sessionDir() string { return "/run/user/" + strconv.Itoa(s.host.uid) }

// programs puts the application at /app, and its runtime at /usr.
func (s *setup) programs() error {
	var err error
	if s.files, err = openFiles(s.app.Files); err != nil {
		return fmt.Errorf("application: %w", err)
	}
	s.add("--ro-bind-fd", s.pass(s.files.File()), "/app")
	if s.app.Runtime == "" {
		s.hostPrograms()
		return nil
	}
	if s.runtime, err = openFiles(s.app.Runtime); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrRuntime, s.app.Metadata.Runtime, err)
	}
	s.add("--ro-bind-fd", s.pass(s.runtime.File()), "/usr")
	for _, name := range rootLinks {
		if has(s.runtime, name) {
			s.add("--symlink", "usr/"+name, "/"+name)
		}
	}
	return s.runtimeSettings()
}

// rootLinks are the folders of the root that are part of /usr.
var rootLinks = []string{"bin", "lib", "lib32", "lib64", "libx32", "sbin"}

// openFiles opens the folder files/ of a deployment: the folder itself, for its
// name is in a tree that a stranger made.
func openFiles(name string) (*beneath.Dir, error) {
	parent, err := beneath.Open(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	return parent.OpenDir(filepath.Base(name))
}

// has tells whether something of that name may be there.
func has(d *beneath.Dir, name string) bool {
	_, err := d.Lstat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// hostPrograms shows the machine's own /usr, read-only.
func (s *setup) hostPrograms() {
	s.add("--ro-bind", "/usr", "/usr")
	for _, name := range rootLinks {
		info, err := os.Lstat("/" + name)
		switch {
		case err != nil:
		case info.IsDir():
			s.add("--ro-bind", "/"+name, "/"+name)
		default:
			s.add("--symlink", "usr/"+name, "/"+name)
		}
	}
}

// runtimeSettings makes a link in /etc for each entry of the runtime's etc, except
// for those that are the sandbox's own.
func (s *setup) runtimeSettings() error {
	names, err := s.runtime.ReadDir("etc")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("%w: its etc: %w", ErrRuntime, err)
	case len(names) > maxSettings:
		return fmt.Errorf("%w: its etc has %d entries, limit %d", ErrRuntime, len(names), maxSettings)
	}
	own := slices.Concat(ownSettings, networkSettings, []string{"localtime"})
	for _, name := range names {
		if !slices.Contains(own, name) {
			s.add("--symlink", "../usr/etc/"+name, "/etc/"+name)
		}
	}
	return nil
}

// Files of /etc: what the sandbox makes; what the machine says about the network;
// and what programs of the machine's own /usr cannot do without. Keys and
// passwords, also those of /etc/ssl/private, are not among them.
var (
	ownSettings     = []string{"passwd", "group", "machine-id"}
	networkSettings = []string{"resolv.conf", "hosts", "host.conf", "gai.conf"}
	hostSettings    = []string{
		"alternatives", "ca-certificates", "ca-certificates.conf", "crypto-policies", "fonts", "ld.so.cache",
		"ld.so.conf", "ld.so.conf.d", "locale.alias", "locale.conf", "mime.types", "nsswitch.conf", "os-release",
		"pki/ca-trust", "pki/tls/certs", "pki/tls/openssl.cnf", "protocols", "services", "ssl/cert.pem",
		"ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone", "xdg",
	}
)

// etc makes the sandbox's own /etc.
func (s *setup) etc() error {
	id, group := strconv.Itoa(s.host.uid), strconv.Itoa(s.host.gid)
	for _, file := range []struct{ name, text string }{
		{"passwd", s.host.user + ":x:" + id + ":" + group + "::" + s.host.home + ":/bin/sh\n" +
			"nobody:x:65534:65534:nobody:/:/sbin/nologin\n"},
		{"group", s.host.user + ":x:" + group + ":\nnogroup:x:65534:\n"},
	} {
		if strings.ContainsAny(s.host.home, ":\n") {
			return fmt.Errorf("%w: home folder %q", ErrPolicy, s.host.home)
		}
		if err := s.file("/etc/"+file.name, file.text); err != nil {
			return err
		}
	}
	s.add("--ro-bind-try", "/etc/localtime", "/etc/localtime")
	if s.shares("network") {
		s.hostFiles(networkSettings)
	}
	if s.app.Runtime == "" {
		s.hostFiles(hostSettings)
	}
	return nil
}

// hostFiles shows files of the machine's /etc, where they exist.
func (s *setup) hostFiles(names []string) {
	for _, name := range names {
		s.add("--ro-bind-try", "/etc/"+name, "/etc/"+name)
	}
}

// file makes a file with this text.
func (s *setup) file(name, text string) error {
	number, err := s.passData(filepath.Base(name), []byte(text))
	if err != nil {
		return err
	}
	s.add("--perms", "0644", "--file", number, name)
	return nil
}

// graphics are the devices of graphics cards, as drivers name them.
var graphics = []string{
	"dri", "kfd", "mali", "mali0", "nvidiactl", "nvidia-modeset", "nvidia-uvm", "nvidia-uvm-tools",
	"nvidia0", "nvidia1", "nvidia2", "nvidia3", "udmabuf", "umplock",
}

// deviceFiles says what each permission shows below /dev.
var deviceFiles = map[string][]string{
	"dri":   graphics,
	"input": {"input"},
	"kvm":   {"kvm"},
	"usb":   {"bus/usb"},
}

// hardware is where drivers find out about devices, below /sys.
var hardware = []string{"block", "bus", "class", "dev", "devices"}

// devices makes /dev, with the few devices that every program needs (null, zero,
// full, random, urandom, tty, pts) or what the permissions add.
func (s *setup) devices() error {
	given := s.app.Metadata.Permissions.Devices
	all := slices.Contains(given, "all")
	if all {
		s.add("--dev-bind", "/dev", "/dev")
	} else {
		s.add("--dev", "/dev")
	}
	if slices.Contains(given, "shm") {
		s.add("--bind", "/dev/shm", "/dev/shm")
	} else {
		s.add("--perms", "1777", "--tmpfs", "/dev/shm")
	}
	shown := all
	for _, name := range given {
		for _, file := range deviceFiles[name] {
			shown = true
			if !all {
				s.add("--dev-bind-try", "/dev/"+file, "/dev/"+file)
			}
		}
	}
	if shown {
		for _, name := range hardware {
			s.add("--ro-bind-try", "/sys/"+name, "/sys/"+name)
		}
	}
	if !all {
		s.add("--remount-ro", "/dev")
	}
	return nil
}

func (s *setup) shares(what string) bool {
	return slices.Contains(s.app.Metadata.Permissions.Shared, what)
}

// bind shows an open file or folder of the machine.
func (s *setup) bind(f *os.File, at string, writable bool) {
	option := "--ro-bind-fd"
	if writable {
		option = "--bind-fd"
	}
	s.add(option, s.pass(f), at)
}

// typeWords names what unix.S_IFMT says.
func typeWords(kind uint32) string {
	switch kind {
	case unix.S_IFDIR:
		return "a folder"
	case unix.S_IFREG:
		return "a file"
	case unix.S_IFLNK:
		return "a symlink"
	}
	return "a special file"
}

package sandbox

import (
	"bytes"
	"encoding/binary"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/beneath"
)

// maxCookies bounds the file with the keys to X11 displays, in bytes.
const maxCookies = 1 << 20

// sockets shows the sockets of the desktop that are given and exist.
func (s *setup) sockets() error {
	given := s.app.Metadata.Permissions.Sockets
	wayland := slices.Contains(given, "wayland") && s.wayland()
	if slices.Contains(given, "x11") || slices.Contains(given, "fallback-x11") && !wayland {
		if err := s.x11(); err != nil {
			return err
		}
	}
	if slices.Contains(given, "pulseaudio") {
		return s.pulseaudio()
	}
	return nil
}

// socket shows a socket of the machine, and tells whether there is one.
func (s *setup) socket(name, at string) bool {
	if !filepath.IsAbs(name) {
		return false
	}
	f, kind, err := s.host.open(realPath(filepath.Clean(name)))
	if err != nil {
		return false
	}
	if kind != unix.S_IFSOCK {
		f.Close()
		return false
	}
	s.bind(f, at, false)
	return true
}

func (s *setup) wayland() bool {
	name := s.host.environ["WAYLAND_DISPLAY"]
	if name == "" {
		name = "wayland-0"
	}
	if !filepath.IsAbs(name) && s.host.runtime != "" {
		name = filepath.Join(s.host.runtime, name)
	}
	if !s.socket(name, s.sessionDir()+"/wayland-0") {
		s.note("sockets: wayland: not given: there is no display")
		return false
	}
	s.env["WAYLAND_DISPLAY"] = "wayland-0"
	return true
}

// x11 shows the socket of the caller's display, with the key to that display alone.
func (s *setup) x11() error {
	number, ok := localDisplay(s.host.environ["DISPLAY"])
	if !ok || !s.socket("/tmp/.X11-unix/X"+number, "/tmp/.X11-unix/X"+number) {
		s.note("sockets: x11: not given: there is no display on this machine")
		return nil
	}
	s.env["DISPLAY"] = ":" + number
	cookies := s.host.environ["XAUTHORITY"]
	if !filepath.IsAbs(cookies) {
		cookies = filepath.Join(s.host.home, ".Xauthority")
	}
	dir, err := beneath.Open(filepath.Dir(cookies))
	if err != nil {
		return nil // a display without keys
	}
	defer dir.Close()
	all, err := dir.ReadFile(filepath.Base(cookies), maxCookies)
	if err != nil {
		return nil
	}
	s.env["XAUTHORITY"] = s.sessionDir() + "/Xauthority"
	return s.file(s.env["XAUTHORITY"], string(cookiesOf(all, number)))
}

// localDisplay gives the number in ":1", ":1.0" or "unix:1".
func localDisplay(display string) (string, bool) {
	host, rest, _ := strings.Cut(display, ":")
	number, _, _ := strings.Cut(rest, ".")
	if n, err := strconv.ParseUint(number, 10, 16); err == nil && (host == "" || host == "unix") {
		return strconv.FormatUint(n, 10), true
	}
	return "", false
}

// Families of addresses in an Xauthority file.
const (
	familyLocal = 256
	familyWild  = 65535
)

// cookiesOf keeps the entries for one local display, of an Xauthority file: for
// each a family, and four fields with their lengths before them (address, number,
// name, data), all big-endian. The address becomes any, since it is the machine's
// name. What is malformed ends the list.
func cookiesOf(file []byte, number string) []byte {
	var kept bytes.Buffer
	for len(file) >= 2 {
		family := binary.BigEndian.Uint16(file)
		file = file[2:]
		var fields [4][]byte
		for i := range fields {
			if len(file) < 2 || len(file)-2 < int(binary.BigEndian.Uint16(file)) {
				return kept.Bytes()
			}
			end := 2 + int(binary.BigEndian.Uint16(file))
			fields[i], file = file[:end], file[end:]
		}
		display := string(fields[1][2:])
		if (family == familyLocal || family == familyWild) && (display == number || display == "") {
			kept.Write([]byte{familyWild >> 8, familyWild & 0xff, 0, 0})
			kept.Write(slices.Concat(fields[1:]...))
		}
	}
	return kept.Bytes()
}

func (s *setup) pulseaudio() error {
	name, _ := strings.CutPrefix(s.host.environ["PULSE_SERVER"], "unix:")
	if !filepath.IsAbs(name) {
		name = path.Join(s.host.runtime, "pulse/native")
	}
	at := s.sessionDir() + "/pulse"
	if !s.socket(name, at+"/native") {
		s.note("sockets: pulseaudio: not given: there is no server")
		return nil
	}
	s.env["PULSE_SERVER"] = "unix:" + at + "/native"
	s.env["PULSE_CLIENTCONFIG"] = at + "/config"
	return s.file(at+"/config", "enable-shm=no\n")
}

package sandbox

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/larch-project/larch/internal/beneath"
)

// usualFolders are the folders of the desktop where nothing else is said, below
// the home folder.
var usualFolders = map[string]string{
	"xdg-cache": ".cache", "xdg-config": ".config", "xdg-data": ".local/share",
	"xdg-desktop": "Desktop", "xdg-documents": "Documents", "xdg-download": "Downloads", "xdg-music": "Music",
	"xdg-pictures": "Pictures", "xdg-public-share": "Public", "xdg-templates": "Templates", "xdg-videos": "Videos",
}

// folder finds a folder of the desktop; "" if this machine has none.
func (h *host) folder(name string) string {
	usual := filepath.Join(h.home, usualFolders[name])
	switch name {
	case "xdg-run":
		return h.runtime
	case "xdg-cache", "xdg-config", "xdg-data":
		variable := strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_HOME"
		if set := h.environ[variable]; filepath.IsAbs(set) {
			return realPath(filepath.Clean(set))
		}
		return usual
	}
	if chosen, ok := h.userFolders()[name]; ok {
		usual = chosen
	}
	if usual == h.home { // how people say that they have none
		return ""
	}
	return usual
}

// userFolders reads user-dirs.dirs, in which desktops keep where these folders are:
// XDG_MUSIC_DIR="$HOME/Musik". Lines that it does not understand do not count.
func (h *host) userFolders() map[string]string {
	folders := make(map[string]string)
	dir, err := beneath.Open(h.home)
	if err != nil {
		return folders
	}
	defer dir.Close()
	text, err := dir.ReadFile(".config/user-dirs.dirs", 64<<10)
	if err != nil {
		return folders
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		name, isDir := strings.CutSuffix(strings.TrimPrefix(name, "XDG_"), "_DIR")
		value = strings.Trim(value, `"`)
		if value == "$HOME" || strings.HasPrefix(value, "$HOME/") {
			value = h.home + strings.TrimPrefix(value, "$HOME")
		}
		if name == "PUBLICSHARE" {
			name = "PUBLIC-SHARE"
		}
		if isDir && filepath.IsAbs(value) && !strings.ContainsAny(value, "\\$`") {
			folders["xdg-"+strings.ToLower(name)] = filepath.Clean(value)
		}
	}
	return folders
}

// starters are folders whose files a desktop starts by itself, at the next login or
// when somebody asks for a service.
var starters = map[string][]string{
	"xdg-config": {"autostart", "environment.d", "systemd"},
	"xdg-data":   {"dbus-1", "systemd"},
}

// hidden gives the folders that no permission opens: those of the caller, Larch's
// own in their usual places, the data of applications, and what would start a program
// outside of the sandbox without anybody doing anything.
func (s *setup) hidden(more []string) []string {
	all := []string{"/var/lib/larch", filepath.Join(s.host.home, ".var/app")}
	for _, name := range []string{"xdg-cache", "xdg-config", "xdg-data"} {
		for _, inner := range append(starters[name], "larch") {
			all = append(all, filepath.Join(s.host.home, usualFolders[name], inner), filepath.Join(s.host.folder(name), inner))
		}
	}
	for _, path := range more {
		if filepath.IsAbs(path) {
			all = append(all, filepath.Clean(path))
		}
	}
	for i, path := range all {
		all[i] = realPath(path)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// searchPath is where a command without a slash is looked for.
const searchPath = "/app/bin:/usr/bin"

// passed are the variables of the caller that every program gets; of LC_ all are.
var passed = []string{
	"COLORTERM", "DESKTOP_SESSION", "LANG", "LANGUAGE", "NO_COLOR", "TERM", "TZ",
	"XDG_CURRENT_DESKTOP", "XDG_SESSION_DESKTOP", "XDG_SESSION_TYPE",
}

// proxies are passed with the network.
var proxies = []string{
	"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy",
	"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY",
}

// maxVariable bounds what is passed on of the caller's environment, in bytes.
const maxVariable = 4096

// inherit gives the caller's variables with these names, and those of the locale,
// as far as they are plain text.
func (h *host) inherit(names []string) map[string]string {
	env := make(map[string]string)
	for name, value := range h.environ {
		plain := len(value) <= maxVariable && utf8.ValidString(value) && !strings.ContainsFunc(value, unicode.IsControl)
		if plain && (slices.Contains(names, name) || strings.HasPrefix(name, "LC_") && len(name) < 32) {
			env[name] = value
		}
	}
	return env
}

// environment sets the program's variables, and no others: those of the caller,
// then the application's own, the user's for it, and those that say how the
// sandbox is.
func (s *setup) environment() {
	names := passed
	if s.shares("network") {
		names = slices.Concat(passed, proxies)
	}
	env := s.host.inherit(names)
	for _, name := range s.app.Metadata.Permissions.Unset {
		delete(env, name)
	}
	maps.Copy(env, map[string]string{
		"PATH":            searchPath,
		"SHELL":           "/bin/sh",
		"XDG_CONFIG_DIRS": "/app/etc/xdg:/etc/xdg",
		"XDG_DATA_DIRS":   "/app/share:/usr/share",
	})
	if has(s.files, "lib") {
		env["LD_LIBRARY_PATH"] = "/app/lib"
	}
	maps.Copy(env, s.app.Metadata.Permissions.Environment)
	maps.Copy(env, s.app.ExtraEnv)
	maps.Copy(env, map[string]string{
		"HOME":            s.host.home,
		"USER":            s.host.user,
		"LOGNAME":         s.host.user,
		"LARCH_APP":       "/app",
		"LARCH_ID":        s.app.Ref.ID,
		"XDG_RUNTIME_DIR": s.sessionDir(),
		"container":       "larch",
	})
	maps.Copy(env, s.env)
	for _, name := range slices.Sorted(maps.Keys(env)) {
		s.add("--setenv", name, env[name])
	}
}

// command says what is executed: a name to be looked for in the PATH, or a path. A
// path that does not begin with a slash is in the application.
func (s *setup) command() error {
	name := s.app.Command
	if strings.Contains(name, "/") && !path.IsAbs(name) {
		name = path.Join("/app", name)
	}
	s.app.Command = name
	_, changed := s.app.Metadata.Permissions.Environment["PATH"]
	_, changedByUser := s.app.ExtraEnv["PATH"]
	rest, inApp := strings.CutPrefix(path.Clean(name), "/app/")
	missing := false
	switch {
	case inApp:
		missing = !has(s.files, rest)
	case !strings.Contains(name, "/") && !changed && !changedByUser:
		missing = !has(s.files, path.Join("bin", name)) && !s.hasProgram(name)
	}
	if missing {
		return fmt.Errorf("%w: %.200q", ErrNoCommand, name)
	}
	return nil
}

// hasProgram tells whether the runtime's bin has a name.
func (s *setup) hasProgram(name string) bool {
	if s.runtime != nil {
		return has(s.runtime, path.Join("bin", name))
	}
	_, err := os.Lstat("/usr/bin/" + name)
	return !errors.Is(err, fs.ErrNotExist)
}

package sandbox

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// passedUnconfined are the variables that a program without a sandbox gets besides.
var passedUnconfined = []string{
	"DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "HOME", "LOGNAME", "PULSE_SERVER", "SHELL", "USER",
	"WAYLAND_DISPLAY", "XAUTHORITY", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
	"XDG_RUNTIME_DIR", "XDG_STATE_HOME",
}

// unconfined prepares a program to run directly, with all that the user may do, a
// cleaned environment, and the place of its files in LARCH_APP.
func unconfined(ctx context.Context, h *host, app App, args []string, opt Options) (*process, error) {
	if app.Runtime != "" && opt.Note != nil {
		opt.Note("without a sandbox it runs on the machine's own /usr, not on its runtime")
	}
	program, err := directPath(app, h.environ["PATH"])
	if err != nil {
		return nil, err
	}
	env := h.inherit(slices.Concat(passed, passedUnconfined, proxies))
	maps.Copy(env, app.Metadata.Permissions.Environment)
	maps.Copy(env, app.ExtraEnv)
	maps.Copy(env, map[string]string{
		"HOME":      h.home,
		"LARCH_APP": app.Files,
		"LARCH_ID":  app.Ref.ID,
		"PATH":      path.Join(app.Files, "bin") + ":" + h.environ["PATH"],
	})
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		cmd.Env = append(cmd.Env, name+"="+env[name])
	}
	cmd.Dir = opt.Dir
	return &process{cmd: cmd}, nil
}

// directPath finds on the machine what the command would be in the sandbox.
func directPath(app App, searchPath string) (string, error) {
	if !filepath.IsAbs(app.Files) {
		return "", fmt.Errorf("%w: files in %q", ErrPolicy, app.Files)
	}
	name := path.Clean(app.Command)
	inApp, ok := strings.CutPrefix(name, "/app/")
	var found string
	switch {
	case ok:
		found = lookPath(inApp, app.Files)
	case path.IsAbs(name):
		found = lookPath(name, "/")
	case strings.Contains(name, "/"):
		found = lookPath(path.Join("/", name), app.Files)
	default:
		found = lookPath(name, path.Join(app.Files, "bin")+":"+searchPath)
	}
	if found == "" {
		return "", fmt.Errorf("%w: %.200q", ErrNoCommand, app.Command)
	}
	return found, nil
}

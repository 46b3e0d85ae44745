package release

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/larch-project/larch/internal/keyfile"
)

// HostRuntime is the runtime of programs that are content with the machine's own
// /usr, read-only.
const HostRuntime = "host"

// ErrMetadata is matched by every error of ParseMetadata.
var ErrMetadata = errors.New("not a metadata keyfile")

// Limits on metadata, besides MaxMetadata.
const (
	maxItems = 256  // of one list, and variables of the environment
	maxItem  = 4096 // bytes of one value
)

// Metadata is what the keyfile of a tree says about running it: its form and
// effects are in spec/10-sandbox.md. One and the same parsed form is shown before an
// installation and used by every run after it.
type Metadata struct {
	Name        string      // the id
	Runtime     string      // HostRuntime, a runtime's ref, or "" for a runtime itself
	Command     string      // what runs when no other command is named; "" if nothing
	Permissions Permissions // what it may do outside of its sandbox
}

// NewMetadata writes the keyfile of an application without permissions. Values
// that ParseMetadata would refuse are written all the same, for it to refuse them.
func NewMetadata(name, runtime, command string) []byte {
	text := "[Application]\nname=" + keyfile.Escape(name) + "\nruntime=" + keyfile.Escape(runtime) + "\n"
	if command != "" {
		text += "command=" + keyfile.Escape(command) + "\n"
	}
	return []byte(text)
}

// ParseMetadata reads a tree's keyfile. Input untrusted: at most MaxMetadata
// bytes; text that two readers could take for two different things is an error,
// and so are names and paths that could lead elsewhere. Permissions that this
// version does not know are kept, and never given. Every error matches ErrMetadata.
func ParseMetadata(text []byte) (Metadata, error) {
	if len(text) > MaxMetadata {
		return Metadata{}, fmt.Errorf("%w: %d bytes, limit %d", ErrMetadata, len(text), MaxMetadata)
	}
	f, err := keyfile.Parse(text)
	if err != nil {
		return Metadata{}, fmt.Errorf("%w: %w", ErrMetadata, err)
	}
	m, err := readMetadata(f)
	if err != nil {
		return Metadata{}, fmt.Errorf("%w: %w", ErrMetadata, err)
	}
	return m, nil
}

func readMetadata(f *keyfile.File) (m Metadata, err error) {
	app, runtime := f.Group("Application"), f.Group("Runtime")
	main := app
	switch {
	case app != nil && runtime != nil:
		return m, errors.New("both a group Application and a group Runtime")
	case app == nil && runtime == nil:
		return m, errors.New("neither a group Application nor a group Runtime")
	case app == nil:
		main = runtime
	}
	if m.Name, err = main.String("name"); err != nil {
		return m, err
	}
	if err := checkPart("name", m.Name, maxID); err != nil {
		return m, err
	}
	if m.Runtime, err = readRuntime(main, app != nil); err != nil {
		return m, err
	}
	if m.Command, err = main.String("command"); err != nil {
		return m, err
	}
	if m.Command != "" {
		if err := checkItem("command", m.Command); err != nil {
			return m, err
		}
	}
	if err := checkForeign(f); err != nil {
		return m, err
	}
	m.Permissions, err = readPermissions(f)
	return m, err
}

// readRuntime takes "host", a ref, or Flatpak's form of a ref, which leaves out
// the kind.
func readRuntime(g *keyfile.Group, required bool) (string, error) {
	text, err := g.String("runtime")
	switch {
	case err != nil:
		return "", err
	case text == HostRuntime:
		return text, nil
	case text == "" && !required:
		return "", nil
	case text == "":
		return "", errors.New("no runtime: want runtime=host or a ref")
	}
	if strings.Count(text, "/") == 2 {
		text = string(Runtime) + "/" + text
	}
	ref, err := ParseRef(text)
	if err != nil {
		return "", fmt.Errorf("runtime: %w", err)
	}
	if ref.Kind != Runtime {
		return "", fmt.Errorf("runtime %q is not of the kind runtime", text)
	}
	return ref.String(), nil
}

// checkItem wants a value that can stand on one line of a terminal, once escaped,
// and in an argument of a program.
func checkItem(what, s string) error {
	if s == "" || len(s) > maxItem || strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("%s %.80q: want 1 to %d bytes without control characters", what, s, maxItem)
	}
	return nil
}

// checkInside wants a path that stays below the folder that it is relative to.
func checkInside(what, s string) error {
	if err := checkItem(what, s); err != nil {
		return err
	}
	s = strings.TrimSuffix(s, "/")
	if path.IsAbs(s) || path.Clean(s) != s || s == "." || s == ".." || strings.HasPrefix(s, "../") {
		return fmt.Errorf("%s %.80q: want a path inside its folder, without . and ..", what, s)
	}
	return nil
}

// checkForeign refuses hostile paths in the groups of Flatpak that this version
// does not use, lest a later version or another tool believe them.
func checkForeign(f *keyfile.File) error {
	for _, g := range f.Groups() {
		var err error
		switch {
		case strings.HasPrefix(g.Name(), "Extension "):
			err = checkExtension(g)
		case g.Name() == "Extra Data":
			err = checkExtraData(g)
		}
		if err != nil {
			return fmt.Errorf("group %q: %w", g.Name(), err)
		}
	}
	return nil
}

func checkExtension(g *keyfile.Group) error {
	for _, key := range []string{"directory", "subdirectory-suffix", "add-ld-path", "merge-dirs"} {
		parts, err := g.List(key)
		if err != nil {
			return err
		}
		if key != "merge-dirs" && len(parts) > 1 {
			return fmt.Errorf("%s: one path is wanted", key)
		}
		for _, part := range parts {
			if err := checkInside(key, part); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkExtraData(g *keyfile.Group) error {
	for _, key := range g.Keys() {
		if !strings.HasPrefix(key, "name") {
			continue
		}
		name, err := g.String(key)
		if err != nil {
			return err
		}
		if err := checkInside(key, name); err != nil {
			return err
		}
		if strings.Contains(name, "/") {
			return fmt.Errorf("%s %.80q: want a file name", key, name)
		}
	}
	return nil
}

func readPermissions(f *keyfile.File) (p Permissions, err error) {
	for _, list := range []struct {
		key    string
		into   *[]string
		settle func([]string) ([]string, error)
	}{
		{"shared", &p.Shared, settle},
		{"sockets", &p.Sockets, settle},
		{"devices", &p.Devices, settle},
		{"features", &p.Features, settle},
		{"filesystems", &p.Filesystems, settleFilesystems},
		{"persistent", &p.Persistent, settlePersistent},
		{"unset-environment", &p.Unset, settleUnset},
	} {
		items, err := readList(f.Group("Context"), list.key)
		if err != nil {
			return p, err
		}
		if *list.into, err = list.settle(items); err != nil {
			return p, err
		}
	}
	p.Environment, err = readEnvironment(f.Group("Environment"))
	return p, err
}

func readList(g *keyfile.Group, key string) ([]string, error) {
	items, err := g.List(key)
	if err != nil {
		return nil, err
	}
	if len(items) > maxItems {
		return nil, fmt.Errorf("%s: %d items, limit %d", key, len(items), maxItems)
	}
	for _, item := range items {
		if err := checkItem(key, item); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// settle leaves what a list gives in the end: each item once, and none that "!"
// takes away behind it.
func settle(items []string) (left []string, err error) {
	for _, item := range items {
		name, denied := strings.CutPrefix(item, "!")
		left = slices.DeleteFunc(left, func(have string) bool { return have == name })
		if !denied {
			left = append(left, name)
		}
	}
	return left, nil
}

func settlePersistent(items []string) (left []string, err error) {
	for _, item := range items {
		if item != "." {
			if err := checkInside("persistent", item); err != nil {
				return nil, err
			}
		}
		if item = strings.TrimSuffix(item, "/"); !slices.Contains(left, item) {
			left = append(left, item)
		}
	}
	return left, nil
}

func settleUnset(items []string) ([]string, error) {
	for _, item := range items {
		if !IsVariable(item) {
			return nil, fmt.Errorf("unset-environment: %.80q is no name for a variable", item)
		}
	}
	return items, nil
}

func readEnvironment(g *keyfile.Group) (map[string]string, error) {
	if len(g.Keys()) > maxItems {
		return nil, fmt.Errorf("environment: %d variables, limit %d", len(g.Keys()), maxItems)
	}
	variables := make(map[string]string)
	for _, name := range g.Keys() {
		if !IsVariable(name) {
			return nil, fmt.Errorf("environment: %.80q is no name for a variable: want letters, digits and _, no digit first", name)
		}
		value, err := g.String(name)
		if err != nil {
			return nil, err
		}
		if value != "" {
			if err := checkItem("variable "+name, value); err != nil {
				return nil, err
			}
		}
		variables[name] = value
	}
	return variables, nil
}

// IsVariable tells whether s can be the name of an environment variable: letters,
// digits and _, no digit first.
func IsVariable(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

package install

import (
	"slices"
	"strings"
	"unicode"

	"github.com/larch-project/larch/internal/keyfile"
	"github.com/larch-project/larch/release"
)

const desktopGroup = "Desktop Entry"

// plainKeys are the keys of a desktop entry that are taken over as they are;
// localKeys also with a locale behind them. Whatever starts something, hides
// something, or leads elsewhere is left out.
//
// Source: Desktop Entry Specification 1.5.
var (
	plainKeys = []string{"Type", "Version", "Icon", "NoDisplay", "Terminal", "MimeType", "Categories", "StartupNotify", "StartupWMClass"}
	localKeys = []string{"Name", "GenericName", "Comment", "Keywords"}
)

// rewriteDesktop makes a desktop entry that starts the application through larch
// and does nothing else. Input untrusted: an entry that cannot be one is a
// refusal.
func rewriteDesktop(data []byte, root string, ref release.Ref) ([]byte, error) {
	from, err := keyfile.Parse(data)
	if err != nil {
		return nil, refusal(err.Error())
	}
	entry := from.Group(desktopGroup)
	if kind, err := entry.String("Type"); err != nil || kind != "Application" {
		return nil, refusal("its Type is not Application")
	}
	if !entry.Has("Name") || !entry.Has("Exec") {
		return nil, refusal("it has no Name or no Exec")
	}
	made := new(keyfile.File)
	group, err := made.Add(desktopGroup)
	if err != nil {
		return nil, err
	}
	for _, key := range entry.Keys() {
		value, ok := desktopValue(entry, key, ref)
		if !ok {
			continue
		}
		if err := group.SetString(key, value); err != nil {
			return nil, refusal(err.Error())
		}
	}
	if !group.Has("Name") {
		return nil, refusal("its Name cannot be shown")
	}
	exec, err := entry.String("Exec")
	if err != nil {
		return nil, refusal(err.Error())
	}
	if err := group.SetString("Exec", desktopExec(exec, root, ref)); err != nil {
		return nil, err
	}
	return made.Bytes(), nil
}

// desktopValue gives the value of a key that is taken over.
func desktopValue(entry *keyfile.Group, key string, ref release.Ref) (string, bool) {
	name, _, local := strings.Cut(key, "[")
	if !slices.Contains(localKeys, name) && (local || !slices.Contains(plainKeys, name)) {
		return "", false
	}
	value, err := entry.String(key)
	if err != nil {
		return "", false
	}
	switch {
	case name == "Icon" && !underID(value, ref.ID):
		return "", false
	case strings.ContainsFunc(value, unicode.IsControl):
		return "", false
	}
	return value, true
}

// desktopExec is the command line: ours, with the place for files or addresses
// that the application's own has.
func desktopExec(theirs, root string, ref release.Ref) string {
	line := "larch run --root " + quoteDesktop(root) + " " + ref.String() + " --"
	for _, word := range strings.Fields(theirs) {
		if slices.Contains([]string{"%f", "%F", "%u", "%U"}, word) {
			return line + " " + word
		}
	}
	return line
}

// quoteDesktop writes an argument of Exec.
func quoteDesktop(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", `$`, `\$`, `%`, `%%`).Replace(s) + `"`
}

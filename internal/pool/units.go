package pool

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/larch-project/larch/internal/beneath"
	"github.com/larch-project/larch/internal/durable"
)

// Units is where systemd looks for what an administrator adds.
const Units = "/etc/systemd/system"

// wants is the folder of what is started with the local file systems.
const wants = "local-fs.target.wants"

// writeUnits makes the units by which a pool is mounted at boot: for a file, one that
// checks it and one that mounts it only then.
func writeUnits(dir, file string, m mark) error {
	larch, err := os.Executable()
	if err != nil {
		return err
	}
	units := unitTexts(larch, file, m)
	d, err := beneath.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	for _, name := range slices.Sorted(maps.Keys(units)) {
		if err := writeUnit(d, name, []byte(units[name])); err != nil {
			return errors.Join(err, RemoveUnits(dir, m.At))
		}
	}
	err = d.MkdirAll(wants, 0o755)
	if err == nil {
		err = durable.Symlink(d, "../"+unitName(m.At)+".mount", path.Join(wants, unitName(m.At)+".mount"))
	}
	if err != nil {
		return errors.Join(err, RemoveUnits(dir, m.At))
	}
	reload()
	return nil
}

func writeUnit(d *beneath.Dir, name string, text []byte) error {
	err := durable.Create(d, name, text, 0o644)
	if errors.Is(err, fs.ErrExist) {
		err = durable.WriteFile(d, name, text, 0o644)
	}
	return err
}

// RemoveUnits takes the units of a pool away, which then does not come back at boot.
func RemoveUnits(dir, at string) error {
	name := unitName(at)
	var errs []error
	for _, file := range []string{path.Join(wants, name+".mount"), name + ".mount", "larch-pool-" + name + ".service"} {
		if err := os.Remove(filepath.Join(dir, file)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	reload()
	return errors.Join(errs...)
}

// reload has systemd, where it runs, read its units again; otherwise it does at boot.
func reload() {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		_ = exec.Command("systemctl", "daemon-reload").Run()
	}
}

// unitTexts gives the units of a pool by name.
//
// Source: systemd.mount(5), systemd.service(5), systemd.syntax(7).
func unitTexts(larch, file string, m mark) map[string]string {
	name := unitName(m.At)
	options := "noatime,nosuid,nodev"
	for _, key := range slices.Sorted(maps.Keys(m.options())) {
		options += "," + strings.TrimSuffix(key+"="+m.options()[key], "=")
	}
	if file == "" {
		return map[string]string{name + ".mount": fmt.Sprintf(`[Unit]
Description=Pool of Larch

[Mount]
What=/dev/disk/by-uuid/%s
Where=%s
Type=btrfs
Options=%s

[Install]
WantedBy=local-fs.target
`, m.UUID, literal(m.At), options)}
	}
	check := "larch-pool-" + name + ".service"
	return map[string]string{
		check: fmt.Sprintf(`[Unit]
Description=Check of the pool of Larch in %[1]s
DefaultDependencies=no
RequiresMountsFor=%[2]s
Before=%[3]s.mount

[Service]
Type=oneshot
ExecStart=%[4]s pool check %[5]s
`, literal(file), quoted(filepath.Dir(file)), name, quoted(larch), quoted(file)),
		name + ".mount": fmt.Sprintf(`[Unit]
Description=Pool of Larch in %[1]s
Requires=%[2]s
After=%[2]s

[Mount]
What=%[1]s
Where=%[3]s
Type=btrfs
Options=loop,%[4]s

[Install]
WantedBy=local-fs.target
`, literal(file), check, literal(m.At), options),
	}
}

// literal keeps systemd from seeing specifiers.
func literal(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// quoted is one word of a command line or of a list of paths.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(s) + `"`
}

// unitName gives the name that systemd wants for what is mounted at a path.
//
// Source: systemd-escape(1), --path.
func unitName(at string) string {
	at = strings.Trim(path.Clean(at), "/")
	var b strings.Builder
	for i := range len(at) {
		switch c := at[i]; {
		case c == '/':
			b.WriteByte('-')
		case c == '.' && i == 0:
			b.WriteString(`\x2e`)
		case c == ':' || c == '_' || c == '.' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String()
}

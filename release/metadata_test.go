package release

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/larch-project/larch/internal/escape"
)

const editorMetadata = `[Application]
name=org.example.Editor
runtime=org.example.Base/x86_64/1
command=editor
required-flatpak=1.2.0;

[Context]
shared=network;ipc;!ipc;
sockets=wayland;fallback-x11;session-bus;
devices=dri;all;!all;dri;
features=devel;
filesystems=home;!~/.ssh/;xdg-documents/notes:create;/srv:ro;home:ro;host-root;/usr;
persistent=.editor;.old/;
unset-environment=TERM;

[Session Bus Policy]
org.freedesktop.Notifications=talk

[Environment]
EDITOR_MODE=a b;c
EMPTY=
`

var editorPermissions = Permissions{
	Shared:      []string{"network"},
	Sockets:     []string{"wayland", "fallback-x11", "session-bus"},
	Devices:     []string{"dri"},
	Features:    []string{"devel"},
	Filesystems: []string{"!~/.ssh", "xdg-documents/notes:create", "/srv:ro", "home:ro", "host-root", "/usr"},
	Persistent:  []string{".editor", ".old"},
	Unset:       []string{"TERM"},
	Environment: map[string]string{"EDITOR_MODE": "a b;c", "EMPTY": ""},
}

func TestParseMetadata(t *testing.T) {
	got, err := ParseMetadata([]byte(editorMetadata))
	if err != nil {
		t.Fatal(err)
	}
	want := Metadata{"org.example.Editor", "runtime/org.example.Base/x86_64/1", "editor", editorPermissions}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseMetadataOfARuntime(t *testing.T) {
	got, err := ParseMetadata([]byte("[Runtime]\nname=org.example.Base\n"))
	if err != nil || got.Name != "org.example.Base" || got.Runtime != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestNewMetadata(t *testing.T) {
	for _, c := range []struct{ runtime, command string }{
		{"host", ""}, {"host", "run me"}, {"runtime/org.example.Base/x86_64/1", ` \s;[x]=#`},
	} {
		got, err := ParseMetadata(NewMetadata("org.example.Editor", c.runtime, c.command))
		want := Metadata{Name: "org.example.Editor", Runtime: c.runtime, Command: c.command}
		want.Permissions.Environment = map[string]string{}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%+v: %v\n%s", c, err, diff)
		}
	}
	for _, hostile := range []string{"a\nb", "a\x00b", "\xff", "\x1b", "[x]\nname=b"} {
		if m, err := ParseMetadata(NewMetadata("org.example.Editor", "host", hostile)); !errors.Is(err, ErrMetadata) {
			t.Errorf("command %q: %+v, %v", hostile, m, err)
		}
	}
}

func TestParseMetadataRefuses(t *testing.T) {
	const head = "[Application]\nname=org.example.Editor\nruntime=host\n"
	for name, text := range map[string]string{
		"nothing":                    "",
		"no group":                   "[Context]\nshared=network;\n",
		"two kinds":                  head + "[Runtime]\nname=org.example.Editor\n",
		"second section of one name": head + "[Context]\nshared=ipc;\n[Context]\nshared=network;\n",
		"hidden after NUL":           head + "[Context]\nfilesystems=xdg-music\x00;host;\n",
		"key twice":                  head + "command=a\ncommand=b\n",
		"no name":                    "[Application]\nruntime=host\n",
		"no runtime":                 "[Application]\nname=org.example.Editor\n",
		"odd name":                   "[Application]\nname=../../etc\nruntime=host\n",
		"name with a slash":          "[Application]\nname=org.example/Editor\nruntime=host\n",
		"odd runtime":                "[Application]\nname=org.example.Editor\nruntime=../../../x\n",
		"runtime that is no runtime": "[Application]\nname=org.example.Editor\nruntime=app/org.example.Base/x86_64/1\n",
		"command with a newline":     head + "command=a\\nb\n",
		"command with a tab":         head + "command=a\\tb\n",
		"empty item":                 head + "[Context]\nshared=network;;\n",
		"item with a newline":        head + "[Context]\nsockets=x\\ny;\n",
		"persistent above":           head + "[Context]\npersistent=../x;\n",
		"persistent inside above":    head + "[Context]\npersistent=a/../../b;\n",
		"persistent absolute":        head + "[Context]\npersistent=/etc;\n",
		"persistent not shortest":    head + "[Context]\npersistent=a//b;\n",
		"persistent dot inside":      head + "[Context]\npersistent=./a;\n",
		"filesystem above":           head + "[Context]\nfilesystems=~/../x;\n",
		"filesystem inside above":    head + "[Context]\nfilesystems=/srv/../etc:ro;\n",
		"filesystem denied above":    head + "[Context]\nfilesystems=!xdg-music/..;\n",
		"filesystem dots":            head + "[Context]\nfilesystems=..;\n",
		"filesystem nothing":         head + "[Context]\nfilesystems=:ro;\n",
		"variable with a percent":    head + "[Environment]\nBASH_FUNC_x%%=1\n",
		"variable with a space":      head + "[Environment]\nA B=1\n",
		"variable with a digit":      head + "[Environment]\n1A=1\n",
		"variable with a newline":    head + "[Environment]\nA=1\\nB=2\n",
		"unset of no variable":       head + "[Context]\nunset-environment=A=B;\n",
		"unknown escape":             head + "[Context]\nshared=\\q;\n",
		"extension above":            head + "[Extension org.example.Ext]\ndirectory=../x\n",
		"extension absolute":         head + "[Extension org.example.Ext]\ndirectory=/usr\n",
		"extension suffix":           head + "[Extension org.example.Ext]\ndirectory=x\nsubdirectory-suffix=a/../../b\n",
		"extension library path":     head + "[Extension org.example.Ext]\nadd-ld-path=..\n",
		"extension merge":            head + "[Extension org.example.Ext]\nmerge-dirs=a;../b;\n",
		"extra data above":           head + "[Extra Data]\nname=..\n",
		"extra data with a slash":    head + "[Extra Data]\nname1=a/b\n",
		"extra data without name":    head + "[Extra Data]\nname=\n",
		"long value":                 head + "command=" + strings.Repeat("x", 5000) + "\n",
		"long list":                  head + "[Context]\nshared=" + strings.Repeat("x;", 300) + "\n",
		"large":                      head + "#" + strings.Repeat("x", MaxMetadata) + "\n",
	} {
		m, err := ParseMetadata([]byte(text))
		if !errors.Is(err, ErrMetadata) || !cmp.Equal(m, Metadata{}) && m.Name != "org.example.Editor" {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
		if err != nil && (strings.ContainsAny(err.Error(), "\n\x00\x1b") || len(err.Error()) > 1024) {
			t.Errorf("%s: message %q", name, err)
		}
	}
}

func TestDescribe(t *testing.T) {
	want := []string{
		"use the network",
		"show windows (Wayland)",
		"show windows (X11) where there is no Wayland, and so see and control all other X11 windows",
		`not given, though asked for: socket "session-bus"`,
		"use the graphics card",
		"trace and measure its own processes",
		"no access to ~/.ssh",
		"read and change notes in your documents, made if missing",
		"read /srv",
		"read all files in your home folder",
		`not given, though asked for: filesystem "host-root"`,
		`not given, though asked for: filesystem "/usr"`,
		"keep the folder ~/.editor for itself",
		"keep the folder ~/.old for itself",
		`set the variable EDITOR_MODE to "a b;c"`,
		`set the variable EMPTY to ""`,
		"leave out the variable TERM",
	}
	if diff := cmp.Diff(want, editorPermissions.Describe()); diff != "" {
		t.Error(diff)
	}
	if lines := (Permissions{}).Describe(); lines != nil {
		t.Errorf("complete isolation: %q", lines)
	}
}

func TestDescribeIsSafeToPrint(t *testing.T) {
	hostile := "x\x1b[2J\r\n\u202e" + strings.Repeat("\u0301", 100) + "\xff"
	p := Permissions{
		[]string{hostile}, []string{hostile}, []string{hostile}, []string{hostile},
		[]string{hostile, "~/" + hostile, "/" + hostile, "xdg-music/" + hostile, "!~/" + hostile},
		[]string{hostile}, []string{hostile}, map[string]string{hostile: hostile},
	}
	for _, line := range append(p.Describe(), p.Gained(Permissions{})...) {
		if line != escape.Text(strings.ReplaceAll(line, `\`, "")) && strings.ContainsAny(line, "\x1b\r\n\u202e\xff") {
			t.Errorf("%q", line)
		}
	}
}

func TestGained(t *testing.T) {
	flags := func(items ...string) Permissions { return Permissions{Shared: items} }
	places := func(items ...string) Permissions { return Permissions{Filesystems: items} }
	for _, c := range []struct {
		name     string
		old, new Permissions
		want     []string
	}{
		{"nothing new", editorPermissions, editorPermissions, nil},
		{"all gone", editorPermissions, Permissions{}, nil},
		{"network", flags("ipc"), flags("ipc", "network"), []string{"use the network"}},
		{"unknown", flags(), flags("future"), []string{`not given, though asked for: shared "future"`}},
		{"write", places("home:ro"), places("home"), []string{"read and change all files in your home folder, and so do whatever you can (~/.bashrc and ~/.ssh are among them)"}},
		{"less", places("home"), places("home:ro"), nil},
		{"part of the old", places("home"), places("~/x", "~/y/z:ro"), nil},
		{"writable part", places("home:ro"), places("home:ro", "~/x"), []string{"read and change ~/x"}},
		{"whole of a part", places("~/x"), places("home"), []string{"read and change all files in your home folder, and so do whatever you can (~/.bashrc and ~/.ssh are among them)"}},
		{"no longer kept away", places("home", "!~/.ssh"), places("home"), []string{"read and change ~/.ssh"}},
		{"no longer kept from change", places("home", "~/.ssh:ro"), places("home"), []string{"read and change ~/.ssh"}},
		{"kept away", places("home"), places("home", "!~/.ssh"), nil},
		{"part of what is kept away", places("home", "!~/x"), places("home", "!~/x", "~/x/y:ro"), []string{"read ~/x/y"}},
		{"host has home", places("host"), places("home", "xdg-music", "/srv/x"), nil},
		{"host has not the system", places("host"), places("host-os"), []string{"read the system's programs and libraries (/usr)"}},
		{"home is not surely documents", places("home"), places("xdg-documents"), []string{"read and change your documents"}},
		{"inside documents", places("xdg-documents"), places("xdg-documents/a:ro"), nil},
		{"names that begin the same", places("/srv/a"), places("/srv/ab"), []string{"read and change /srv/ab"}},
		{"made if missing", places("~/x"), places("~/x:create"), []string{"read and change ~/x, made if missing"}},
	} {
		if diff := cmp.Diff(c.want, c.new.Gained(c.old)); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
}

func TestParseFilesystem(t *testing.T) {
	for item, want := range map[string]Filesystem{
		"home":              {"home", ReadWrite},
		"~":                 {"home", ReadWrite},
		"~/":                {"home", ReadWrite},
		"~/x/:ro":           {"~/x", ReadOnly},
		"host:rw":           {"host", ReadWrite},
		"/a b:c:create":     {"/a b:c", Create},
		"!/srv:ro":          {"/srv", NoAccess},
		"xdg-run/foo":       {"xdg-run/foo", ReadWrite},
		"/":                 {"/", ReadWrite},
		"something-unknown": {"something-unknown", ReadWrite},
	} {
		got, err := ParseFilesystem(item)
		if got != want || err != nil {
			t.Errorf("%q: %+v, %v", item, got, err)
		}
		if again, err := ParseFilesystem(got.String()); again != got || err != nil {
			t.Errorf("%q: written %q, read %+v", item, got.String(), again)
		}
	}
}

func TestGiven(t *testing.T) {
	for given, places := range map[bool][]string{
		true: {
			"home", "host", "host-os", "host-etc", "~/x", "~/.var", "/srv", "/home", "/tmp", "/var", "/run/media", "/mnt/x", "/usrx",
			"xdg-music", "xdg-config", "xdg-config/app", "xdg-run/pipewire-0",
		},
		false: {
			"/", "/usr", "/usr/share", "/etc", "/etc/shadow", "/app", "/proc", "/proc/1", "/dev", "/dev/sda", "/sys", "/bin", "/lib64", "/boot",
			"/run", "/run/user", "/run/user/1000/bus", "/run/host", "/var/lib/larch", "/var/lib/larch/objects",
			"~/.local/share/larch", "~/.config/larch/x", "~/.var/app/org.other", "xdg-data/larch", "xdg-run", "xdg-run/bus", "xdg-run/systemd/private",
			"xdg-unknown", "host-root", "relative", "",
		},
	} {
		for _, place := range places {
			if got := (Filesystem{place, ReadWrite}).Given(); got != given {
				t.Errorf("%s: given %v", place, got)
			}
		}
	}
}

func TestMetadataEveryByteCounts(t *testing.T) {
	want, err := ParseMetadata([]byte(editorMetadata))
	if err != nil {
		t.Fatal(err)
	}
	var unread []string
	for i := range editorMetadata {
		text := []byte(editorMetadata)
		text[i] ^= 1
		if got, err := ParseMetadata(text); err == nil && cmp.Equal(got, want) {
			line, _, _ := strings.Cut(editorMetadata[strings.LastIndexByte(editorMetadata[:i], '\n')+1:], "\n")
			if !slices.Contains(unread, line) {
				unread = append(unread, line)
			}
		}
	}
	// What is not used here, and what is taken away again. The release's digest
	// covers it all the same.
	if diff := cmp.Diff([]string{"required-flatpak=1.2.0;", "[Session Bus Policy]", "org.freedesktop.Notifications=talk"}, unread); diff != "" {
		t.Error(diff)
	}
}

// FuzzMetadata: no text makes a panic, a line that is not safe to print, or a
// permission list that gains over itself.
func FuzzMetadata(f *testing.F) {
	f.Add([]byte(editorMetadata))
	f.Add(NewMetadata("org.example.Editor", "host", "a b"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseMetadata(text)
		if err != nil {
			if !errors.Is(err, ErrMetadata) {
				t.Fatal(err)
			}
			return
		}
		for _, line := range m.Permissions.Describe() {
			if bytes.ContainsAny([]byte(line), "\n\r\x1b\x00") {
				t.Fatalf("%q", line)
			}
		}
		if gained := m.Permissions.Gained(m.Permissions); gained != nil {
			t.Fatalf("gained over itself: %q", gained)
		}
		for _, item := range m.Permissions.Filesystems {
			if fs, err := ParseFilesystem(item); err != nil || fs.String() != item {
				t.Fatalf("%q: %v, %v", item, fs, err)
			}
		}
	})
}

func ExamplePermissions_Describe() {
	m, err := ParseMetadata([]byte(`[Application]
name=org.example.Editor
runtime=host
command=editor

[Context]
shared=network;
filesystems=xdg-documents;~/.ssh:ro;
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, line := range m.Permissions.Describe() {
		fmt.Println(line)
	}
	// Output:
	// use the network
	// read and change your documents
	// read ~/.ssh
}

//go:build amd64

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// launcher runs the application: it prints its version and a digest of all of its
// files, so that what ran is known to the last byte.
const launcher = `#!/bin/sh
cd "${LARCH_APP:-/app}" || exit 9
echo "VERSION $(find . -type f | LC_ALL=C sort | xargs cat | cksum)"
`

const desktopEntry = `[Desktop Entry]
Type=Application
Name=Hello VERSION
Exec=hello
Icon=org.example.Hello
`

// files are an application's files, by name; what is below bin/ can be run.
type files map[string]string

// application is small, and has of everything: files that change and that do not, one
// of several blocks, empty and tiny ones, links, folders, exports.
func application(version string) files {
	f := files{
		"metadata":                     "[Application]\nname=org.example.Hello\nruntime=org.example.Tools/x86_64/1\ncommand=hello\n",
		"files/bin/hello":              strings.ReplaceAll(launcher, "VERSION", version),
		"files/share/version":          version,
		"files/share/large":            noise("large", 40_000) + version + noise("rest", 30_000),
		"files/share/text":             strings.Repeat("the same in all versions\n", 100),
		"files/share/tiny":             "x",
		"files/share/empty":            "",
		"files/share/only-" + version:  noise(version, 3000),
		"files/lib/" + version + "/so": noise("moved", 9000),
		"export/share/applications/org.example.Hello.desktop":            strings.ReplaceAll(desktopEntry, "VERSION", version),
		"export/share/icons/hicolor/scalable/apps/org.example.Hello.svg": "<svg xmlns=\"http://www.w3.org/2000/svg\"><title>" + version + strings.Repeat(" ", 80) + "</title></svg>",
	}
	for n := range 8 {
		f[fmt.Sprintf("files/share/part/%d", n)] = noise(fmt.Sprint("part", n, len(version)*n%2, version[0]%byte(n+1)), 200+700*n)
	}
	return f
}

// tools is a runtime.
func tools() files {
	return files{
		"usr/bin/tool":   "#!/bin/sh\necho tool\n" + strings.Repeat("#\n", 50),
		"usr/lib/shared": noise("shared", 12_000),
	}
}

// noise gives text that does not compress, the same for the same name.
func noise(name string, n int) string {
	var seed [32]byte
	copy(seed[:], name)
	p := make([]byte, n)
	rand.NewChaCha8(seed).Read(p)
	return string(p)
}

func (f files) write(dir string) error {
	for name, text := range f {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		mode := os.FileMode(0o644)
		if strings.Contains(name, "/bin/") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			return err
		}
	}
	return nil
}

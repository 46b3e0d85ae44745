package measure

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Once makes a folder by filling it aside, unless it is there.
func Once(dir string, fill func(aside string) error) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	aside := dir + ".tmp"
	if err := RemoveAll(aside); err != nil {
		return err
	}
	if err := os.MkdirAll(aside, 0o755); err != nil {
		return err
	}
	if err := fill(aside); err != nil {
		return errors.Join(err, RemoveAll(aside))
	}
	return os.Rename(aside, dir)
}

// GoToolchain makes a folder of a release of the Go toolchain, unless it is there.
// A module's zip drops run bits; they are put back.
func GoToolchain(dir, version string) error {
	return Once(dir, func(aside string) error {
		cache, err := os.MkdirTemp("", "toolchain-")
		if err != nil {
			return err
		}
		defer RemoveAll(cache)
		download := exec.Command("go", "mod", "download", "-json", "golang.org/toolchain@v0.0.1-go"+version+".linux-amd64")
		download.Dir = "/"
		download.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOTOOLCHAIN=local", "GONOSUMDB=*", "GOMODCACHE="+cache)
		out, err := download.Output()
		if err != nil {
			return fmt.Errorf("fetching the Go toolchain %s: %w: %s", version, err, out)
		}
		var module struct{ Dir string }
		if err := json.Unmarshal(out, &module); err != nil {
			return err
		}
		script := `cp -r "$1/." "$2" && chmod -R u+rwX,go+rX,go-w "$2" && find "$2/bin" "$2/pkg/tool" -type f -exec chmod 755 {} +`
		return Command("sh", "-c", script, "sh", module.Dir, aside).Run()
	})
}

// NpmPackage makes a folder of a release of an npm package, as it is published,
// unless it is there.
func NpmPackage(dir, name, version string) error {
	return Once(dir, func(aside string) error {
		download, err := os.MkdirTemp("", "npm-")
		if err != nil {
			return err
		}
		defer RemoveAll(download)
		pack := Command("npm", "pack", "--silent", name+"@"+version)
		pack.Dir = download
		out, err := pack.Output()
		if err != nil {
			return fmt.Errorf("fetching the npm package %s@%s: %w", name, version, err)
		}
		lines := strings.Fields(string(out))
		if len(lines) == 0 {
			return fmt.Errorf("fetching the npm package %s@%s: npm names no file", name, version)
		}
		file := filepath.Join(download, filepath.Base(lines[len(lines)-1]))
		script := `tar -xzf "$1" -C "$2" --strip-components=1 --no-same-owner && chmod -R u+rwX,go+rX,go-w "$2"`
		return Command("sh", "-c", script, "sh", file, aside).Run()
	})
}

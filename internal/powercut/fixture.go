package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/larch-project/larch/internal/measure"
)

// app is what is published, and installed.
const (
	app  = "app/org.example.Hello/x86_64/stable"
	name = "org.example.Hello"
)

// fixture is what all cases share and none changes: the program, folders of two
// versions, and repositories in which they are published.
type fixture struct {
	dir   string
	larch string // the program
}

// newFixture makes it in an empty folder. larch is the program, or empty to build it.
func newFixture(dir, larch string) (*fixture, error) {
	f := &fixture{dir: dir, larch: larch}
	if larch == "" {
		f.larch = filepath.Join(dir, "larch")
		build := measure.Command("go", "build", "-o", f.larch, "github.com/larch-project/larch/cmd/larch")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if err := build.Run(); err != nil {
			return nil, fmt.Errorf("building larch: %w", err)
		}
	}
	for version := 1; version <= 3; version++ {
		if err := writeApp(f.app(version), version); err != nil {
			return nil, err
		}
	}
	return f, f.publish()
}

// app is the folder of a version, which is published as it is.
func (f *fixture) app(version int) string { return filepath.Join(f.dir, fmt.Sprint("app-", version)) }

// repo is a repository in which the versions up to this one are published.
func (f *fixture) repo(versions int) string {
	return filepath.Join(f.dir, fmt.Sprint("repo-", versions))
}

func (f *fixture) keys() string { return filepath.Join(f.dir, "keys") }

func (f *fixture) publish() error {
	w := &world{fixture: f, dir: filepath.Join(f.dir, "publisher"), keys: f.keys()}
	if _, err := w.must("init", f.repo(0)); err != nil {
		return err
	}
	for version := 1; version <= 3; version++ {
		if err := exec.Command("cp", "-a", f.repo(version-1), f.repo(version)).Run(); err != nil {
			return err
		}
		if _, err := w.must(publishing(f, f.repo(version), version)...); err != nil {
			return err
		}
	}
	return nil
}

// publishing is the command that publishes a version.
func publishing(f *fixture, repo string, version int) []string {
	return []string{"publish", repo, app, f.app(version), "--version", fmt.Sprint(version)}
}

// fingerprint is the root key's of the repositories.
func (f *fixture) fingerprint() (string, error) {
	w := &world{fixture: f, dir: filepath.Join(f.dir, "publisher"), keys: f.keys()}
	return w.fingerprint(f.repo(0))
}

// writeApp writes a version: files of many sizes, most of which are in the version
// before it too, one that has changed in the middle, twins, a link, a program that says
// its version, and a file for the desktop.
func writeApp(dir string, version int) error {
	files := map[string]string{
		"metadata":             "[Application]\nname=" + name + "\ncommand=hello\nruntime=host\n",
		"files/share/version":  fmt.Sprintln(version),
		"files/bin/hello":      "#!/bin/sh\n# " + strings.Repeat("hello ", 20) + "\nread -r version < \"${0%/bin/*}/share/version\"\necho \"version $version\"\n",
		"files/share/twin":     text(1000, 2000),
		"files/bin/twin":       text(1000, 2000),
		"files/share/empty":    "",
		"files/share/big":      text(7, 300<<10)[:150<<10] + fmt.Sprint("version ", version) + text(7, 300<<10)[150<<10:],
		"files/share/own/text": text(uint64(2000+version), 5000),
		"export/share/applications/" + name + ".desktop": fmt.Sprintf("[Desktop Entry]\nType=Application\nName=Hello %d\nExec=hello\n", version),
	}
	for i := range 12 {
		files[fmt.Sprintf("files/share/data/%02d", i+version)] = text(uint64(i+version), 100<<(i%7))
	}
	for at, content := range files {
		at = filepath.Join(dir, at)
		mode := os.FileMode(0o644)
		if filepath.Base(filepath.Dir(at)) == "bin" {
			mode = 0o755
		}
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(at, []byte(content), mode); err != nil {
			return err
		}
	}
	return os.Symlink("version", filepath.Join(dir, "files/share/link"))
}

// text is some text, always the same, that can be compressed by about half.
func text(seed uint64, size int) string {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	random := rand.NewChaCha8(key)
	p := make([]byte, (size+1)/2)
	random.Read(p)
	return string(bytes.ToLower(fmt.Appendf(nil, "%x", p))[:size])
}

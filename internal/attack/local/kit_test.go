package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// kit is what all tests share: the command, a program that attacks, and a
// repository. Every user can read it, and only who runs the tests can change it.
type kit struct {
	dir         string
	larch       string
	probe       string
	repo        string
	keys        string
	fingerprint string

	mu        sync.Mutex
	published map[string]bool
}

var shared = sync.OnceValue(func() *kit {
	k, err := newKit()
	if err != nil {
		panic(err)
	}
	return k
})

// made is the folder of the kit, once there is one.
var made string

func TestMain(m *testing.M) {
	code := m.Run()
	if made != "" {
		os.RemoveAll(made)
	}
	os.Exit(code)
}

func newKit() (*kit, error) {
	dir, err := os.MkdirTemp("", "larch-attack-")
	if err != nil {
		return nil, err
	}
	made = dir
	k := &kit{
		dir: dir, larch: filepath.Join(dir, "bin", "larch"), probe: filepath.Join(dir, "bin", "probe"),
		repo: filepath.Join(dir, "repo"), keys: filepath.Join(dir, "keys"), published: map[string]bool{},
	}
	err = errors.Join(os.Chmod(dir, 0o755), os.Mkdir(filepath.Join(dir, "bin"), 0o755))
	for program, source := range map[string]string{k.larch: "../../../cmd/larch", k.probe: "../../../sandbox/testdata/probe"} {
		build := exec.Command("go", "build", "-o", program, source)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, buildErr := build.CombinedOutput(); buildErr != nil {
			err = errors.Join(err, fmt.Errorf("building %s: %w\n%s", source, buildErr, out))
		}
	}
	if err != nil {
		return nil, err
	}
	out, err := k.publisher("init", "--json", k.repo)
	if err != nil {
		return nil, err
	}
	var made struct{ Fingerprint, Keys string }
	if err := json.Unmarshal(out, &made); err != nil {
		return nil, err
	}
	k.fingerprint, k.keys = made.Fingerprint, made.Keys
	return k, nil
}

// publisher runs a verb of the publisher's.
func (k *kit) publisher(args ...string) ([]byte, error) {
	cmd := exec.Command(k.larch, args...)
	cmd.Env = []string{"HOME=" + k.dir, "PATH=" + os.Getenv("PATH")}
	var out, problem strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("larch %q: %w\n%s%s", args, err, out.String(), problem.String())
	}
	return []byte(out.String()), nil
}

// content is what an application's folder has: names and texts; below bin/ they
// get the run bit.
type content map[string]string

// folder makes it, with the probe as bin/probe.
func (c content) folder(dir string) error {
	all := []error{os.MkdirAll(filepath.Join(dir, "files/bin"), 0o755), os.Link(shared().probe, filepath.Join(dir, "files/bin/probe"))}
	for name, text := range c {
		mode := os.FileMode(0o644)
		if strings.HasPrefix(name, "files/bin/") {
			mode = 0o755
		}
		full := filepath.Join(dir, name)
		all = append(all, os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), mode))
	}
	return errors.Join(all...)
}

// app publishes an application once, with these lines behind the group Application
// of its metadata, and gives its ref's short name.
func (k *kit) app(t *testing.T, id, lines, version string, more content) string {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	name := "org.example." + id
	if k.published[name+version] {
		return name
	}
	if err := k.publish(t.TempDir(), k.repo, name, lines, version, more); err != nil {
		t.Fatal(err)
	}
	k.published[name+version] = true
	return name
}

// publish publishes to any repository of the kit's keys, from a scratch folder.
func (k *kit) publish(scratch, repo, name, lines, version string, more content) error {
	dir := filepath.Join(scratch, name+version)
	all := content{"metadata": "[Application]\nname=" + name + "\nruntime=host\ncommand=probe\n" + lines, "files/share/version": version}
	for path, text := range more {
		all[path] = text
	}
	if err := all.folder(dir); err != nil {
		return err
	}
	_, err := k.publisher("publish", repo, "app/"+name+"/"+arch+"/stable", dir, "--version", version, "--keys", k.keys, "--delta-budget", "0")
	return err
}

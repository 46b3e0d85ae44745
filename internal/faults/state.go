//go:build amd64

package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/larch-project/larch/internal/pool"
)

// textState is what a command prints.
func textState(line ...string) func(*world) (string, error) {
	return func(w *world) (string, error) {
		code, out, problems := w.larch(line...)
		if code != 0 {
			return "", fmt.Errorf("larch %s: exit code %d: %s", strings.Join(line, " "), code, problems)
		}
		return strings.ReplaceAll(out, w.dir, "{w}"), nil
	}
}

// initState tells whether the repository is there: whole, or not at all.
func initState(w *world) (string, error) {
	if code, _, _ := w.larch("check", "{w}/repo"); code == 0 {
		return "a repository", nil
	}
	if _, err := os.Stat(w.path("repo/trust/timestamp.json")); err == nil {
		if _, err := os.Stat(w.path("repo/trust/1.root.json")); err == nil {
			return "", fmt.Errorf("half a repository can be used")
		}
	}
	return "", nil
}

// repoState gives the versions that clients find.
func repoState(w *world) (string, error) {
	code, out, problems := w.larch("repo", "log", "{w}/repo", "hello", "--json")
	if code == 3 {
		return "nothing", nil
	}
	var log []struct{ Version string }
	if code != 0 || json.Unmarshal([]byte(out), &log) != nil {
		return "", fmt.Errorf("larch repo log: exit code %d: %s", code, problems)
	}
	return fmt.Sprint(log), nil
}

// newestState gives the version that clients find when they ask for none.
func newestState(w *world) (string, error) {
	log, err := repoState(w)
	newest, _, _ := strings.Cut(log, " ")
	return strings.Trim(newest, "[]"), err
}

// deltaState adds the deltas that there are.
func deltaState(w *world) (string, error) {
	log, err := repoState(w)
	if err != nil {
		return "", err
	}
	deltas, err := textState("repo", "deltas", "list", "{w}/repo", "hello")(w)
	return log + deltas, err
}

// keyState says of each key whether it is one of those that the world began with.
func keyState(w *world) (string, error) {
	var keys []struct{ Role, ID string }
	if err := w.ask(&keys, "key", "list", "{w}/repo", "--json"); err != nil {
		return "", err
	}
	before, err := trusted(filepath.Join(w.from, "repo/trust"))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&b, "%s, known %v; ", k.Role, strings.Contains(before, k.ID))
	}
	log, err := repoState(w)
	return b.String() + log, err
}

// trusted is the text of all signed metadata in a folder.
func trusted(dir string) (text string, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	for _, name := range names {
		data, problem := os.ReadFile(name)
		if problem != nil {
			return "", problem
		}
		text += string(data)
	}
	return text, err
}

// installState is what is installed, and what it says when it runs, which tells of
// every byte of it.
func installState(w *world) (string, error) {
	var list []struct{ Ref, Version string }
	if err := w.ask(&list, "list", "--json"); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, in := range list {
		fmt.Fprintf(&b, "%s %s", in.Ref, in.Version)
		if strings.HasPrefix(in.Ref, "app/") {
			code, out, problems := w.larch("run", "--no-sandbox", in.Ref)
			if code != 0 || !strings.HasPrefix(out, in.Version+" ") {
				return "", fmt.Errorf("%s %s does not run: exit code %d: %s%s", in.Ref, in.Version, code, out, problems)
			}
			b.WriteString(": " + out)
		}
		b.WriteString("; ")
	}
	return b.String(), nil
}

// makeSeen makes the folder at which a release is mounted.
func makeSeen(w *world) error { return os.Mkdir(w.path("seen"), 0o755) }

// seenState is what is seen there.
func seenState(w *world) (string, error) {
	code, out, problems := w.call("/bin/sh", "-c", `set -e; cd "$1"; list=$(find . -type f); echo "$list" | LC_ALL=C sort | xargs -r cat | cksum`, "sh", "{w}/seen")
	if code != 0 {
		return "", fmt.Errorf("exit code %d: %s", code, problems)
	}
	installed, err := installState(w)
	return out + installed, err
}

// makeUnits makes the folder for the units of systemd.
func makeUnits(w *world) error { return os.Mkdir(w.path("units"), 0o755) }

// poolState is the pool that is mounted. One that belongs there, and is not mounted yet, is
// none.
func poolState(w *world) (string, error) {
	code, out, problems := w.larch("pool", "info", "--json")
	if code == 3 || code == 6 && strings.Contains(out+problems, pool.ErrUnmounted.Error()) {
		return "nothing", nil
	}
	var mounted struct {
		File string
		Size int64
	}
	if err := json.Unmarshal([]byte(out), &mounted); code != 0 || err != nil {
		return "", fmt.Errorf("larch pool info: exit code %d: %s", code, problems)
	}
	return fmt.Sprintf("%s of %d bytes", filepath.Base(mounted.File), mounted.Size), nil
}

// poolGoal adds the text of the units, but for the world's name.
func poolGoal(w *world) (string, error) {
	pool, err := poolState(w)
	code, out, problems := w.call("/bin/sh", "-c", `find -L "$1" -type f | sort | xargs -d '\n' cat`, "sh", "{w}/units")
	if err != nil || code != 0 {
		return "", errors.Join(err, fmt.Errorf("exit code %d: %s", code, problems))
	}
	name := filepath.Base(w.dir)
	for _, in := range []string{name, strings.ReplaceAll(name, "-", `\x2d`)} {
		out = strings.ReplaceAll(out, in, "{w}")
	}
	return pool + out, nil
}

// spoilObject changes a byte of the largest object, which links have, too.
func spoilObject(w *world) error { return spoilLargest(w.path("machine/objects/*/*")) }

func spoilLargest(pattern string) error {
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		return fmt.Errorf("no object to spoil: %w", err)
	}
	slices.SortFunc(names, func(a, b string) int { return int(sizeOf(b) - sizeOf(a)) })
	data, err := os.ReadFile(names[0])
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 8
	return errors.Join(os.Chmod(names[0], 0o644), os.WriteFile(names[0], data, 0), os.Chmod(names[0], 0o444))
}

func sizeOf(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return -1
	}
	return info.Size()
}

// verifyState is whether all is well; what is not must be what was spoiled, and what
// is made of it.
func verifyState(w *world) (string, error) {
	switch code, out, problems := w.larch("verify"); code {
	case 0:
		return installState(w)
	case 8:
		return "damaged", nil
	default:
		return "", fmt.Errorf("larch verify: exit code %d: %s%s", code, out, problems)
	}
}

// imageState is what is at the name of the image: nothing, or all of it.
func imageState(w *world) (string, error) {
	data, err := os.ReadFile(w.path("image"))
	if errors.Is(err, fs.ErrNotExist) {
		return "nothing", nil
	}
	installed, problem := installState(w)
	return fmt.Sprintf("%x %s", sha256.Sum256(data), installed), errors.Join(err, problem)
}

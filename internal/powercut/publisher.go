package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// publisher judges a repository and its keys.
type publisher struct{}

// state is the signed head; without a root, which is written last when a repository is
// made, there is no repository.
func (publisher) state(w *world) (string, error) {
	if _, err := os.Lstat(filepath.Join(w.repo(), "trust/1.root.json")); errors.Is(err, fs.ErrNotExist) {
		return "no repository", nil
	}
	head, err := os.ReadFile(filepath.Join(w.repo(), "trust/timestamp.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return "no repository", nil
	} else if err != nil {
		return "", err
	}
	return fmt.Sprintf("head %x", sha256.Sum256(head)), nil
}

// check asks the oracle, and installs each release as somebody who has nothing.
func (p publisher) check(w *world, thorough bool) error {
	if state, err := p.state(w); err != nil || state == "no repository" {
		return err
	}
	if _, err := w.must("check", w.repo()); err != nil {
		return err
	}
	if _, code, err := w.run("repo", "log", w.repo(), app); code == 3 {
		return nil // nothing is published yet
	} else if err != nil {
		return err
	}
	code, err := w.fingerprintOnce()
	if err != nil {
		return err
	}
	somebody := &world{fixture: w.fixture, dir: w.dir, disk: filepath.Join(w.dir, "somebody")}
	defer os.RemoveAll(somebody.disk)
	if _, err := somebody.must("remote", "add", "example", w.repo(), "--root-key", code); err != nil {
		return err
	}
	if _, err := somebody.must("install", app, "--yes", "--backend", "hardlink"); err != nil {
		return err
	}
	list, err := client{}.list(somebody)
	if err != nil || len(list) != 1 {
		return fmt.Errorf("%w: installed are %v: %w", errContent, list, err)
	}
	version, err := strconv.Atoi(list[0].Version)
	if err != nil {
		return err
	}
	return somebody.compare(app, version, thorough)
}

// fingerprintOnce is the first root key's, which stays what machines are told: it is
// asked for before the power is cut, if there is a repository then.
func (w *world) fingerprintOnce() (string, error) {
	if w.code != "" {
		return w.code, nil
	}
	return w.fingerprint(w.repo())
}

// clean is larch repo prune, and a list of what there is, in which a digest is any.
func (publisher) clean(w *world) (string, error) {
	if _, err := w.must("repo", "prune", w.repo()); err != nil {
		return "", err
	}
	return names(w.disk, func(at string) string {
		if at == noiseName || strings.HasPrefix(at, "lost+found") || strings.HasPrefix(at, "keys/") || strings.HasPrefix(at, "repo/trust/") {
			return ""
		}
		parts := strings.Split(at, "/")
		for i, part := range parts {
			if len(part) >= 64 {
				parts[i] = "#" + part[64:]
			}
		}
		return strings.Join(parts, "/")
	})
}

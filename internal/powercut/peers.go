package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ostree judges a repository of OSTree on the disk, with its default settings. Each
// world says how often it has started, as a kernel would.
type ostree struct {
	ref  string
	tree string // a folder on the disk with files of the ref, or a link to one; or none
}

// ostreeRepo is on the disk; ostreeSite is what machines pull from, and is
// not.
func (w *world) ostreeRepo() string { return filepath.Join(w.disk, "ostree") }
func (w *world) ostreeSite() string { return filepath.Join(w.dir, "site") }

// state is the commit to which the ref leads, and the files in the folder.
func (o ostree) state(w *world) (string, error) {
	commit, err := w.must("ostree", "rev-parse", "--repo="+w.ostreeRepo(), o.ref)
	if err != nil || o.tree == "" {
		return commit, err
	}
	at, err := filepath.EvalSymlinks(filepath.Join(w.disk, o.tree))
	if errors.Is(err, fs.ErrNotExist) {
		return commit + "no files\n", nil
	} else if err != nil {
		return "", err
	}
	files, err := contents(at)
	return commit + files, err
}

// check asks ostree fsck, and checks the ref out: its files are as they were committed.
func (o ostree) check(w *world, _ bool) error {
	repo := "--repo=" + w.ostreeRepo()
	if _, err := w.must("ostree", "fsck", "--quiet", repo); err != nil {
		return err
	}
	out, err := w.must("ostree", "show", repo, "--print-metadata-key=version", o.ref)
	if err != nil {
		return err
	}
	version, err := strconv.Atoi(strings.Trim(out, "'\n"))
	if err != nil {
		return err
	}
	somewhere := filepath.Join(w.dir, "checked-out")
	defer os.RemoveAll(somewhere)
	if _, err := w.must("ostree", "checkout", "-U", "--disable-cache", repo, o.ref, somewhere); err != nil {
		return err
	}
	have, err := contents(somewhere)
	if err != nil {
		return err
	}
	want, err := contents(w.app(version))
	if err == nil && have != want {
		err = fmt.Errorf("%w: %s", errContent, differ(have, want))
	}
	return err
}

// clean is ostree prune, and a list of what there is. What is temporary OSTree itself
// takes away a day later, so it does not count.
func (ostree) clean(w *world) (string, error) {
	if _, err := w.must("ostree", "prune", "--refs-only", "--repo="+w.ostreeRepo()); err != nil {
		return "", err
	}
	return names(w.disk, func(at string) string {
		if at == noiseName || strings.HasPrefix(at, "lost+found") || strings.HasPrefix(at, "ostree/tmp/") {
			return ""
		}
		return at
	})
}

func ostreeCommit(w *world, repo string, version int) []string {
	v := fmt.Sprint(version)
	return []string{"ostree", "commit", "--repo=" + repo, "--branch=main", "--tree=dir=" + w.app(version), "--owner-uid=0", "--owner-gid=0",
		"--timestamp=2026-01-0" + v, "--subject=" + v, "--add-metadata-string=version=" + v}
}

// commits adds a version to a repository, which it makes if it is the first.
func commits(repo func(*world) string, version int) step {
	return func(w *world) error {
		if version == 1 {
			if _, err := w.must("ostree", "init", "--mode=archive", "--repo="+repo(w)); err != nil {
				return err
			}
		}
		_, err := w.must(ostreeCommit(w, repo(w), version)...)
		return err
	}
}

// pulls makes the machine's repository if there is none, and pulls.
func pulls(w *world) error {
	repo := "--repo=" + w.ostreeRepo()
	if _, err := os.Lstat(w.ostreeRepo()); errors.Is(err, fs.ErrNotExist) {
		for _, line := range [][]string{{"init", "--mode=bare-user", repo}, {"remote", "add", repo, "--no-gpg-verify", "site", "file://" + w.ostreeSite()}} {
			if _, err := w.must(append([]string{"ostree"}, line...)...); err != nil {
				return err
			}
		}
	}
	_, err := w.must(ostreePull(w)...)
	return err
}

func ostreePull(w *world) []string {
	return []string{"ostree", "pull", "--repo=" + w.ostreeRepo(), "site", "main"}
}

// ostreeSwitch checks out beside, and puts a link in place of the old one.
func ostreeSwitch(name string) func(*world) []string {
	return func(w *world) []string {
		const script = `cd "$1" && rm -rf "$2" && ostree checkout -U -H --repo=ostree site:main "$2" && ln -sfn "$2" new && mv -T new current`
		return []string{"sh", "-c", script, "sh", w.disk, name}
	}
}

// peerScenarios are commands of others that do what Larch's do; env is their program, as
// PATH leads to them.
var peerScenarios = func() []scenario {
	site, repo := (*world).ostreeSite, (*world).ostreeRepo
	switched := func(w *world) error {
		_, err := w.must(ostreeSwitch("tree-1")(w)...)
		return err
	}
	list := []scenario{
		{name: "ostree commit", judge: ostree{ref: "main"}, once: true, before: []step{commits(repo, 1)}, command: func(w *world) []string { return ostreeCommit(w, repo(w), 2) }},
		{name: "ostree pull", judge: ostree{ref: "site:main"}, before: []step{commits(site, 1), pulls, commits(site, 2)}, command: ostreePull},
		{
			name: "ostree checkout", judge: ostree{ref: "site:main", tree: "tree-2"}, again: []int{1}, before: []step{commits(site, 1), pulls, commits(site, 2), pulls},
			command: func(w *world) []string {
				return []string{"ostree", "checkout", "-U", "-H", "--repo=" + repo(w), "site:main", filepath.Join(w.disk, "tree-2")}
			},
		},
		{name: "ostree checkout, switch a link", judge: ostree{ref: "site:main", tree: "current"}, before: []step{commits(site, 1), pulls, switched, commits(site, 2), pulls}, command: ostreeSwitch("tree-2")},
	}
	for i := range list {
		list[i].program = "/usr/bin/env"
	}
	return list
}()

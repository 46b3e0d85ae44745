//go:build amd64

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
)

// peers are commands of others that do what Larch's do, under the same faults: those of
// OSTree, and of Flatpak, which is built upon it. Of a program that is not here it says so.
func (l *lab) peers() (list []*scenario, err error) {
	for _, of := range []func() ([]*scenario, error){l.ostreeScenarios, l.flatpakScenarios} {
		more, err := of()
		if errors.Is(err, exec.ErrNotFound) {
			log.Print("left out: ", err)
			continue
		} else if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

func (l *lab) ostreeScenarios() ([]*scenario, error) {
	ostree, err := exec.LookPath("ostree")
	if err != nil {
		return nil, err
	}
	site := l.world("ostree").path("site")
	commit := func(repo, version string) []string {
		return []string{"commit", "--repo=" + repo, "--branch=main", "--tree=dir={source}/" + version, "--owner-uid=0", "--owner-gid=0", "--timestamp=2026-01-01", "--subject=" + version}
	}
	lines := func(list ...[]string) func(*world) error {
		return func(w *world) error { return w.mustAll(ostree, list...) }
	}
	repo, client := "{w}/repo", "{w}/client"
	if err := makeAll(site); err != nil {
		return nil, err
	}
	if err := lines([]string{"init", "--repo=" + site, "--mode=archive"}, commit(site, "1.0"))(l.world("ostree")); err != nil {
		return nil, err
	}
	begin := [][]string{{"init", "--repo=" + repo, "--mode=archive"}, commit(repo, "1.0")}
	pull := []string{"pull", "--repo=" + client, "site", "main"}
	begun := [][]string{{"init", "--repo=" + client, "--mode=bare-user"}, {"remote", "add", "--repo=" + client, "--no-gpg-verify", "site", "file://" + site}, pull}
	at := func(repo string) func(*world) (string, error) {
		return func(w *world) (string, error) { return ostreeState(w, repo) }
	}
	list := []*scenario{
		{name: "ostree commit", spoil: lines(begin...), line: commit(repo, "1.1"), state: at(repo), check: []string{"fsck", "--repo=" + repo}},
		{name: "ostree prune", spoil: lines(append(begin, commit(repo, "1.1"))...), line: []string{"prune", "--repo=" + repo, "--refs-only", "--depth=0"}, again: true, state: at(repo), check: []string{"fsck", "--repo=" + repo}},
		{name: "ostree checkout", spoil: lines(begun...), line: []string{"checkout", "--repo=" + client, "-U", "-H", "site:main", "{w}/tree"}, state: folderState, check: []string{"fsck", "--repo=" + client}},
		{name: "ostree pull", again: true, line: pull, state: at(client), check: []string{"fsck", "--repo=" + client}, spoil: func(w *world) error {
			// The site goes on when the client is there.
			if err := lines(begun...)(w); err != nil {
				return err
			}
			return w.mustAll(ostree, commit(site, "1.1"))
		}},
	}
	for _, s := range list {
		s.program = ostree
	}
	return list, nil
}

// ostreeState is a digest of all files of the branch, as an archive.
func ostreeState(w *world, repo string) (string, error) {
	const script = `ref=$(ostree refs --repo="$1" | grep main) && ostree export --repo="$1" "$ref" | tar -xO | cksum`
	code, out, problems := w.call("/bin/bash", "-o", "pipefail", "-c", script, "sh", repo)
	if code != 0 {
		return "", fmt.Errorf("exit code %d: %s", code, problems)
	}
	return out, nil
}

// folderState is whether the folder is there, and its files.
func folderState(w *world) (string, error) {
	if _, err := os.Stat(w.path("tree")); errors.Is(err, fs.ErrNotExist) {
		return "nothing", nil
	}
	code, out, problems := w.call("/bin/sh", "-c", `cd "$1" && find . -type f | LC_ALL=C sort | xargs cat | cksum`, "sh", "{w}/tree")
	if code != 0 {
		return "", fmt.Errorf("exit code %d: %s", code, problems)
	}
	return out, nil
}

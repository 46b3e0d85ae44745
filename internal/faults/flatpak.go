//go:build amd64

package main

import (
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Names by which Flatpak knows what the lab publishes.
const (
	helloID = "org.example.Hello"
	toolsID = "org.example.Tools"
)

// flatpakScenarios are those of Flatpak, as a user's: flatpak --user.
func (l *lab) flatpakScenarios() ([]*scenario, error) {
	flatpak, err := exec.LookPath("flatpak")
	if err != nil {
		return nil, err
	}
	site, err := l.flatpakSites(flatpak)
	if err != nil {
		return nil, fmt.Errorf("publishing for flatpak: %w", err)
	}
	line := func(words ...string) []string {
		return append([]string{"--user", words[0], "--noninteractive", "-y"}, words[1:]...)
	}
	install, unused := line("install", "site", helloID), line("uninstall", "--unused")
	must := func(lines [][]string) func(*world) error {
		return func(w *world) error { return w.mustAll(flatpak, lines...) }
	}
	begun := [][]string{{"--user", "remote-add", "--no-gpg-verify", "site", site("1.0")}}
	old := append(begun[:1:1], install)
	newer := append(old[:2:2], []string{"--user", "remote-modify", "--no-gpg-verify", "--url=" + site("1.1"), "site"})
	list := []*scenario{
		{name: "flatpak install", spoil: must(begun), line: install, again: true},
		{name: "flatpak update", spoil: must(newer), line: line("update"), again: true},
		{name: "flatpak uninstall", spoil: must(old), line: line("uninstall", helloID)},
	}
	for _, s := range list {
		s.program, s.state, s.goal, s.damage, s.ignore = flatpak, flatpakState, flatpakGoal, flatpakDamage, flatpakLock
		s.collect = func(w *world) error {
			if err := w.mustAll(flatpak, unused); err != nil {
				return err
			}
			return w.mustAll(env, []string{"ostree", "prune", "--repo=" + flatpakRepo, "--refs-only"})
		}
	}
	return list, l.flatpakControl(list[2])
}

// flatpakControl changes a byte of an installation, which has to be found.
func (l *lab) flatpakControl(installed *scenario) error {
	w := l.world("flatpak-control")
	if err := errors.Join(w.begin(nil), installed.spoil(w)); err != nil {
		return err
	}
	good, err := flatpakState(w)
	if err = errors.Join(err, flatpakDamage(w)); err != nil {
		return fmt.Errorf("a good installation of flatpak is called bad: %w", err)
	}
	if err := spoilLargest(w.path("home/data/flatpak/repo/objects/*/*.file")); err != nil {
		return err
	}
	if bad, _ := flatpakState(w); bad == good || flatpakDamage(w) == nil {
		return errors.New("damage of an installation of flatpak was not found")
	}
	return w.remove()
}

// env runs a program that PATH leads to.
const env = "/usr/bin/env"

// flatpakRepo is where flatpak --user has its objects.
const flatpakRepo = "{w}/home/data/flatpak/repo"

// flatpakLock are the files by which it locks, which are empty.
var flatpakLock = regexp.MustCompile(`(?m)^/home/data/flatpak/(repo-)?lock -rw-------\n`)

// flatpakSites makes a repository in which the application's first version is, and one
// in which the next is, too, each with the runtime. site gives their addresses.
func (l *lab) flatpakSites(flatpak string) (site func(version string) string, err error) {
	w := l.world("flatpak")
	tools := maps.Clone(tools())
	tools["metadata"] = "[Runtime]\nname=" + toolsID + "\nruntime=" + toolsID + "/x86_64/1\n"
	tools["files/empty"] = ""
	if err := tools.write(w.path("tools")); err != nil {
		return nil, err
	}
	const at = "--timestamp=2026-01-01T00:00:00Z"
	for n, v := range versions[:2] {
		hello := application(v)
		for name := range hello { // whether an icon is one is for others to find
			if filepath.Ext(name) == ".svg" {
				delete(hello, name)
			}
		}
		if err := hello.write(w.path(v)); err != nil {
			return nil, err
		}
		for _, published := range versions[n:2] {
			lines := [][]string{{"build-export", "--runtime", at, "{w}/site-" + published, "{w}/tools", "1"}, {"build-export", at, "{w}/site-" + published, "{w}/" + v, "stable"}}
			if err := w.mustAll(flatpak, lines[min(n, 1):]...); err != nil {
				return nil, err
			}
		}
	}
	return func(version string) string { return "file://" + w.path("site-"+version) }, nil
}

// flatpakState is which version of the application is installed, and what it says when it
// runs, which tells of every byte of it; and the files of its runtime. A runtime without
// an application is as good as none.
func flatpakState(w *world) (string, error) {
	code, at, problems := w.call(env, "flatpak", "--user", "info", "--show-location", helloID)
	if code != 0 && strings.Contains(problems, "not installed") {
		return "nothing", nil
	}
	if code != 0 {
		return "", fmt.Errorf("flatpak info: exit code %d: %s", code, problems)
	}
	const script = `set -e
LARCH_APP=$1/files "$1/files/bin/hello"
cd "$2" && find files -type f | LC_ALL=C sort | xargs cat | cksum`
	at = strings.TrimSpace(at)
	code, out, problems := w.call("/bin/sh", "-c", script, "sh", at, "{w}/home/data/flatpak/runtime/"+toolsID+"/x86_64/1/active")
	if code != 0 {
		return "", fmt.Errorf("%s: exit code %d: %s%s", helloID, code, out, problems)
	}
	return filepath.Base(at) + " " + out, nil // the commit's checksum
}

// flatpakGoal adds what the desktop sees: links that lead nowhere, and files.
func flatpakGoal(w *world) (string, error) {
	state, err := flatpakState(w)
	if err != nil {
		return "", err
	}
	const script = `cd "$1" && find -L . -type l -printf 'leads nowhere: %p\n' && find -L . -type f | LC_ALL=C sort | xargs -r cat | cksum`
	code, out, problems := w.call("/bin/sh", "-c", script, "sh", "{w}/home/data/flatpak/exports")
	if code != 0 && !strings.Contains(problems, "can't cd") {
		return "", fmt.Errorf("exports: exit code %d: %s", code, problems)
	}
	return state + out, nil
}

// repairs is what flatpak repair --dry-run says of what it would do, with exit code 0.
var repairs = regexp.MustCompile(`(?i)Object (invalid|missing)|marked partial|Deleting ref|Problem`)

// flatpakDamage is what Flatpak finds in an installation, and what OSTree does.
func flatpakDamage(w *world) error {
	code, out, problems := w.call(env, "flatpak", "--user", "repair", "--dry-run")
	if code != 0 || repairs.MatchString(out+problems) {
		return fmt.Errorf("flatpak repair --dry-run: exit code %d: %s%s", code, out, problems)
	}
	return w.mustAll(env, []string{"ostree", "fsck", "--quiet", "--repo=" + flatpakRepo})
}

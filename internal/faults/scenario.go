//go:build amd64

package main

import (
	"os"
	"regexp"
	"slices"

	"github.com/larch-project/larch/internal/mount"
)

// scenario is a command, and the world that it finds.
type scenario struct {
	name  string
	setup [][]string // command lines that make the world
	ready [][]string // and those that a copy of it needs, such as for mounts
	line  []string   // what is stopped: arguments of program
	// program is one of the lab's, or a path; larch if it is empty.
	program string
	// again: given again in the new state, it succeeds and changes nothing.
	again bool
	// check finds what is wrong; a folder that is not there is judged by state.
	check []string
	// mend is the command that ends what check may find after an interruption, and
	// names: documents that bear the signatures of an old key and of a new one.
	mend []string
	says string
	// damage finds what is wrong where one command does not say it by its exit code.
	damage func(*world) error
	// clean is the command that collects what interruptions leave.
	clean [][]string
	// collect does so where it is more than commands of program.
	collect func(*world) error
	// state says what users see, as text to compare. It names a wrong one.
	state func(*world) (string, error)
	// goal is the state that the command given again has to come to, where it changes
	// more than one thing; else it is state.
	goal func(*world) (string, error)
	// ignore are the lines of a listing that may stay.
	ignore *regexp.Regexp
	// fresh: the world cannot be copied, and is made anew for each point.
	fresh bool
	// spoil changes the world after setup, past the command.
	spoil func(*world) error
}

// scenarios lists all, with those of each backend that this machine has.
func (l *lab) scenarios() []*scenario {
	if l.kind == onBtrfs { // the rest is the same there
		return deploying(onBtrfs)
	}
	list := slices.Concat(publishing(), installing())
	for _, b := range l.backends {
		list = append(list, deploying(b)...)
	}
	if os.Geteuid() == 0 && mount.Known("btrfs") == nil {
		list = append(list, &scenario{
			name: "pool create", spoil: makeUnits, line: []string{"pool", "create", "--size", "300M", "--units", "{w}/units", "{w}/pool"},
			again: true, state: poolState, goal: poolGoal, ignore: unitNames,
		})
	}
	return list
}

// unitNames bear the world's name. What there is of them is for poolGoal to say.
var unitNames = regexp.MustCompile(`(?m)^/units/.*\n`)

// privateKey is the key that was made before the metadata that would have named it.
// Larch never removes a private key.
var privateKey = regexp.MustCompile(`(?m)^/keys/[a-z-]+-#\.key -rw-------\n`)

// mountPlace is where trees are mounted while they are read, as verify does.
var mountPlace = regexp.MustCompile(`(?m)^/machine/fuse(/lock|/mnt)? [d-][rwx-]+\n`)

func publishing() []*scenario {
	repo := "{w}/repo"
	made := []string{"init", repo}
	published := func(v string) []string {
		return []string{"publish", repo, hello, "{source}/" + v, "--version", v}
	}
	small := func(v string) []string { return append(published(v), "--delta-budget", "0") }
	check := []string{"check", repo}
	refresh := []string{"repo", "refresh", repo}
	prune := [][]string{{"repo", "prune", repo}}
	list := []*scenario{
		{name: "init", line: made, state: initState},
		{name: "publish", setup: [][]string{made}, line: small("1.0"), state: repoState},
		{name: "publish, with deltas", setup: [][]string{made, published("1.0")}, line: published("1.1"), state: repoState},
		{name: "import", setup: [][]string{made, published("1.0"), {"export", "--format", "btrfs-send", "--repo", repo, "hello", "--output", "{w}/stream"}}, line: []string{"import", "--format", "btrfs-send", "{w}/stream", hello, "--repo", repo, "--version", "1.1", "--delta-budget", "0"}, state: repoState},
		{name: "repo prune", setup: [][]string{made, published("1.0"), published("1.1"), published("2.0")}, line: []string{"repo", "prune", repo, "--keep", "1"}, again: true, state: newestState, goal: repoState},
		{name: "repo repack", setup: [][]string{made, small("1.0"), small("1.1"), small("2.0")}, line: []string{"repo", "repack", repo}, again: true, state: repoState},
		{name: "repo refresh", setup: [][]string{made, published("1.0")}, line: []string{"repo", "refresh", repo}, again: true, state: repoState},
		{name: "repo deltas make", setup: [][]string{made, small("1.0"), small("1.1")}, line: []string{"repo", "deltas", "make", repo, hello}, again: true, state: repoState, goal: deltaState},
		{name: "repo deltas drop", setup: [][]string{made, published("1.0"), published("1.1")}, line: []string{"repo", "deltas", "drop", repo, hello, "1.0", "1.1"}, state: deltaState},
		{name: "repo mirrors", setup: [][]string{made}, line: []string{"repo", "mirrors", repo, "--set", "https://a.example/r"}, again: true, state: textState("repo", "mirrors", repo)},
		{name: "key rotate root", setup: [][]string{made, published("1.0")}, line: []string{"key", "rotate", repo, "root"}, state: keyState},
		{name: "key rotate publisher", setup: [][]string{made, published("1.0")}, line: []string{"key", "rotate", repo, "main"}, state: keyState},
		{name: "key rotate timestamp", setup: [][]string{made, published("1.0")}, line: []string{"key", "rotate", repo, "timestamp"}, state: keyState, mend: refresh, says: "larch repo refresh"},
		{name: "key rotate snapshot", setup: [][]string{made, published("1.0")}, line: []string{"key", "rotate", repo, "snapshot"}, state: keyState, mend: refresh, says: "larch repo refresh"},
		{name: "key rotate targets", setup: [][]string{made, published("1.0")}, line: []string{"key", "rotate", repo, "targets"}, state: keyState, mend: refresh, says: "larch repo refresh"},
		{name: "key add", setup: [][]string{made, published("1.0")}, line: []string{"key", "add", repo, "alice"}, state: keyState},
		{name: "key revoke", setup: [][]string{made, {"key", "add", repo, "alice"}, published("1.0")}, line: []string{"key", "revoke", repo, "alice", "--yes"}, state: keyState},
	}
	for _, s := range list {
		s.check, s.clean, s.ignore = check, prune, privateKey
	}
	return list
}

func installing() []*scenario {
	add := []string{"remote", "add", "site", "{site}", "--root-key", "{root}"}
	install := func(v string, more ...string) []string {
		return slices.Concat([]string{"install", "hello@" + v, "--yes"}, more)
	}
	old, middle := install("1.0"), install("1.1")
	update := []string{"update", "--yes"}
	stream := []string{"export", "--format", "btrfs-send", "hello", "--output", "{w}/image"}
	list := []*scenario{
		{name: "remote add", line: add, state: textState("remote", "list")},
		{name: "remote remove", setup: [][]string{add}, line: []string{"remote", "remove", "site"}, state: textState("remote", "list")},
		{name: "install, by packs", setup: [][]string{add}, line: install("2.0", "--no-deltas"), again: true, state: installState},
		{name: "install, by delta", setup: [][]string{add}, line: install("2.0"), again: true, state: installState},
		{name: "install, over HTTP", setup: [][]string{{"remote", "add", "site", "{url}", "--root-key", "{root}"}}, line: install("2.0"), again: true, state: installState},
		{name: "update, by delta", setup: [][]string{add, old}, line: update, again: true, state: installState},
		{name: "update, by packs", setup: [][]string{add, old}, line: append(slices.Clone(update), "--no-deltas"), again: true, state: installState},
		{name: "update, nothing new", setup: [][]string{add, install("2.0")}, line: update, again: true, state: installState},
		{name: "uninstall", setup: [][]string{add, old}, line: []string{"uninstall", "hello", "--yes"}, state: installState},
		{name: "undo", setup: [][]string{add, old, middle}, line: []string{"undo"}, state: installState},
		{name: "gc", setup: [][]string{add, old, middle, update}, line: []string{"gc", "--keep", "0"}, again: true, state: installState},
		{name: "verify --repair", setup: [][]string{add, old}, spoil: spoilObject, line: []string{"verify", "--repair"}, again: true, state: verifyState},
		{name: "export", setup: [][]string{add, old}, line: []string{"export", "--format", "composefs", "hello", "--output", "{w}/image"}, again: true, state: imageState},
		{name: "export, send stream", setup: [][]string{add, old}, line: stream, again: true, state: imageState},
	}
	for _, s := range list {
		s.check, s.clean = []string{"verify"}, [][]string{{"gc"}}
		if s.spoil != nil {
			s.check = nil // what is wrong is its state
		}
	}
	return list
}

// deploying are the scenarios of one backend.
func deploying(backend string) []*scenario {
	add := []string{"remote", "add", "site", "{site}", "--root-key", "{root}"}
	with := func(v string) []string { return []string{"install", "hello@" + v, "--yes", "--backend", backend} }
	ready := [][]string{{"mount", "--all"}}
	list := []*scenario{
		{name: "install, " + backend, setup: [][]string{add}, line: with("1.0"), again: true},
		{name: "update, " + backend, setup: [][]string{add, with("1.0")}, ready: ready, line: []string{"update", "--yes"}, again: true},
		{name: "gc, " + backend, setup: [][]string{add, with("1.0"), {"uninstall", "hello", "--yes"}}, ready: ready, line: []string{"gc", "--keep", "0"}, again: true},
	}
	for _, s := range list {
		s.state = installState
	}
	if os.Geteuid() == 0 && backend != "overlay" { // which is seen by its own programs alone
		setup, seen := [][]string{add, with("1.0")}, []string{"mount", "hello", "{w}/seen"}
		list = append(list,
			&scenario{name: "mount, " + backend, setup: setup, spoil: makeSeen, ready: ready, line: seen, state: seenState},
			&scenario{name: "umount, " + backend, setup: setup, spoil: makeSeen, ready: append(ready, seen), line: []string{"umount", "{w}/seen"}, state: seenState},
		)
	}
	for _, s := range list {
		s.fresh = backend == onBtrfs // subvolumes are not copied as such
		s.check, s.clean, s.ignore = []string{"verify"}, [][]string{{"gc"}}, mountPlace
	}
	return list
}

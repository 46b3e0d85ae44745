package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// scenario is a command, and the machine on which it is given.
type scenario struct {
	name    string
	program string // larch if it is empty
	judge   judge
	before  []step
	command func(w *world) []string
	// again are the exit codes of the command, given once more when it is done, that mean
	// that there was nothing to do.
	again []int
	// once: given again, it does something else, so it is given again only in the old state.
	once bool
	// damaged: the old state has damage, which the command mends.
	damaged bool
	// resigned: what it signs differs from one time to the next.
	resigned bool
	// trial: each time is another run of the command, not a moment of the recorded one.
	trial bool
	// same: the command does not change what users see.
	same bool
}

// signs tells whether a state that is neither can be right: it was signed in a trial that
// was not the recorded one.
func (s scenario) signs(late bool) bool { return late && s.resigned && s.trial }

// judge knows a kind of state.
type judge interface {
	// state describes what users see, the same for the same state.
	state(w *world) (string, error)
	// check finds what is wrong with any state.
	check(w *world, thorough bool) error
	// clean removes what is in nobody's use, and describes what there is then.
	clean(w *world) (string, error)
}

// step prepares a machine.
type step func(w *world) error

func larch(args ...string) step {
	return func(w *world) error {
		_, err := w.must(args...)
		return err
	}
}

func publishes(version int) step { return func(w *world) error { return w.publishes(version) } }

func remote(w *world) error {
	code, err := w.fixture.fingerprint()
	if err != nil {
		return err
	}
	_, err = w.must("remote", "add", "example", w.source(), "--root-key", code)
	return err
}

func plain(args ...string) func(*world) []string {
	return func(*world) []string { return args }
}

// scenarios are all of them.
var scenarios = append(clientScenarios, publisherScenarios...)

var installed = []step{publishes(1), remote, larch("install", name, "--yes")}

var updated = append(installed[:len(installed):len(installed)], publishes(2), larch("update", "--yes"))

var clientScenarios = []scenario{
	{
		name: "remote add", judge: client{}, again: []int{1},
		before: []step{publishes(1)},
		command: func(w *world) []string {
			code, _ := w.fixture.fingerprint()
			return []string{"remote", "add", "example", w.source(), "--root-key", code}
		},
	},
	{
		name: "install", judge: client{},
		before:  []step{publishes(1), remote},
		command: plain("install", name, "--yes", "--no-deltas"),
	},
	{
		name: "update", judge: client{},
		before:  append(installed[:len(installed):len(installed)], publishes(2)),
		command: plain("update", "--yes"),
	},
	{
		name: "uninstall", judge: client{}, again: []int{3},
		before:  installed,
		command: plain("uninstall", name, "--yes"),
	},
	{
		name: "undo", judge: client{}, once: true,
		before:  updated,
		command: plain("undo"),
	},
	{
		name: "gc", judge: client{}, same: true,
		before:  append(updated[:len(updated):len(updated)], publishes(3), larch("update", "--yes")),
		command: plain("gc", "--keep", "0"),
	},
	{
		name: "verify --repair", judge: client{}, damaged: true, same: true,
		before:  append(installed[:len(installed):len(installed)], damage),
		command: plain("verify", "--repair"),
	},
	{
		name: "export", judge: client{exported: true},
		before: installed,
		command: func(w *world) []string {
			return []string{"export", "--format", "composefs", name, "--output", filepath.Join(w.client(), exportName)}
		},
	},
}

// exportName is what the export is written to.
const exportName = "hello.cfs"

// damage changes a byte of the largest object.
func damage(w *world) error {
	var largest string
	var size int64
	err := filepath.Walk(filepath.Join(w.client(), "objects"), func(at string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && info.Size() > size {
			largest, size = at, info.Size()
		}
		return err
	})
	if err != nil || size == 0 {
		return fmt.Errorf("no object to damage: %w", err)
	}
	f, err := os.OpenFile(largest, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt([]byte("damage"), size/2)
	return err
}

func ourRepo(versions int) step {
	return func(w *world) error {
		if _, err := w.must("init", w.repo()); err != nil {
			return err
		}
		for version := 1; version <= versions; version++ {
			if _, err := w.must(publishing(w.fixture, w.repo(), version)...); err != nil {
				return err
			}
		}
		return nil
	}
}

func onRepo(args ...string) func(*world) []string {
	return func(w *world) []string {
		all := append([]string{}, args...)
		for i, arg := range all {
			if arg == "REPO" {
				all[i] = w.repo()
			}
		}
		return all
	}
}

func publish(version int) func(*world) []string {
	return func(w *world) []string { return publishing(w.fixture, w.repo(), version) }
}

var publisherScenarios = []scenario{
	{name: "init", judge: publisher{}, resigned: true, again: []int{1}, command: onRepo("init", "REPO")},
	{name: "publish, first", judge: publisher{}, resigned: true, again: []int{1, 2}, before: []step{ourRepo(0)}, command: publish(1)},
	{name: "publish, with delta", judge: publisher{}, resigned: true, again: []int{1, 2}, before: []step{ourRepo(1)}, command: publish(2)},
	{name: "repo prune", judge: publisher{}, resigned: true, same: true, before: []step{ourRepo(3)}, command: onRepo("repo", "prune", "REPO", "--keep", "1")},
	{name: "repo repack", judge: publisher{}, resigned: true, same: true, before: []step{ourRepo(3)}, command: onRepo("repo", "repack", "REPO")},
	{name: "repo refresh", judge: publisher{}, resigned: true, once: true, before: []step{ourRepo(1)}, command: onRepo("repo", "refresh", "REPO")},
	{name: "key rotate", judge: publisher{}, resigned: true, once: true, before: []step{ourRepo(1)}, command: onRepo("key", "rotate", "REPO", "root")},
}

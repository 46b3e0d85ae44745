//go:build amd64

package main

import (
	"fmt"
	"os"
	"strings"
)

// control is a program that is known to be bad, and what the suite has to say of it.
type control struct {
	how   string
	found func(*tally) int
}

// controls are a good program, and bad ones.
func controls() []control {
	return []control{
		{"well", nil},
		{"renames-first", func(t *tally) int { return t.lost }},
		{"in-place", func(t *tally) int { return t.lost }},
		{"deaf", func(t *tally) int { return t.wrong }},
		{"litters", func(t *tally) int { return t.left }},
		{"once", func(t *tally) int { return t.stuck }},
	}
}

// scenario has the victim replace a file.
func (c control) scenario() *scenario {
	return &scenario{
		name: "control: " + c.how, program: "victim", line: []string{c.how, "{w}/file"},
		spoil: func(w *world) error { return os.WriteFile(w.path("file"), []byte(oldText), 0o644) },
		state: func(w *world) (string, error) {
			data, err := os.ReadFile(w.path("file"))
			if text := string(data); err == nil && text != oldText && text != strings.ReplaceAll(oldText, "old", "new") {
				err = fmt.Errorf("a file of %d bytes", len(data))
			}
			return string(data), err
		},
	}
}

var oldText = strings.Repeat("old\n", 1000)

// controlled tells whether the suite finds what it has to find. If not, nothing that it
// says is worth anything.
func (l *lab) controlled(o *options) error {
	all := *o
	all.n, all.modes, all.every = 0, "changes", true
	for _, c := range controls() {
		t, err := l.tally(c.scenario(), &all)
		switch {
		case err != nil:
			return err
		case c.found == nil && t.bad() > 0:
			return fmt.Errorf("a good program is called bad: %s", strings.Join(t.problems, "\n"))
		case c.found != nil && c.found(t) == 0:
			return fmt.Errorf("a program that is bad (%s) was not found in %d points", c.how, t.killed+t.failed)
		}
	}
	return nil
}

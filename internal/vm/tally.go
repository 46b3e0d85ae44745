package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/larch-project/larch/internal/vm/guest"
)

// tally reads what test binaries print on a guest's stdout, one after another,
// prints it with a prefix, and counts. What tests print is taken apart by
// `go tool test2json`, one for each binary.
type tally struct {
	series string
	out    *prefixer
	rest   []byte     // of a line
	now    *converter // nil before the first title
	all    []outcome
}

// outcome is what came of the tests of one package. Subtests are tests.
type outcome struct {
	pkg     string
	passed  int
	failed  []string
	skipped []skip
}

type skip struct{ test, reason string }

func newTally(series string, out io.Writer) *tally {
	return &tally{series: series, out: &prefixer{out: out}}
}

// stderr is where the guest's stderr goes.
func (t *tally) stderr() io.Writer { return prefixed{t.out, t.series + " stderr | "} }

// Write takes stdout in whatever pieces. An error is one of running test2json.
func (t *tally) Write(b []byte) (int, error) {
	t.rest = append(t.rest, b...)
	for {
		line, rest, whole := bytes.Cut(t.rest, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		t.rest = rest
		if err := t.line(string(line) + "\n"); err != nil {
			return 0, err
		}
	}
}

func (t *tally) line(line string) error {
	if title, ok := guest.ParseTitle(line); ok {
		if err := t.finish(); err != nil {
			return err
		}
		t.now = &converter{outcome: outcome{pkg: title}, out: prefixed{t.out, t.series + " " + path.Base(title) + " | "}}
		return t.now.start()
	}
	if t.now == nil {
		return nil // the empty line before the first title
	}
	_, err := io.WriteString(t.now.in, line)
	return err
}

// finish ends the reading of one binary's output.
func (t *tally) finish() error {
	if t.now == nil {
		return nil
	}
	err := t.now.finish()
	t.all = append(t.all, t.now.outcome)
	t.now = nil
	return err
}

// Close ends the last one. It must be called.
func (t *tally) Close() error {
	var err error
	if len(t.rest) > 0 {
		err = t.line(string(t.rest) + "\n")
	}
	return errors.Join(err, t.finish())
}

// converter is a test2json at work.
type converter struct {
	outcome
	out  io.Writer
	cmd  *exec.Cmd
	in   io.WriteCloser
	done chan error
}

func (c *converter) start() error {
	c.cmd = exec.Command("go", "tool", "test2json", "-p", c.pkg)
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return err
	}
	events, err := c.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("go tool test2json: %w", err)
	}
	c.in, c.done = in, make(chan error, 1)
	go func() { c.done <- c.read(events) }()
	return nil
}

func (c *converter) finish() error {
	err := errors.Join(c.in.Close(), <-c.done)
	if waitErr := c.cmd.Wait(); waitErr != nil {
		err = errors.Join(err, fmt.Errorf("go tool test2json: %w", waitErr))
	}
	return err
}

// event is what test2json prints: see `go doc test2json`.
type event struct{ Action, Test, Output string }

// read counts events, and prints their output. A test that began and did not end,
// as when the binary died, has failed.
func (c *converter) read(r io.Reader) error {
	running := map[string][]string{} // and what each has printed
	for d := json.NewDecoder(r); ; {
		var e event
		if err := d.Decode(&e); err == io.EOF {
			c.failed = append(c.failed, slices.Sorted(maps.Keys(running))...)
			return nil
		} else if err != nil {
			return fmt.Errorf("go tool test2json: %w", err)
		}
		switch {
		case e.Action == "output":
			if _, err := io.WriteString(c.out, e.Output); err != nil {
				return err
			}
			if said, ok := running[e.Test]; ok {
				running[e.Test] = append(said, e.Output)
			}
		case e.Test != "":
			c.count(e, running)
		}
	}
}

// count notes that a test began, or how it ended.
func (c *converter) count(e event, running map[string][]string) {
	switch e.Action {
	case "run":
		running[e.Test] = nil
		return
	case "pass":
		c.passed++
	case "fail":
		c.failed = append(c.failed, e.Test)
	case "skip":
		c.skipped = append(c.skipped, skip{e.Test, reason(running[e.Test])})
	default:
		return
	}
	delete(running, e.Test)
}

// reason finds, in what a test printed, what it said last; the lines of the testing
// package are "=== RUN" and "--- SKIP".
func reason(lines []string) (text string) {
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			text = line
		}
	}
	return text
}

// prefixer keeps the lines of several writers apart.
type prefixer struct {
	mu  sync.Mutex
	out io.Writer
}

// prefixed prints with a prefix what it is given, which is whole lines or ends soon.
type prefixed struct {
	to     *prefixer
	prefix string
}

func (p prefixed) Write(b []byte) (int, error) {
	p.to.mu.Lock()
	defer p.to.mu.Unlock()
	for line := range bytes.Lines(b) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if _, err := fmt.Fprintf(p.to.out, "%s%s\n", p.prefix, line); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

//go:build amd64

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/faults/trace"
)

// experiment is a scenario that was made ready: its world, and what it leads to.
type experiment struct {
	*scenario
	lab      *lab
	start    *world
	old, new string
	end      string // what goal says in the new state
	calls    int    // that the command makes, if nothing happens
	clean    string // what the world holds after it, collected
	mode     trace.Mode
}

// limit is what a command may take; it takes a hundredth of it.
const limit = 60 * time.Second

// interrupted is the exit code of a command that was asked to end: docs/json.md.
const interrupted = 7

// damageFound is the exit code of a check that found something.
const damageFound = 8

// prepare makes the world of a scenario, and sees what the command does to it.
func (l *lab) prepare(s *scenario) (*experiment, error) {
	e := &experiment{scenario: s, lab: l, mode: trace.Changes, start: l.world("start-" + strings.NewReplacer(" ", "-", ",", "", "/", "-").Replace(s.name))}
	if err := e.make(); err != nil {
		return nil, fmt.Errorf("preparing %q: %w", s.name, err)
	}
	return e, nil
}

// in is the same experiment with other calls that count.
func (e *experiment) in(mode trace.Mode) (*experiment, error) {
	other := *e
	other.mode = mode
	w, err := other.copy("count")
	if err != nil {
		return nil, err
	}
	r, err := other.run(w, trace.Plan{}, false)
	if err != nil {
		return nil, err
	}
	other.calls = r.Calls
	return &other, w.remove()
}

func (e *experiment) make() error {
	if err := e.start.remove(); err != nil {
		return err
	}
	if err := e.fill(e.start); err != nil {
		return err
	}
	if err := detachBelow(e.start.dir); err != nil {
		return err
	}
	w, err := e.copy("reference")
	if err != nil {
		return err
	}
	defer w.remove()
	if e.old, err = e.state(w); err != nil {
		return err
	}
	r, err := e.run(w, trace.Plan{}, false)
	if err != nil {
		return err
	}
	if e.calls = r.Calls; r.Exit != 0 {
		return fmt.Errorf("exit code %d without a fault: %s", r.Exit, r.Output)
	}
	if e.new, err = e.state(w); err != nil {
		return err
	}
	if e.goal == nil {
		e.goal = e.state
	}
	if e.end, err = e.goal(w); err != nil {
		return err
	}
	if e.clean, err = e.collected(w); err != nil {
		return err
	}
	if problem := e.damaged(w); problem != "" {
		return fmt.Errorf("damaged without a fault: %s", problem)
	}
	return nil
}

func (e *experiment) copy(name string) (*world, error) {
	name += "-" + filepath.Base(e.start.dir)
	w, err := e.lab.world(name), error(nil)
	if e.fresh {
		err = errors.Join(w.remove(), e.fill(w))
	} else {
		w, err = e.start.copyTo(name)
	}
	if err != nil {
		return nil, err
	}
	return w, w.must(e.ready...)
}

// fill makes the scenario's world.
func (e *experiment) fill(w *world) error {
	if err := w.begin(e.setup); err != nil || e.spoil == nil {
		return err
	}
	return e.spoil(w)
}

// run runs the command under a plan.
func (e *experiment) run(w *world, plan trace.Plan, log bool) (*trace.Result, error) {
	return trace.Run(trace.Command{
		Launch: w.program("launch"), Mode: e.mode, Args: append([]string{w.program(e.program)}, w.expand(e.line)...),
		Env: w.env(), Dir: w.lab.dir, World: w.dir, Limit: limit, Log: log,
	}, plan)
}

// damaged is what the oracle finds.
func (e *experiment) damaged(w *world) string {
	if e.damage != nil {
		if err := e.damage(w); err != nil {
			return err.Error()
		}
	}
	if len(e.check) == 0 {
		return ""
	}
	code, out, problems := w.call(e.program, e.check...)
	if code == damageFound && len(e.mend) > 0 && strings.Contains(out, e.says) {
		if err := w.mustAll(e.program, e.mend); err != nil {
			return err.Error()
		}
		code, out, problems = w.call(e.program, e.check...)
	}
	if code != 0 {
		return fmt.Sprintf("%s %s: exit code %d: %s%s", filepath.Base(w.program(e.program)), e.check[0], code, out, problems)
	}
	return ""
}

// verdict is what came of one point.
type verdict struct {
	plan      trace.Plan
	call      string
	reached   bool
	exit      int
	damaged   string // the oracle finds something, or cannot look
	lost      string // what users see is neither the old nor the new state
	stuck     string // the plain command does not come to the new state
	left      string // something is left behind
	wrongZero string // it said that it is done, and it is not
	other     string // it hung, crashed, did not die, or gave another exit code
	output    string // what it printed, if something is wrong
}

func (v *verdict) bad() bool {
	return v.damaged+v.lost+v.stuck+v.left+v.wrongZero+v.other != ""
}

// point stops the command once, and looks at what is left.
func (e *experiment) point(slot string, plan trace.Plan) (*verdict, error) {
	w, err := e.copy(slot)
	if err != nil {
		return nil, err
	}
	r, err := e.run(w, plan, false)
	if err != nil {
		return nil, err
	}
	v := &verdict{plan: plan, call: r.Call, reached: r.Reached, exit: r.Exit}
	switch {
	case r.Late:
		v.other = "took too long"
	case plan.Action == trace.Kill && r.Reached && r.Signal != unix.SIGKILL:
		v.other = fmt.Sprintf("did not die: exit code %d", r.Exit)
	case plan.Action == trace.Signal && r.Reached && r.Exit != 0 && r.Exit != interrupted:
		v.other = fmt.Sprintf("exit code %d instead of %d", r.Exit, interrupted)
	case plan.Action != trace.Kill && r.Exit < 0:
		v.other = "died: " + r.Signal.String()
	case plan.Action != trace.Kill && (strings.Contains(r.Output, "panic:") || strings.Contains(r.Output, "goroutine ")):
		v.other = "panic: " + r.Output
	}
	e.judge(w, v)
	if v.bad() {
		v.output = r.Output
	}
	return v, w.remove()
}

// judge looks at a world in which something happened.
func (e *experiment) judge(w *world, v *verdict) {
	state, err := e.state(w)
	switch {
	case err != nil:
		v.lost = err.Error()
	case state != e.old && state != e.new:
		v.lost = fmt.Sprintf("%q, before it was %q, after it is %q", state, e.old, e.new)
	}
	if v.exit == 0 {
		if state, err := e.goal(w); err != nil || state != e.end {
			v.wrongZero = fmt.Sprintf("there is %q, error %v", state, err)
		}
	}
	if state == e.new || e.name != "init" {
		v.damaged = e.damaged(w)
	}
	if e.again || state != e.new || e.old == e.new && v.exit != 0 {
		e.converge(w, v)
	}
	after, err := e.collected(w)
	if err != nil {
		v.left = err.Error()
	} else if after != e.clean {
		diff := difference(after, e.clean)
		if e.mode == trace.Reads { // a delta from a release that could not be read is not made
			diff = slices.DeleteFunc(diff, func(line string) bool { return line[0] == '-' })
		}
		v.left = strings.Join(diff, "; ")
	}
	if problem := e.damaged(w); problem != "" && v.damaged == "" {
		v.damaged = "in the end: " + problem
	}
}

// converge gives the plain command again.
func (e *experiment) converge(w *world, v *verdict) {
	code, out, problems := w.call(e.program, e.line...)
	if code != 0 {
		v.stuck = fmt.Sprintf("again: exit code %d: %s%s", code, out, problems)
		return
	}
	if state, err := e.goal(w); err != nil {
		v.stuck = "again: " + err.Error()
	} else if state != e.end {
		v.stuck = fmt.Sprintf("again: %q, not %q", state, e.end)
	}
}

// collected is what a world holds after the command that collects.
func (e *experiment) collected(w *world) (string, error) {
	if err := w.age(2 * time.Hour); err != nil {
		return "", err
	}
	if err := w.mustAll(e.program, e.scenario.clean...); err != nil {
		return "", err
	}
	if e.collect != nil {
		if err := e.collect(w); err != nil {
			return "", err
		}
	}
	list, err := w.listing()
	if e.ignore != nil {
		list = e.ignore.ReplaceAllString(list, "")
	}
	return list, err
}

// begin makes a world's folders, and runs the commands that fill it.
func (w *world) begin(setup [][]string) error {
	if err := makeAll(w.path("home"), w.path("tmp")); err != nil {
		return err
	}
	return w.must(setup...)
}

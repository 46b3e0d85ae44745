//go:build amd64

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/faults/trace"
)

func makeAll(dirs ...string) error {
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// errnos are the errors of full, broken and exhausted systems.
func errnos() []unix.Errno { return []unix.Errno{unix.EIO, unix.ENOSPC, unix.EDQUOT, unix.EMFILE} }

// plans are all points of an experiment: before each call a kill, and an error there,
// once and from there on; one of errnos after the other, or each with every.
func (e *experiment) plans(every bool) []trace.Plan {
	plans := e.kills()
	for n := 1; n <= e.calls; n++ {
		for i, errno := range errnos() {
			if every || i == n%len(errnos()) {
				plans = append(plans, trace.Plan{Action: trace.Fail, At: n, Errno: errno})
			}
			if every || i == (n+1)%len(errnos()) {
				plans = append(plans, trace.Plan{Action: trace.FailOn, At: n, Errno: errno})
			}
		}
	}
	return plans
}

// kills are the plans that kill.
func (e *experiment) kills() (plans []trace.Plan) {
	for n := 1; n <= e.calls; n++ {
		plans = append(plans, trace.Plan{Action: trace.Kill, At: n})
	}
	return plans
}

// signals are what people and systems send to end a program.
func (e *experiment) signals() []trace.Plan {
	var plans []trace.Plan
	for n := 1; n <= e.calls; n++ {
		signal := []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP}[n%3]
		plans = append(plans, trace.Plan{Action: trace.Signal, At: n, Signal: signal})
	}
	return plans
}

// sample takes so many of plans, in random order; 0 takes all in theirs.
func sample(plans []trace.Plan, n int, r *rand.Rand) []trace.Plan {
	if n == 0 || n >= len(plans) {
		return plans
	}
	plans = slices.Clone(plans)
	r.Shuffle(len(plans), func(i, j int) { plans[i], plans[j] = plans[j], plans[i] })
	return plans[:n]
}

// try tries points, several at a time, and tells of each.
func (e *experiment) try(plans []trace.Plan, workers int, report func(*verdict)) error {
	queue := make(chan trace.Plan)
	var lock sync.Mutex
	var wait sync.WaitGroup
	var failed error
	for n := range workers {
		wait.Go(func() {
			for plan := range queue {
				v, err := e.point(fmt.Sprintf("slot%d", n), plan)
				lock.Lock()
				if err != nil && failed == nil {
					failed = fmt.Errorf("%s, %s: %w", e.name, plan, err)
				}
				if err == nil {
					report(v)
				}
				lock.Unlock()
			}
		})
	}
	for _, plan := range plans {
		queue <- plan
	}
	close(queue)
	wait.Wait()
	return failed
}

package main

import (
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/larch-project/larch/internal/measure"
)

// result is what a wave of clients took.
type result struct {
	what       string
	clients    int
	usages     []measure.Usage // of those that did not fail
	failures   []error
	offPlan    int // clients that received more than they had planned
	server     served
	compressed int64 // bytes of what was new, in one stream
	versions   int   // that the publisher published meanwhile
}

// wave runs a client often, all at once, and gives what that took.
func wave(what string, clients int, s *server, client func(n int) (measure.Usage, error)) (*result, error) {
	before, err := s.now()
	if err != nil {
		return nil, err
	}
	r := &result{what: what, clients: clients}
	debug.FreeOSMemory() // see measure.Run
	var mu sync.Mutex
	var all sync.WaitGroup
	begin := make(chan struct{})
	for n := range clients {
		all.Go(func() {
			<-begin
			usage, err := client(n)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				r.failures = append(r.failures, err)
				return
			}
			r.usages = append(r.usages, usage)
		})
	}
	close(begin)
	all.Wait()
	after, err := s.now()
	r.server = after.since(before)
	return r, err
}

// each does something for many clients, a few at a time.
func each(clients int, do func(n int) error) error {
	var mu sync.Mutex
	var first error
	var all sync.WaitGroup
	slots := make(chan struct{}, 4)
	for n := range clients {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if err := do(n); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if first == nil {
					first = err
				}
			}
		})
	}
	all.Wait()
	return first
}

// walls gives the median and the slowest but one in a hundred.
func (r *result) walls() (median, p99 time.Duration) {
	if len(r.usages) == 0 {
		return 0, 0
	}
	var all []time.Duration
	for _, u := range r.usages {
		all = append(all, u.Wall)
	}
	slices.Sort(all)
	return all[len(all)/2], all[min(len(all)-1, len(all)*99/100)]
}

func (r *result) memory() (most int64) {
	for _, u := range r.usages {
		most = max(most, u.Memory)
	}
	return most
}

func (r *result) cpu() (sum time.Duration) {
	for _, u := range r.usages {
		sum += u.CPU
	}
	return sum / time.Duration(max(1, len(r.usages)))
}

package main

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// nothing stands for the version before the first: a fresh install.
const nothing = -1

// pair is a step between two versions of a family.
type pair struct{ from, to int }

// steps is how many publications lie between the two.
func (p pair) steps() int { return p.to - p.from }

// figure is what one step took.
type figure struct {
	Bytes    int64         `json:"bytes"`
	Requests int64         `json:"requests"`
	CPU      time.Duration `json:"cpu_ns"`
	Memory   int64         `json:"memory"`
	Fetched  int64         `json:"fetched,omitempty"` // where bytes are those of a file: what the tool's client fetched
}

// storage is how many bytes of a repository are what.
type storage struct {
	packs   int64
	deltas  int64 // between releases
	streams int64 // deltas from nothing
	rest    int64
}

// publication is what publishing a version took, and wrote.
type publication struct {
	cpu     time.Duration
	memory  int64
	written storage
}

// column is what a peer's tool took, or why that is not known.
type column struct {
	name    string
	limit   bool // patches by file, not a way to distribute
	figures map[pair]figure
	missing string
	failed  []error
}

// direct compares a step through the family's repository with one through a
// repository that has the two versions alone.
type direct struct {
	pair          pair
	chain, single int64 // bytes
}

// result is all that was measured with a family.
type result struct {
	family       family
	files, bytes int64 // of the newest version
	larch, plain map[pair]figure
	columns      []column
	publications []publication
	storage      storage // after the last publication
	directs      []direct
}

// pairs gives the fresh install of the newest version, and then all updates, by
// the version that they lead to.
func (r result) pairs() []pair {
	list := []pair{{nothing, r.family.last()}}
	for to := range r.family.versions {
		for from := range to {
			list = append(list, pair{from, to})
		}
	}
	return list
}

// label names the versions of a step.
func (r result) label(p pair) string {
	from := "nothing"
	if p.from != nothing {
		from = r.family.versions[p.from].name
	}
	return from + " → " + r.family.versions[p.to].name
}

// column gives a peer's figures; none if it was not measured.
func (r result) column(name string) map[pair]figure {
	for _, c := range r.columns {
		if c.name == name {
			return c.figures
		}
	}
	return nil
}

// smallestLimit gives the bytes of the best patches of a step, or of the archive of
// what is fetched from nothing.
func (r result) smallestLimit(p pair) (bytes int64, ok bool) {
	for _, c := range r.columns {
		if f, has := c.figures[p]; has && (c.limit || c.name == archive) && (!ok || f.Bytes < bytes) {
			bytes, ok = f.Bytes, true
		}
	}
	return bytes, ok
}

// failures says what peers' tools were not able to do, or did wrong.
func failures(results []result) error {
	var errs []error
	for _, r := range results {
		for _, c := range r.columns {
			for _, err := range c.failed {
				errs = append(errs, fmt.Errorf("%s: %s: %w", r.family.name, c.name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// ratios divides the bytes of updates by those of the same updates otherwise.
func ratios(of, by map[pair]figure) (list []float64) {
	for p, f := range of {
		if g, ok := by[p]; ok && p.from != nothing && g.Bytes > 0 {
			list = append(list, float64(f.Bytes)/float64(g.Bytes))
		}
	}
	slices.Sort(list)
	return list
}

func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func mean(list []float64) float64 {
	sum := 0.0
	for _, f := range list {
		sum += f
	}
	return sum / float64(len(list))
}

// mostRequests gives the most requests of an update over so many publications.
func (r result) mostRequests() []int64 {
	most := make([]int64, len(r.family.versions))
	for p, f := range r.larch {
		if p.from != nothing {
			most[p.steps()] = max(most[p.steps()], f.Requests)
		}
	}
	return most[1:]
}

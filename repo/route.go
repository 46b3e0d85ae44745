package repo

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/larch-project/larch/digest"
)

// MaxHops is how many deltas a route may have: more would rather be a fresh
// install.
const MaxHops = 64

// Cheapest gives the deltas that lead to a release, in order, from one of those
// that start says are there, or from nothing: those whose bytes, and price for
// each, are least. It is nil if none lead there. Edges may come from a stranger:
// cycles do no harm (Dijkstra, "A note on two problems in connexion with graphs",
// 1959).
func Cheapest(edges []Edge, start func(digest.Digest) bool, to digest.Digest, price int64) []Edge {
	into := map[digest.Digest][]Edge{}
	for _, e := range edges {
		into[e.To] = append(into[e.To], e)
	}
	done := map[digest.Digest]bool{}
	open := &queue{{at: to}}
	for open.Len() > 0 {
		r := heap.Pop(open).(reached)
		switch {
		case r.at.IsZero() || start(r.at):
			return r.route()
		case done[r.at] || r.hops == MaxHops:
			continue
		}
		done[r.at] = true
		for _, e := range into[r.at] {
			if !done[e.From] {
				heap.Push(open, reached{e.From, r.cost + e.Size + price, r.hops + 1, &step{e, r.next}})
			}
		}
	}
	return nil
}

// reached is a release from which a way to the end is known.
type reached struct {
	at   digest.Digest
	cost int64
	hops int
	next *step
}

type step struct {
	edge Edge
	next *step
}

func (r reached) route() (route []Edge) {
	for s := r.next; s != nil; s = s.next {
		route = append(route, s.edge)
	}
	return route
}

// queue is what is known of, the cheapest first; of equal ones always the same.
type queue []reached

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[i].cost, q[j].cost), cmp.Compare(q[i].hops, q[j].hops), slices.Compare(q[i].at[:], q[j].at[:])) < 0
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(reached)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// Cost is what a route weighs.
func Cost(route []Edge, price int64) (bytes int64) {
	for _, e := range route {
		bytes += e.Size + price
	}
	return bytes
}

package main

import (
	"fmt"
	"io"

	"github.com/larch-project/larch/digest"
	"github.com/larch-project/larch/fetch"
	"github.com/larch-project/larch/install"
	"github.com/larch-project/larch/release"
)

// route is how the contents of a release come, in a document.
type route struct {
	Hops   []hopRow `json:"hops"`  // deltas, in order
	Packs  wayRow   `json:"packs"` // and what no delta brings
	Reused int64    `json:"bytes_reused"`
	Fresh  *wayRow  `json:"fresh,omitempty"` // with --explain: what it would cost with nothing here
}

// hopRow is one delta.
type hopRow struct {
	From     string `json:"from"` // version, or release; "nothing"
	To       string `json:"to"`
	Plan     int64  `json:"plan_bytes"`
	Bytes    int64  `json:"bytes"` // of contents
	Requests int    `json:"requests"`
}

type wayRow struct {
	Bytes    int64 `json:"bytes"`
	Requests int   `json:"requests"`
}

func newRoute(s *install.Step) route {
	r := route{Hops: []hopRow{}, Packs: newWay(s.Route.Packs), Reused: s.Route.Reused}
	for _, h := range s.Route.Hops {
		r.Hops = append(r.Hops, hopRow{versionOf(s.Release, s.After, h.From), versionOf(s.Release, s.After, h.To), h.Head, h.Bytes, h.Requests})
	}
	if s.Route.Fresh != (fetch.Way{}) {
		fresh := newWay(s.Route.Fresh)
		r.Fresh = &fresh
	}
	return r
}

func newWay(w fetch.Way) wayRow { return wayRow{w.Bytes, w.Requests} }

// versionOf names a release of the line of rel.
func versionOf(rel *release.Release, now *install.Installed, d digest.Digest) string {
	if d.IsZero() {
		return fromNothing
	}
	if now != nil && now.Release == d {
		return now.Version
	}
	for _, p := range rel.Previous {
		if p.Release == d {
			return p.Version
		}
	}
	return d.Short()
}

// print tells the route, if there was something to find out.
func (r *route) print(w io.Writer) {
	if r.Fresh == nil {
		return
	}
	for _, h := range r.Hops {
		fmt.Fprintf(w, "           delta %s -> %s: %s in %s, plan %s\n", h.From, h.To, size(h.Bytes), count(int64(h.Requests), "request"), size(h.Plan))
	}
	if r.Packs.Requests > 0 || len(r.Hops) == 0 {
		fmt.Fprintf(w, "           packs: %s in %s\n", size(r.Packs.Bytes), count(int64(r.Packs.Requests), "request"))
	}
	fmt.Fprintf(w, "           here already: %s; a fresh install: %s in %s\n", size(r.Reused), size(r.Fresh.Bytes), count(int64(r.Fresh.Requests), "request"))
}

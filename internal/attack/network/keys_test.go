package network

import (
	"testing"

	"github.com/larch-project/larch/trust"
)

// attack is one case: what is done while version 2 is news, and the verdict.
type attack struct {
	name string // begins with the number
	why  string
	do   func(w *world, f *forger)
	want verdict
}

// run runs attacks, each on a machine of its own.
func run(t *testing.T, attacks []attack) {
	t.Helper()
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			t.Log(a.why)
			w := newWorld(t)
			a.do(w, w.forger())
			w.judge(w.update(), a.want)
		})
	}
}

// TestKeys are attacks on keys and signatures.
func TestKeys(t *testing.T) {
	run(t, []attack{
		{
			"A-00 nothing wrong", "an honest update must pass the judge",
			func(*world, *forger) {}, verdict{},
		}, {
			"A-02 no signatures", "unsigned is never accepted",
			func(w *world, f *forger) { f.head(nothing, []key{}...) }, verdict{err: trust.ErrFormat},
		},
	})
}

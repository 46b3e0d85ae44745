//go:build amd64

package main

import (
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/larch-project/larch/internal/faults/trace"
)

// options are those of the command line.
type options struct {
	only    string
	n       int
	every   bool
	workers int
	seed    uint64
	modes   string
	flips   int
	peers   bool
	kind    string
}

// flipMode flips bits.
const flipMode = "flips"

func (o *options) modeList() []string { return strings.Split(o.modes, ",") }

func main() {
	var o options
	all := flag.Bool("all", false, "all points of all scenarios")
	flag.StringVar(&o.only, "scenario", "", "only the scenarios whose name contains this")
	flag.IntVar(&o.n, "n", 40, "signals of each scenario, three times as many faults at changes, half as many at closes and at reads; 0 for all")
	flag.BoolVar(&o.every, "every", false, "each error at each call, not one after the other")
	flag.IntVar(&o.workers, "workers", 2, "points at a time")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "what is chosen where not all is")
	flag.StringVar(&o.modes, "modes", "changes,signals,closes,reads,flips", "what is done: kills and errors at changes, or one of them alone (kills, errors), signals, errors of close and read, bits that are flipped")
	flag.IntVar(&o.flips, "flips", 10_000, "bits that are flipped in an installation, and in a repository")
	flag.BoolVar(&o.peers, "peers", false, "instead: what the same does to the programs of others")
	flag.StringVar(&o.kind, "fs", inMemory, "file system: tmpfs, or btrfs for the backend of that name")
	flag.Parse()
	if *all {
		o.n = 0
	}
	if err := o.run(); err != nil {
		log.Fatal("faults: ", err)
	}
}

func (o *options) run() (err error) {
	dir, err := os.MkdirTemp("", "larch-faults-")
	if err != nil {
		return err
	}
	l, err := newLab(dir, o.kind)
	if err != nil {
		return err
	}
	defer func() {
		if problem := l.Close(); err == nil {
			err = problem
		}
	}()
	fmt.Fprintf(os.Stderr, "seed %d\n", o.seed)
	scenarios := l.scenarios()
	if o.peers {
		if scenarios, err = l.peers(); err != nil {
			return err
		}
	}
	if err := l.controlled(o); err != nil {
		return err
	}
	bad := 0
	if o.modes != flipMode {
		bad = o.tallies(l, scenarios)
	}
	if slices.Contains(o.modeList(), flipMode) && !o.peers && o.only == "" {
		if err := o.flip(l); err != nil {
			return err
		}
	}
	if bad > 0 && !o.peers {
		return fmt.Errorf("%d findings", bad)
	}
	return nil
}

// tallies runs scenarios, prints a table, a row when each has ended, and gives how many
// findings there were.
func (o *options) tallies(l *lab, scenarios []*scenario) (bad int) {
	sum := &tally{name: "**all**"}
	writeHead(os.Stdout)
	for _, s := range scenarios {
		if !strings.Contains(s.name, o.only) {
			continue
		}
		start := time.Now()
		t, err := l.tally(s, o)
		if err != nil {
			log.Print(err)
			bad++
			continue
		}
		t.row(os.Stdout)
		sum.plus(t)
		fmt.Fprintf(os.Stderr, "%s: %d points, %d bad, %.0f s\n", s.name, t.killed+t.failed+t.signalled, t.bad(), time.Since(start).Seconds())
		for _, p := range t.problems {
			fmt.Fprintln(os.Stderr, "  ", p)
		}
	}
	sum.row(os.Stdout)
	return bad + sum.bad()
}

func isKill(p trace.Plan) bool { return p.Action == trace.Kill }

// tally runs the points of one scenario, in all modes that are asked for.
func (l *lab) tally(s *scenario, o *options) (*tally, error) {
	e, err := l.prepare(s)
	if err != nil {
		return nil, err
	}
	t := &tally{name: s.name, calls: e.calls}
	r := rand.New(rand.NewPCG(o.seed, uint64(len(s.name))))
	for _, mode := range o.modeList() {
		e, plans, n := e, []trace.Plan(nil), o.n
		switch mode {
		case "changes":
			plans, n = e.plans(o.every), 3*n
		case "kills":
			plans, n = e.kills(), 3*n
		case "errors":
			plans, n = slices.DeleteFunc(e.plans(o.every), isKill), 3*n
		case "signals":
			plans = e.signals()
		case flipMode: // concerns no command
			continue
		default:
			if e, err = e.in(trace.Mode(mode)); err != nil {
				return nil, err
			}
			plans, n = slices.DeleteFunc(e.plans(o.every), isKill), (n+1)/2
		}
		if err := e.try(sample(plans, n, r), o.workers, t.add); err != nil {
			return nil, err
		}
	}
	return t, e.start.remove()
}

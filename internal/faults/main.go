//go:build amd64

package main

import (
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/larch-project/larch/internal/faults/trace"
)

func main() {
	only := flag.String("scenario", "", "only the scenarios whose name contains this")
	n := flag.Int("n", 40, "points of each scenario; 0 for all")
	verbose := flag.Bool("v", false, "say what is wrong with each point")
	flag.Parse()
	dir, err := os.MkdirTemp("", "larch-faults-")
	if err != nil {
		log.Fatal(err)
	}
	l, err := newLab(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range l.scenarios() {
		if !strings.Contains(s.name, *only) {
			continue
		}
		e, err := l.prepare(s, trace.Changes)
		if err != nil {
			log.Print(err)
			continue
		}
		start := time.Now()
		count, unreached := 0, 0
		seen := map[string]int{}
		err = e.try(sample(e.plans(), *n, r), 2, func(v *verdict) {
			count++
			if !v.reached {
				unreached++
			}
			if v.bad() {
				for _, c := range []struct{ k, s string }{{"damaged", v.damaged}, {"lost", v.lost}, {"stuck", v.stuck}, {"left", v.left}, {"zero", v.wrongZero}} {
					if c.s != "" {
						seen[c.k]++
					}
				}
				if *verbose {
					fmt.Printf("  %s (%s) exit %d:\n\tdamaged %s\n\tlost %s\n\tstuck %s\n\tleft %s\n\tzero %s\n\tother %s\n", v.plan, v.call, v.exit, v.damaged, v.lost, v.stuck, v.left, v.wrongZero, v.other)
				}
			}
		})
		fmt.Println(s.name, "calls", e.calls, "points", count, "unreached", unreached, seen, time.Since(start), err)
	}
}

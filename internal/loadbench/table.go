package main

import (
	"errors"
	"fmt"
	"log"
	"strings"
	"text/tabwriter"
	"time"
)

// table writes the results for people: per client, but for the peaks.
func table(results []*result) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "what\tclients\trequests\tKiB\t× new content\twall median s\tp99 s\tclient CPU s\tclient MiB\tserver CPU ms\tpublished\tfailed\t")
	for _, r := range results {
		n := float64(r.clients)
		median, p99 := r.walls()
		bytes := float64(r.server.bytes) / n
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.1f\t%.1f\t%d\t%d\t\n", r.what, r.clients,
			float64(r.server.requests)/n, bytes/1024, bytes/float64(r.compressed), median.Seconds(), p99.Seconds(), r.cpu().Seconds(),
			float64(r.memory())/(1<<20), float64(r.server.cpu)/float64(time.Millisecond)/n, r.versions, len(r.failures))
	}
	w.Flush()
	return b.String()
}

// verdict is an error if anything failed.
func verdict(results []*result) error {
	failed := 0
	for _, r := range results {
		for n, err := range r.failures {
			if n < 3 {
				log.Printf("%s: %v", r.what, err)
			}
		}
		failed += len(r.failures)
		if r.offPlan > 0 {
			log.Printf("%s: %d clients received more than they had planned", r.what, r.offPlan)
		}
		if r.server.errors > 0 {
			log.Printf("%s: the server gave %d errors", r.what, r.server.errors)
		}
		failed += r.offPlan + int(r.server.errors)
	}
	if failed > 0 {
		return errors.New("not all is well")
	}
	return nil
}

package main

import (
	"fmt"
	"io"

	"github.com/larch-project/larch/internal/powercut/disk"
)

// table prints results in Markdown.
func table(out io.Writer, results []result) {
	fmt.Fprintln(out, "| file system | command | calls | epochs | images (none + prefix + subset) | does not start | neither old nor new | damage | lost after exit 0 | given again, fails | left behind | not mountable |")
	fmt.Fprintln(out, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range results {
		name := r.name
		if r.control {
			name += " (**control**: syncs off)"
		}
		fmt.Fprintf(out, "| %s | %s | %d | %d | %d + %d + %d | %d | %d | %d | %d | %d | %d | %d |\n", r.fs.name, name, r.calls, r.epochs,
			r.images[disk.None], r.images[disk.Prefix], r.images[disk.Subset],
			r.count(errStart), r.count(errNeither), r.count(errDamage), r.count(errLost), r.count(errAgain), r.count(errLeft),
			r.unmountable+r.count(errUnmountable))
	}
}

// Command bench measures Larch against the tools that people use today, all in
// one run on one machine, and prints a table of ratios: make bench.
//
// It needs the peers' programs (make deps), fetches the Go toolchain's versions
// through the go command, and keeps its data in a folder for the next run. Every
// figure is what the kernel says of finished processes (CPU, peak memory), a
// clock around them (wall, the best of several), or what the server counted
// (bytes, requests).
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/larch-project/larch/internal/measure"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	data := flag.String("data", "data", "folder for data sets, kept")
	larch := flag.String("larch", "bin/larch", "the command to measure")
	runs := flag.Int("runs", 3, "how often wall times are taken; the best counts")
	only := flag.String("only", "", "measure one data set only: gotc or small")
	flag.Parse()
	program, err := filepath.Abs(*larch)
	if err != nil {
		log.Fatal(err)
	}
	if err := run(*data, program, *runs, *only); err != nil {
		log.Fatal(err)
	}
}

func run(data, larch string, runs int, only string) error {
	data, err := filepath.Abs(data)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(data, "run-")
	if os.IsNotExist(err) {
		if err = os.MkdirAll(data, 0o755); err == nil {
			work, err = os.MkdirTemp(data, "run-")
		}
	}
	if err != nil {
		return err
	}
	defer removeAll(work)
	table := &table{}
	for _, set := range []struct {
		name string
		make func(string) (versions, error)
	}{{"gotc", goToolchain}, {"small", smallFiles}} {
		if only != "" && only != set.name {
			continue
		}
		trees, err := set.make(data)
		if err != nil {
			return fmt.Errorf("making the data set %s: %w", set.name, err)
		}
		b := &bench{name: set.name, trees: trees, work: filepath.Join(work, set.name), larch: larch, runs: runs, table: table}
		if err := b.run(); err != nil {
			return fmt.Errorf("data set %s: %w", set.name, err)
		}
	}
	table.print(os.Stdout)
	return nil
}

func removeAll(dir string) {
	if err := measure.RemoveAll(dir); err != nil {
		log.Print(err)
	}
}

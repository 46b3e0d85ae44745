// Command backendbench measures the forms on disk against each other and against
// plain files, all in one run on one machine, and prints a table of ratios: make
// bench-backends.
//
// It publishes an application that holds this very program, so that reading is
// measured where the files are seen, in the namespace of the application if need be;
// times are taken inside, around the reading alone. It needs root, to drop caches
// and to mount, and ostree for one row.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/larch-project/larch/internal/measure"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("backendbench: ")
	if len(os.Args) == 4 && os.Args[1] == "inside" {
		seconds, err := inside(os.Args[2], os.Args[3])
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(strconv.FormatFloat(seconds, 'g', -1, 64))
		return
	}
	larch := flag.String("larch", "bin/larch", "the command to measure")
	work := flag.String("work", "", "folder for what is made, removed afterwards; default: a temporary one")
	runs := flag.Int("runs", 3, "how often times are taken; the best counts")
	size := flag.Int64("size", 1<<30, "bytes of the large file")
	only := flag.String("only", "", "measure one backend only, or \"on-demand\", or \"compare\": footprints only")
	data := flag.String("data", "", "folder for versions of the Go toolchain, kept; default: larch-roadtest below the user's cache folder")
	flag.Parse()
	if err := run(*larch, *work, *data, *only, *runs, *size); err != nil {
		log.Fatal(err)
	}
}

func run(larch, work, data, only string, runs int, size int64) (err error) {
	if os.Geteuid() != 0 {
		return fmt.Errorf("only root can drop caches and mount")
	}
	if larch, err = filepath.Abs(larch); err != nil {
		return err
	}
	if data == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		data = filepath.Join(cache, "larch-roadtest")
	}
	if work == "" {
		work = os.TempDir()
	}
	if work, err = os.MkdirTemp(work, "backendbench-"); err != nil {
		return err
	}
	b := &bench{larch: larch, work: work, runs: runs, size: size}
	defer func() {
		b.reset()
		measure.RemoveAll(work)
	}()
	if err := b.publish(); err != nil {
		return err
	}
	if only != "on-demand" && only != "compare" && only != "btrfs" {
		if err := b.backends(only); err != nil {
			return err
		}
	}
	if only == "" || only == "on-demand" {
		if err := b.onDemand(); err != nil {
			return err
		}
	}
	if only != "on-demand" {
		c, err := b.compare(data, strings.TrimSuffix(only, "compare"))
		if err != nil {
			return err
		}
		c.print(os.Stdout)
	}
	b.table.print(os.Stdout)
	return nil
}

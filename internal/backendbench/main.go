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
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/larch-project/larch/internal/measure"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("backendbench: ")
	if len(os.Args) > 3 && os.Args[1] == "inside" {
		if err := work(os.Args[2], os.Args[3:]); err != nil {
			log.Fatal(err)
		}
		return
	}
	var o options
	flag.StringVar(&o.larch, "larch", "bin/larch", "the command to measure")
	flag.StringVar(&o.work, "work", "", "folder for what is made, removed afterwards; default: a temporary one")
	flag.IntVar(&o.runs, "runs", 3, "how often times are taken; the best counts")
	flag.Int64Var(&o.size, "size", 1<<30, "bytes of the large file")
	flag.StringVar(&o.only, "only", "", "measure one backend only, or \"read\": reading and starting only, \"on-demand\": starting only, \"compare\": footprints only")
	flag.StringVar(&o.data, "data", "", "folder for versions of the Go toolchain, kept; default: larch-roadtest below the user's cache folder")
	flag.StringVar(&o.markdown, "markdown", "", "file for the tables, between its markers such as <!-- backendbench disk --> and <!-- /backendbench disk -->")
	flag.Parse()
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

// options are what the flags say.
type options struct {
	larch, work, only, data, markdown string
	runs                              int
	size                              int64
}

// work does what an application is asked to.
func work(what string, args []string) error {
	switch what {
	case "hold":
		return hold(os.Stdin, os.Stdout, args)
	case "sum":
		return sum(os.Stdout, args[0])
	}
	seconds, err := inside(what, args)
	if err == nil {
		fmt.Println(strconv.FormatFloat(seconds, 'g', -1, 64))
	}
	return err
}

// complete makes paths absolute, and refuses what would end a long run late.
func (o *options) complete() (err error) {
	if os.Geteuid() != 0 {
		return errors.New("only root can drop caches and mount")
	}
	if o.markdown != "" {
		if !slices.Contains([]string{"", "read", "compare"}, o.only) {
			return errors.New("tables for a document are of all backends")
		}
		if _, err := os.Stat(o.markdown); err != nil {
			return err
		}
	}
	if o.larch, err = filepath.Abs(o.larch); err != nil {
		return err
	}
	if o.data == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		o.data = filepath.Join(cache, "larch-roadtest")
	}
	if o.work == "" {
		o.work = os.TempDir()
	}
	return nil
}

func run(o options) (err error) {
	if err := o.complete(); err != nil {
		return err
	}
	work, err := os.MkdirTemp(o.work, "backendbench-")
	if err != nil {
		return err
	}
	if err := os.Chmod(work, 0o755); err != nil { // an ordinary user reads the repository
		return err
	}
	b := &bench{larch: o.larch, work: work, runs: o.runs, size: o.size}
	defer func() {
		b.reset()
		measure.RemoveAll(work)
	}()
	sections, err := b.measure(o)
	if err != nil {
		return err
	}
	for _, s := range sections {
		fmt.Printf("%s:\n\n%s\n", s.marker, s.text)
	}
	if o.markdown == "" {
		return nil
	}
	return write(o.markdown, sections)
}

// measure measures what is wanted.
func (b *bench) measure(o options) (sections []section, err error) {
	if err := b.publish(); err != nil {
		return nil, err
	}
	reading := o.only != "on-demand" && o.only != "compare" && o.only != "btrfs"
	if reading {
		if err := b.backends(strings.TrimSuffix(o.only, "read")); err != nil {
			return nil, err
		}
	}
	if o.only == "" || o.only == "on-demand" || o.only == "read" {
		if err := b.onDemand(); err != nil {
			return nil, err
		}
	}
	if len(b.table.rows) > 0 {
		sections = append(sections, section{"backendbench read", b.table.String()})
	}
	if o.only == "on-demand" || o.only == "read" {
		return sections, nil
	}
	c, err := b.compare(o.data, strings.TrimSuffix(o.only, "compare"))
	if err != nil {
		return nil, err
	}
	return append(sections, c.sections()...), nil
}

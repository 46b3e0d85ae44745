// Command roadtest measures updates: make bench-updates.
//
// It publishes real trees, version after version, and updates machines from every
// version to every later one, as their users would: bytes and requests are what
// the server counted, CPU and peak memory what the kernel says of the finished
// process. After every update the deployed tree is compared with the published
// folder, byte for byte; a result that is not the tree ends the run with status 1.
// Beside it stand the same update without deltas (the plain road), the peers' real
// tools, and limits: patches of file against file that nobody can serve for all
// pairs.
//
// Peers' figures are kept in the data folder, by the versions of tool and tree: they
// take far longer than ours, and do not change.
package main

import (
	"context"
	"flag"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/larch-project/larch/internal/measure"
)

// marker names the place of the tables in a document.
const marker = "roadtest"

// options are what the flags say.
type options struct {
	data, work    string
	larch         string
	only          []string // families; none: all
	sources       []source
	peers         string // quick, all or none
	fresh         bool
	direct        int
	svg, markdown string
	summary       string
}

func main() {
	log.SetFlags(log.Ltime)
	log.SetPrefix("roadtest: ")
	o, err := parse(flag.CommandLine, os.Args[1:])
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = run(ctx, o, os.Stdout)
		stop()
	}
	if err != nil {
		log.Fatal(err)
	}
}

func parse(flags *flag.FlagSet, args []string) (o options, err error) {
	o.sources = slices.Clone(known)
	flags.StringVar(&o.data, "data", "", "folder for data sets and peers' figures, kept (default: larch-roadtest below the user's cache folder)")
	flags.StringVar(&o.work, "work", "", "folder for what is removed afterwards, a few GB; one in memory is faster (default: the data folder)")
	flags.StringVar(&o.larch, "larch", "bin/larch", "the command to measure")
	flags.StringVar(&o.peers, "peers", "quick", "which peers to measure: quick, all or none")
	flags.BoolVar(&o.fresh, "fresh", false, "measure peers again, whatever was measured before")
	flags.IntVar(&o.direct, "direct", 6, "how many pairs to compare with a delta that leads there directly")
	flags.StringVar(&o.svg, "svg", "docs/updates.svg", "file for the picture; empty: none")
	flags.StringVar(&o.summary, "summary", "", "file for the first of the tables, which has them")
	flags.StringVar(&o.markdown, "markdown", "", "file for the tables, between its markers <!-- roadtest --> and <!-- /roadtest --> if it has them")
	only := flags.String("only", "", "families to measure, with commas (default: all)")
	flags.Func("npm", "another family, as NAME=package@version,version,...; may be repeated", func(s string) error {
		source, err := npmSource(s)
		o.sources = append(o.sources, source)
		return err
	})
	flags.Func("folder", "another family, as NAME=DIR; its folders, in the order of their names, are the versions; may be repeated", func(s string) error {
		source, err := folderSource(s)
		o.sources = append(o.sources, source)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	return o, o.complete()
}

// complete checks what would end a long run late, and makes paths absolute.
func (o *options) complete() (err error) {
	if !slices.Contains([]string{"quick", "all", "none"}, o.peers) {
		return usageError("-peers is quick, all or none, not " + o.peers)
	}
	for _, name := range o.only {
		if !slices.ContainsFunc(o.sources, func(s source) bool { return s.name == name }) {
			return usageError("no family is called " + name)
		}
	}
	if len(o.only) > 0 {
		o.sources = slices.DeleteFunc(o.sources, func(s source) bool { return !slices.Contains(o.only, s.name) })
	}
	if o.data == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return err
		}
		o.data = filepath.Join(cache, "larch-roadtest")
	}
	for _, file := range []string{o.svg, o.markdown, o.summary} {
		if _, err := os.Stat(filepath.Dir(file)); err != nil {
			return err
		}
	}
	if o.data, err = filepath.Abs(o.data); err != nil {
		return err
	}
	if o.work == "" {
		o.work = o.data
	}
	if o.work, err = filepath.Abs(o.work); err != nil {
		return err
	}
	if o.larch, err = filepath.Abs(o.larch); err != nil {
		return err
	}
	_, err = os.Stat(o.larch)
	return err
}

type usageError string

func (e usageError) Error() string { return string(e) }

// run measures, writes the picture and the files, and prints the tables. When ctx
// ends, it stops after the step that it is at, and removes what it made.
func run(ctx context.Context, o options, w io.Writer) error {
	results, err := measureAll(ctx, o)
	if err != nil {
		return err
	}
	text := tables(results)
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	if o.markdown != "" {
		if err := measure.WriteBetween(o.markdown, marker, text); err != nil {
			return err
		}
	}
	if o.summary != "" {
		if err := measure.WriteBetween(o.summary, marker, summary(results)); err != nil {
			return err
		}
	}
	if o.svg != "" {
		if err := os.WriteFile(o.svg, []byte(picture(results)), 0o644); err != nil {
			return err
		}
	}
	return failures(results)
}

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/larch-project/larch/internal/powercut/disk"
	"github.com/larch-project/larch/internal/powercut/intercept"
)

// options are what the flags say.
type options struct {
	all      bool
	images   int
	only     string
	seed     uint64
	larch    string
	parallel int
	peers    bool
}

func main() {
	intercept.Child()
	disk.Child()
	log.SetFlags(0)
	log.SetPrefix("powercut: ")
	var o options
	flag.BoolVar(&o.all, "all", false, "judge every epoch in every mode")
	flag.IntVar(&o.images, "images", 24, "power cuts of each command on each file system")
	flag.StringVar(&o.only, "only", "", "only the cases whose name has this")
	flag.Uint64Var(&o.seed, "seed", rand.Uint64(), "what is random follows from it")
	flag.StringVar(&o.larch, "larch", "", "the program (default: built from here)")
	flag.IntVar(&o.parallel, "parallel", 2, "cases at a time")
	flag.BoolVar(&o.peers, "peers", false, "instead: the same for OSTree")
	flag.Parse()
	if err := isolate(); err != nil {
		log.Fatal(err)
	}
	if o.all {
		o.images = 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run runs all jobs and prints what came out.
func (o options) run(ctx context.Context, out io.Writer) error {
	dir, remove, err := scratch()
	if err != nil {
		return err
	}
	defer remove()
	f, err := newFixture(dir, o.larch)
	if err != nil {
		return err
	}
	log.Printf("seed %d", o.seed)
	results, err := runAll(ctx, f, o.jobs(), o.parallel)
	table(out, results)
	return err
}

// scratch is a folder in memory, which nobody sees but this namespace: images are small,
// and are read and written often.
func scratch() (dir string, remove func(), err error) {
	if dir, err = os.MkdirTemp("", "larch-powercut-"); err != nil {
		return "", nil, err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NODEV, "mode=755"); err != nil {
		os.Remove(dir)
		return "", nil, fmt.Errorf("memory for images: %w", err)
	}
	return dir, func() {
		unix.Unmount(dir, unix.MNT_DETACH)
		os.Remove(dir)
	}, nil
}

// jobs are those that were asked for.
func (o options) jobs() (all []job) {
	list := scenarios
	if o.peers {
		list = peerScenarios
	}
	controls := []string{"install", "publish, first", "ostree commit", "ostree pull"}
	for _, fs := range filesystems {
		for _, s := range list {
			all = append(all, job{scenario: s, fs: fs, images: o.images, seed: o.seed})
			if slices.Contains(controls, s.name) {
				all = append(all, job{scenario: s, fs: fs, control: true, images: o.images, seed: o.seed})
			}
		}
	}
	if o.only == "" {
		return all
	}
	var some []job
	for _, j := range all {
		if strings.Contains(j.String(), o.only) {
			some = append(some, j)
		}
	}
	return some
}

// runAll runs jobs, some at a time, in their order. The results are in that order, too.
func runAll(ctx context.Context, f *fixture, jobs []job, parallel int) ([]result, error) {
	results := make([]result, len(jobs))
	errs := make([]error, len(jobs))
	next := make(chan int)
	var workers sync.WaitGroup
	for range max(parallel, 1) {
		workers.Go(func() {
			for i := range next {
				results[i], errs[i] = jobs[i].run(ctx, f, f.dir)
				results[i].report()
			}
		})
	}
	for i := range jobs {
		next <- i
	}
	close(next)
	workers.Wait()
	var first error
	for i, err := range errs {
		if err != nil {
			log.Printf("%v: %v", jobs[i], err)
			first = fmt.Errorf("not all could be judged: %w", err)
		}
	}
	return results, first
}

// report prints one result while others are still to come.
func (r result) report() {
	log.Printf("%v: %d calls, %d epochs, %d images, %d bad", r.job, r.calls, r.epochs, r.total(), len(r.bad))
	for i, f := range r.bad {
		if i == 4 && !verbose {
			log.Printf("\t(and %d more)", len(r.bad)-i)
			break
		}
		log.Printf("\timage %d, %v: %v", f.number, f.mode, f.err)
	}
}

// verbose prints everything that is bad.
var verbose = os.Getenv("LARCH_POWERCUT_VERBOSE") != ""

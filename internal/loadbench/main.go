// Command loadbench has many machines install and update at once from one small web
// server, while the publisher goes on publishing and pruning: make bench-load.
//
// Every client is a process of its own with an installation of its own. All of them
// have to finish, without an error, with the bytes that they planned, at a version that
// verify finds nothing wrong with; otherwise the exit status is 1. Beside it stands
// ostree, pulling the same trees from the same server in the same run, where it is
// installed.
//
// Requests and bytes are those of the server's log, CPU and memory what the kernel says
// of finished processes. The server is nginx with one worker, on loopback.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/larch-project/larch/internal/measure"
)

// options are what the flags say.
type options struct {
	larch, work   string
	clients, peer int
	files         int
	size          int64
}

func main() {
	log.SetFlags(log.Ltime)
	log.SetPrefix("loadbench: ")
	var o options
	flag.StringVar(&o.larch, "larch", "bin/larch", "the command to measure")
	flag.StringVar(&o.work, "work", "/dev/shm", "folder for what is made, removed afterwards; one in memory, so that the disk is not what is measured")
	flag.IntVar(&o.clients, "clients", 200, "how many install at once")
	flag.IntVar(&o.peer, "peer", 20, "how many of ostree, 0 for none")
	flag.IntVar(&o.files, "files", 2000, "files of the tree")
	flag.Int64Var(&o.size, "size", 20<<20, "bytes of the tree")
	flag.Parse()
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

func run(o options) (err error) {
	if o.larch, err = filepath.Abs(o.larch); err != nil {
		return err
	}
	if o.work, err = os.MkdirTemp(o.work, "larch-loadbench-"); err != nil {
		return err
	}
	defer measure.RemoveAll(o.work)
	trees := newTrees(filepath.Join(o.work, "trees"), o.files, o.size)
	server, err := startServer(filepath.Join(o.work, "www"))
	if err != nil {
		return err
	}
	defer server.stop()
	results, err := larch(o, trees, server)
	if err != nil {
		return err
	}
	if _, missing := exec.LookPath("ostree"); missing == nil && o.peer > 0 {
		peers, err := ostree(o, trees, server)
		if err != nil {
			return err
		}
		results = append(results, peers...)
	}
	fmt.Print(table(results))
	return verdict(results)
}

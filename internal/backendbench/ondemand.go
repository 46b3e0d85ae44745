package main

import (
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/larch-project/larch/internal/measure"
)

// The link that a program is started over.
const (
	linkRate    = 50e6 / 8 // bytes a second
	linkLatency = 40 * time.Millisecond
	programSize = 160 << 20
)

// onDemand compares the start of a large program before it is here with its
// installation and start.
func (b *bench) onDemand() error {
	log.Print("publishing a large program")
	ref := "app/org.example.Large" + b.ref[len("app/org.example.Bench"):]
	if err := os.MkdirAll(b.path("large/bin"), 0o755); err != nil {
		return err
	}
	if err := largeProgram(b.path("large/bin/bench")); err != nil {
		return err
	}
	if _, _, err := b.do("publish", b.path("repo"), ref, b.path("large"), "--command", "bench", "--delta-budget", "0"); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	go http.Serve(listener, &slowLink{dir: http.FileServer(http.Dir(b.path("repo")))})
	var took [2]float64
	for n, install := range [][]string{{"install", ref, "--yes"}, nil} {
		b.reset()
		if err := measure.RemoveAll(b.path("machine")); err != nil {
			return err
		}
		if _, _, err := b.do("remote", "add", "slow", "http://"+listener.Addr().String(), "--root-key", b.fingerprint); err != nil {
			return err
		}
		start := time.Now()
		run := []string{"run", "--on-demand", "--yes", "--quiet", "--no-sandbox", ref, "--", "inside", "start", "/"}
		if install != nil {
			if _, _, err := b.do(install...); err != nil {
				return err
			}
			run = []string{"run", "--no-sandbox", ref, "--", "inside", "start", "/"}
		}
		if _, _, err := b.do(run...); err != nil {
			return err
		}
		took[n] = time.Since(start).Seconds()
	}
	b.table.add("fuse", fmt.Sprintf("start a program of %d MB on demand, 50 Mbit/s, 40 ms", programSize/1_000_000), "full download first", took[1], took[0], 0.25)
	return nil
}

// largeProgram is this one with much behind it.
func largeProgram(name string) error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	if err := writeRandom(name, rand.NewChaCha8([32]byte{2}), programSize); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(self, 0); err != nil {
		f.Close()
		return err
	}
	if err := f.Chmod(0o755); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// slowLink serves files over one link of a limited rate, each answer after a
// latency.
type slowLink struct {
	dir  http.Handler
	mu   sync.Mutex
	free time.Time // when the link is free again
}

// ServeHTTP implements http.Handler.
func (l *slowLink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	time.Sleep(linkLatency)
	l.dir.ServeHTTP(&slowAnswer{w, l}, r)
}

type slowAnswer struct {
	http.ResponseWriter
	link *slowLink
}

// Write sends a piece when the link is free.
func (a *slowAnswer) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		k := min(len(p), 16<<10)
		a.link.wait(k)
		var m int
		m, err = a.ResponseWriter.Write(p[:k])
		n, p = n+m, p[k:]
	}
	return n, err
}

func (l *slowLink) wait(n int) {
	l.mu.Lock()
	if now := time.Now(); l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(float64(n) / linkRate * 1e9))
	until := l.free
	l.mu.Unlock()
	time.Sleep(time.Until(until))
}

package fetch_test

import (
	"net/http"
	"os"
	"testing"

	"github.com/larch-project/larch/repo"
	"github.com/larch-project/larch/transport"
	"github.com/larch-project/larch/transport/transporttest"
	"github.com/larch-project/larch/transport/web"
)

// serve puts a repository on a server whose answers a test chooses.
func serve(t *testing.T, p *published) (*transporttest.Server, transport.Transport, *transport.Stats) {
	t.Helper()
	server := transporttest.NewServer(os.DirFS(p.dir))
	stats := new(transport.Stats)
	web, err := web.New(transporttest.Address, web.Options{Dial: transporttest.Pipe(t, server), Stats: stats})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { web.Close() })
	return server, web, stats
}

// Without ranges each pack is fetched once, but for the one that shows it.
func TestServerWithoutRanges(t *testing.T) {
	items := append(many(200, 12_000), item{name: "large", data: noise(99, 9*repo.FrameSize)})
	p := publish(t, items, packing{maxPack: 9 << 20})
	var all int64
	for _, pack := range p.index.Packs {
		all += pack.Size
	}
	for name, answer := range map[string]transporttest.Answer{
		"whole packs": transporttest.NoRanges,
		"of no size": func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
			transporttest.NoRanges(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { transporttest.NoSizes(w, r, honest) }))
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, web, stats := serve(t, p)
			server.Always(answer)
			m := newMachine(t)
			if err := m.fetch(p, web); err != nil {
				t.Fatal(err)
			}
			m.expectAll(p)
			if n := len(server.Requests()); n > len(p.index.Packs)+1 {
				t.Errorf("%d requests for %d packs", n, len(p.index.Packs))
			}
			if b := stats.Bytes.Load(); b > all+repo.MaxPack {
				t.Errorf("%d bytes of %d", b, all)
			}
		})
	}
}

// Of packs of which little is wanted, that little is stored.
func TestServerWithoutRangesHasAFewOfMany(t *testing.T) {
	items := many(300, 12_000)
	p, m := publish(t, items, packing{shared: 1, maxPack: 1 << 20}), newMachine(t)
	m.put(items[:100]...)
	m.put(items[102:290]...)
	server, web, _ := serve(t, p)
	server.Always(transporttest.NoRanges)
	if err := m.fetch(p, web); err != nil {
		t.Fatal(err)
	}
	m.expectAll(p)
	if n := len(server.Requests()); n != 2 {
		t.Errorf("%d requests", n)
	}
}

// One of several mirrors has no ranges.
func TestRangesNowAndThen(t *testing.T) {
	p, m := publish(t, append(many(100, 12_000), item{name: "large", data: noise(99, 17*repo.FrameSize)}), packing{}), newMachine(t)
	server, web, _ := serve(t, p)
	server.Next(transporttest.Honest, transporttest.Honest, transporttest.NoRanges)
	if err := m.fetch(p, web); err != nil {
		t.Fatal(err)
	}
	m.expectAll(p)
}

// A connection that breaks is the transport's business: no byte is fetched twice.
func TestBrokenConnections(t *testing.T) {
	p, m := publish(t, many(300, 12_000), packing{maxPack: 1 << 20}), newMachine(t)
	server, web, stats := serve(t, p)
	server.Next(transporttest.CutAfter(100_000), transporttest.CutAfter(200_000))
	_, plan := m.plan(p)
	if err := m.run(t.Context(), p, plan, web); err != nil {
		t.Fatal(err)
	}
	m.expectAll(p)
	if r, b := len(server.Requests()), stats.Bytes.Load(); r != plan.Requests+2 || b > plan.Bytes+64<<10 {
		t.Errorf("%d requests, %d bytes; planned %d, %d", r, b, plan.Requests, plan.Bytes)
	}
}
